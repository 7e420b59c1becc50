"""MVTec AD and sets of the same shape (marble: good, crack, dot, joint).

The layout::

    DIR/train/good/*            normal
    DIR/train/<defect>/*        known anomalies, for the threshold only (marble has some, MVTec AD none)
    DIR/test/good/*
    DIR/test/<defect>/*
    DIR/ground_truth/<defect>/<name>_mask.png    of every test defect, or no folder at all

``DIR`` is one category, or the folder of several with ``layout_options.category`` naming one (or ``all``).
"""

from pathlib import Path

import numpy as np

from mnad.config import LayoutOptions
from mnad.data.layout import Layout
from mnad.data.reading import list_images
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


def defects(folder: Path) -> list[Path]:
    """Folders beside ``good``, sorted."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name != GOOD and not p.name.startswith("."))


def find_masks(root: Path, images: list[Path]) -> dict[Path, Path]:
    """The mask of each of ``images``; empty when the set has no ground_truth folder.

    Raises:
        UserError: some of them have none.
    """
    truth = root / "ground_truth"
    if not truth.is_dir():
        return {}
    masks = {image: truth / image.parent.name / f"{image.stem}_mask.png" for image in images}
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
    layout = Layout()
    if train:
        layout.train = list_images(root / "train" / GOOD)
        layout.known = [image for folder in defects(root / "train") for image in list_images(folder)]
    if test:
        normal = list_images(root / "test" / GOOD)
        anomalous = [image for folder in defects(root / "test") for image in list_images(folder)]
        layout.test = normal + anomalous
        layout.labels = np.repeat([0, 1], [len(normal), len(anomalous)])
        layout.masks = find_masks(root, anomalous)
    return layout
