"""Which image played which role, written beside a run; ``--layout_options.description split.json`` repeats it."""

from collections.abc import Sequence
from pathlib import Path

from mnad.data.checks import content_hash
from mnad.data.layout import Layout
from mnad.errors import UserError
from mnad.files import read_config, read_json, write_json

NAME = "split.json"


def relative(path: Path, root: Path) -> str:
    """``path`` from ``root`` with forward slashes; as it is when it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def write_split(path: Path, layout: Layout, validation: Sequence[int] = ()) -> None:
    """Write the roles in the form that :mod:`mnad.data.generic` reads.

    Args:
        validation: indices into ``layout.train`` of the images that were held back.
    """
    root = layout.root
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


def check_unseen(checkpoint: Path, layout: Layout) -> None:
    """Refuse to test a run's detector on images that its training or its threshold has seen.

    An image is known by its path from the folder of the data. Where the run's own data can still be read, one of
    another content is another image. A checkpoint outside a run folder tells nothing and is accepted.

    Args:
        checkpoint: run folder, folder of one of its models, or the file in either.
        layout: what is to be tested.

    Raises:
        UserError: such an image is in ``layout.test``; names the remedy.
    """
    folder = (checkpoint if checkpoint.is_dir() else checkpoint.parent).resolve()
    runs = ((f, read_config(f)) for f in (folder, folder.parent) if (f / NAME).is_file())
    folder, config = next(((f, config) for f, config in runs if config), (None, {}))
    if folder is None:
        return
    root, split = layout.root, read_json(folder / NAME)
    seen = {name: role for role in ("train", "validation", "known") for name in split.get(role, [])}
    own = Path(config.get("data") or root)

    def same(name: str) -> bool:
        original, tested = own / name, root / name
        try:
            return original == tested or content_hash(original) == content_hash(tested)
        except (OSError, UserError):
            return True  # the data were moved: the name is all that is left to go by

    found = [name for name in (relative(path, root) for path in layout.test) if name in seen and same(name)]
    if found:
        raise UserError(
            f"{root}: {len(found)} of {len(layout.test)} test images chose weights or threshold of {checkpoint} "
            f"(first: {found[0]}, {seen[found[0]]}); --layout_options.description {folder / NAME}, its own split, "
            "was expected"
        )
