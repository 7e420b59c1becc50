"""Two folders, one of normal images and one of anomalies (brain scans ``no`` / ``yes``, and any other such set).

The layout::

    DIR/normal/*      or another of NORMAL below; layout_options.normal gives any other name
    DIR/abnormal/*    or another of ABNORMAL; layout_options.abnormal

There is no test folder, so a seeded split makes one: a share ``test_fraction`` of the normals and all anomalies but
the share ``known_fraction``, which may choose the threshold. A run stores the split in ``split.json``.
"""

from pathlib import Path

import numpy as np

from mnad.config import LayoutOptions
from mnad.data.layout import Layout
from mnad.data.reading import list_images
from mnad.run import UserError

# Usual names, in small letters and with _ for a space or a hyphen; folders may write them otherwise.
NORMAL = (
    *("normal", "normals", "good", "ok", "no", "healthy", "negative", "clean", "intact"),
    *("no_defect", "non_defective", "nondefective", "defect_free", "no_anomaly", "no_tumor", "notumor", "no_tumour"),
)
ABNORMAL = (
    *("abnormal", "abnormals", "anomalous", "anomaly", "anomalies", "bad", "yes", "sick", "diseased", "positive"),
    *("nok", "not_ok", "ng", "defect", "defects", "defective", "faulty", "damaged", "tumor", "tumour"),
)


def usual(root: Path, names: tuple[str, ...]) -> list[str]:
    """Folders of ``root`` with one of the usual ``names``, sorted."""
    folders = [path.name for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    return sorted(name for name in folders if name.lower().replace(" ", "_").replace("-", "_") in names)


def folder_names(root: Path, options: LayoutOptions) -> tuple[str, str] | None:
    """Names of the normal and of the abnormal folder: those of ``options``, else the usual ones; None unless there is
    at least one folder of each kind.

    Raises:
        UserError: several folders have a usual name of one kind.
    """
    found: list[str] = []
    for key, names in (("normal", NORMAL), ("abnormal", ABNORMAL)):
        given = getattr(options, key)
        folders = [given] if given else usual(root, names)
        if len(folders) > 1 and usual(root, NORMAL) and usual(root, ABNORMAL):
            raise UserError(f"layout_options.{key}: none, and {root} has {', '.join(folders)}; expected one of them")
        found += folders[:1]
    return (found[0], found[1]) if len(found) == 2 else None


def seeded_parts(paths: list[Path], fraction: float, seed: int) -> tuple[list[Path], list[Path]]:
    """A random share ``fraction`` of ``paths`` (rounded) and the others, both in their order."""
    order = np.random.default_rng(seed).permutation(len(paths))
    count = round(fraction * len(paths))
    return [paths[i] for i in np.sort(order[:count])], [paths[i] for i in np.sort(order[count:])]


def read_two_folders(root: Path, train: bool = True, test: bool = True, options: LayoutOptions | None = None) -> Layout:
    """The seeded split of the two folders.

    Raises:
        UserError: folders without usual names, a missing or empty folder, a share out of range, or a split that leaves
            a role empty.
    """
    options = options or LayoutOptions()
    for key, low_allowed in (("test_fraction", False), ("known_fraction", True)):
        value = getattr(options, key)
        if not (0 <= value < 1 if low_allowed else 0 < value < 1):
            raise UserError(f"layout_options.{key}: expected a share below 1, got {value}")
    names = folder_names(root, options)
    if names is None:
        raise UserError(
            f"{root}: expected a folder of normal images ({', '.join(NORMAL)}) and one of anomalies "
            f"({', '.join(ABNORMAL)}), or --layout_options.normal and --layout_options.abnormal"
        )
    normal, abnormal = (list_images(root / name) for name in names)
    others = sorted(path.name for path in root.iterdir() if path.is_dir() and path.name not in names)
    tested, trained = seeded_parts(normal, options.test_fraction, options.seed)
    known, anomalous = seeded_parts(abnormal, options.known_fraction, options.seed)
    if len(trained) < 2 or not tested or not anomalous:
        raise UserError(
            f"{root}: {len(normal)} normal and {len(abnormal)} abnormal images give {len(trained)} to train on and "
            f"{len(tested)} + {len(anomalous)} to test; expected at least 2 and 1 + 1"
        )
    layout = Layout(
        note=f"{len(normal)} images of {names[0]}/ taken as normal, {len(abnormal)} of {names[1]}/ as anomalous"
    )
    if others:
        layout.note += f", not read: {', '.join(f'{name}/' for name in others)}"
    if train:
        layout.train, layout.known = trained, known
    if test:
        layout.test, layout.labels = tested + anomalous, np.repeat([0, 1], [len(tested), len(anomalous)])
    return layout
