"""Two folders, one of normal images and one of anomalies (brain scans ``no`` / ``yes``, and any other such set).

The layout::

    DIR/normal/*      layout_options.normal gives another name
    DIR/abnormal/*    layout_options.abnormal

There is no test folder, so a seeded split makes one: a share ``test_fraction`` of the normals and all anomalies but
the share ``known_fraction``, which may choose the threshold. A run stores the split in ``split.json``.
"""

from pathlib import Path

import numpy as np

from mnad.config import LayoutOptions
from mnad.data.layout import Layout
from mnad.data.reading import list_images
from mnad.run import UserError


def seeded_parts(paths: list[Path], fraction: float, seed: int) -> tuple[list[Path], list[Path]]:
    """A random share ``fraction`` of ``paths`` (rounded) and the others, both in their order."""
    order = np.random.default_rng(seed).permutation(len(paths))
    count = round(fraction * len(paths))
    return [paths[i] for i in np.sort(order[:count])], [paths[i] for i in np.sort(order[count:])]


def read_two_folders(root: Path, train: bool = True, test: bool = True, options: LayoutOptions | None = None) -> Layout:
    """The seeded split of the two folders.

    Raises:
        UserError: a missing or empty folder, a share out of range, or a split that leaves a role empty.
    """
    options = options or LayoutOptions()
    for key, low_allowed in (("test_fraction", False), ("known_fraction", True)):
        value = getattr(options, key)
        if not (0 <= value < 1 if low_allowed else 0 < value < 1):
            raise UserError(f"layout_options.{key}: expected a share below 1, got {value}")
    normal, abnormal = list_images(root / options.normal), list_images(root / options.abnormal)
    tested, trained = seeded_parts(normal, options.test_fraction, options.seed)
    known, anomalous = seeded_parts(abnormal, options.known_fraction, options.seed)
    if len(trained) < 2 or not tested or not anomalous:
        raise UserError(
            f"{root}: {len(normal)} normal and {len(abnormal)} abnormal images give {len(trained)} to train on and "
            f"{len(tested)} + {len(anomalous)} to test; expected at least 2 and 1 + 1"
        )
    layout = Layout()
    if train:
        layout.train, layout.known = trained, known
    if test:
        layout.test, layout.labels = tested + anomalous, np.repeat([0, 1], [len(tested), len(anomalous)])
    return layout
