"""Which image played which role, written beside a run; ``--layout_options.description split.json`` repeats it."""

from collections.abc import Sequence
from pathlib import Path

from mnad.data.layout import Layout
from mnad.files import write_json


def relative(path: Path, root: Path) -> str:
    """``path`` from ``root`` with forward slashes; as it is when it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def write_split(path: Path, layout: Layout, root: Path, validation: Sequence[int] = ()) -> None:
    """Write the roles in the form that :mod:`mnad.data.generic` reads.

    Args:
        validation: indices into ``layout.train`` of the images that were held back.
    """
    test = list(zip(layout.test, layout.labels, strict=True))
    write_json(
        path,
        {
            "train": [relative(file, root) for file in layout.train],
            "validation": [relative(layout.train[index], root) for index in validation],
            "known": [relative(file, root) for file in layout.known],
            "test_normal": [relative(file, root) for file, label in test if label == 0],
            "test_anomalous": [relative(file, root) for file, label in test if label == 1],
            "masks": {relative(image, root): relative(mask, root) for image, mask in layout.masks.items()},
        },
    )
