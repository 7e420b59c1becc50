"""MVTec AD and sets of the same shape (marble: good, crack, dot, joint).

The layout::

    DIR/train/good/*            normal; another usual name does as well (normal, ok, no ...: mnad/data/two_folders.py)
    DIR/train/<defect>/*        known anomalies, for the threshold only (marble has some, MVTec AD none)
    DIR/test/good/*
    DIR/test/<defect>/*
    DIR/ground_truth/<defect>/<name>_mask.png    of every test defect (or <name>.png), or no folder at all

``DIR`` is one category, or the folder of several with ``layout_options.category`` naming one (or ``all``).
"""

from pathlib import Path

import numpy as np

from mnad.config import LayoutOptions
from mnad.data.layout import Layout
from mnad.data.paths import SUFFIXES
from mnad.data.reading import list_images
from mnad.data.two_folders import NORMAL, usual
from mnad.run import UserError

GOOD = "good"


def categories(root: Path) -> list[str]:
    """Names of the categories below ``root``, sorted; empty when ``root`` is one itself."""
    if (root / "train").is_dir():
        return []
    return sorted(path.name for path in root.iterdir() if (path / "train").is_dir()) if root.is_dir() else []


def category_folder(root: Path, category: str) -> Path:
    """The folder of the one category to read.

    Raises:
        UserError: there are several and none was named, or no such category.
    """
    names = categories(root)
    if not names or category not in names:
        if category or names:
            expected = ", ".join(names) or "no name, since the folder is one category itself"
            raise UserError(f"layout_options.category: {category!r} in {root}; expected {expected}")
        return root
    return root / category


def good(folder: Path) -> Path:
    """The folder of normals in ``folder``: ``good``, else the only one of a usual name, else ``good``."""
    names = usual(folder, NORMAL)
    return folder / (names[0] if len(names) == 1 and GOOD not in names else GOOD)


def defects(normal: Path) -> list[Path]:
    """Folders beside ``normal``, that of the normals, sorted."""
    return sorted(p for p in normal.parent.iterdir() if p.is_dir() and p != normal and not p.name.startswith("."))


def mask_of(folder: Path, stem: str) -> Path:
    """The file in ``folder`` with the mask of the image ``stem``; the name it should have where there is none."""
    names = [f"{stem}{end}{suffix}" for end in ("_mask", "") for suffix in (".png", *SUFFIXES)]
    return next((folder / name for name in names if (folder / name).is_file()), folder / names[0])


def find_masks(root: Path, images: list[Path]) -> dict[Path, Path]:
    """The mask of each of ``images``; empty when the set has no ground_truth folder.

    Raises:
        UserError: some of them have none.
    """
    truth = root / "ground_truth"
    if not truth.is_dir():
        return {}
    masks = {image: mask_of(truth / image.parent.name, image.stem) for image in images}
    missing = [mask for mask in masks.values() if not mask.is_file()]
    if missing:
        raise UserError(
            f"{missing[0]}: missing, as {len(missing)} of {len(masks)} masks; expected one for each test defect, or no "
            "ground_truth/ at all"
        )
    return masks


def read_mvtec(root: Path, train: bool = True, test: bool = True, options: LayoutOptions | None = None) -> Layout:
    """The layout of one category.

    Raises:
        UserError: see :func:`category_folder`, :func:`find_masks` and :func:`mnad.data.reading.list_images`.
    """
    root = category_folder(root, (options or LayoutOptions()).category)
    layout, taken = Layout(), []
    if train:
        taken.append(good(root / "train"))
        layout.train = list_images(taken[-1])
        layout.known = [image for folder in defects(taken[-1]) for image in list_images(folder)]
    if test:
        taken.append(good(root / "test"))
        normal = list_images(taken[-1])
        anomalous = [image for folder in defects(taken[-1]) for image in list_images(folder)]
        layout.test = normal + anomalous
        layout.labels = np.repeat([0, 1], [len(normal), len(anomalous)])
        layout.masks = find_masks(root, anomalous)
    if any(folder.name != GOOD for folder in taken):
        layout.note = f"{' and '.join(f'{folder.relative_to(root)}/' for folder in taken)} taken as normal"
    return layout
