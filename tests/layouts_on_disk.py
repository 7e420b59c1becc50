"""Every layout in miniature: noise images on disk for the tests of layouts and of the comparison."""

from pathlib import Path

import cv2
import h5py
import numpy as np
import pandas as pd

SIZE = (16, 24)


def picture(seed: int, spot: bool = False, grey: bool = False, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Smooth noise, with a bright square where there is an anomaly: H x W x 3 uint8, or H x W."""
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.integers(60, 120, (*size, 3)).astype(np.uint8), (0, 0), 2)
    if spot:
        image[4:10, 6:14] = 250
    return image[..., 0] if grey else image


def write(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def fill(folder: Path, count: int, first: int, spot: bool = False, grey: bool = False) -> None:
    for i in range(count):
        write(folder / f"{i:03}.png", picture(first + i, spot, grey))


def spot_mask() -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[4:10, 6:14] = 255
    return mask


def mvtec(root: Path, masks: bool = True, known: bool = False) -> Path:
    fill(root / "train/good", 12, 0)
    fill(root / "test/good", 5, 100)
    for number, defect in enumerate(("crack", "dot")):
        fill(root / "test" / defect, 3, 200 + 10 * number, spot=True)
        if known:
            fill(root / "train" / defect, 2, 300 + 10 * number, spot=True)
        for i in range(3 if masks else 0):
            write(root / "ground_truth" / defect / f"{i:03}_mask.png", spot_mask())
    return root


def two_folders(root: Path, normal: str = "normal", abnormal: str = "abnormal") -> Path:
    fill(root / normal, 20, 0)
    fill(root / abnormal, 10, 100, spot=True)
    return root


def textile(root: Path, offset: int = 48000, floats: bool = False) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, first, labels in (("train32", offset, [0] * 12 + [1, 2, 3, 5]), ("test32", 0, [0, 0, 0, 4, 1])):
        images = np.stack([picture(first + i, bool(label), grey=True) for i, label in enumerate(labels)])[..., None]
        with h5py.File(root / f"{name}.h5", "w") as file:
            file["images"] = images / np.float32(255) if floats else images
        order = np.arange(len(labels))[::-1]  # rows of the table in another order than the images
        columns = {"index": first + order, "indication_value": np.array(labels)[order], "angle": 20}
        pd.DataFrame(columns).to_csv(root / f"{name}.csv", index=False)
    return root
