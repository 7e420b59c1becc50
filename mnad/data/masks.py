"""Pixel masks of test anomalies: which pixels are wrong."""

from pathlib import Path

import cv2
import numpy as np

from mnad.config import Fit
from mnad.data.decoding import decode
from mnad.data.hdf5 import is_member, member
from mnad.data.images import box
from mnad.data.layout import Layout
from mnad.data.reading import read_bytes, read_image
from mnad.run import UserError


def read_mask(path: Path, image: Path, size: tuple[int, int], fit: Fit = "resize") -> np.ndarray:
    """H x W bool at ``size``; any value above zero in any channel but alpha is anomalous, whatever the depth. A smaller
    or larger copy of the mask does as well, up to the rounding of its sides.

    Raises:
        UserError: unreadable, or of another shape than its image.
    """
    pixels = np.atleast_3d(member(path) if is_member(path) else decode(read_bytes(path), path))
    mask = (pixels[..., :3] > 0).any(axis=2)
    shape = read_image(image).shape[:2]
    if abs(mask.shape[0] * shape[1] - mask.shape[1] * shape[0]) > (shape[0] + shape[1]) / 2:
        raise UserError(
            f"{path}: mask of {mask.shape[1]} x {mask.shape[0]} pixels; expected the {shape[1]} x {shape[0]} of "
            f"{image}, or a copy of that shape"
        )
    # The share of each target pixel that is anomalous; at least half of it, or the largest where all are thin.
    top, left, height, width = box(shape, size) if fit == "letterbox" else (0, 0, *size)
    share = np.zeros(size, dtype=np.float32)
    share[top : top + height, left : left + width] = cv2.resize(
        mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA
    )
    return share >= min(0.5, max(float(share.max()), 1e-6))


def read_masks(layout: Layout, size: tuple[int, int], fit: Fit = "resize") -> np.ndarray:
    """Masks of all test images, N x H x W bool; normal images have an empty one.

    Raises:
        UserError: an anomaly without mask, or a mask that does not fit.
    """
    masks = np.zeros((len(layout.test), *size), dtype=bool)
    for i, (image, label) in enumerate(zip(layout.test, layout.labels, strict=True)):
        path = layout.masks.get(image)
        if path is not None:
            masks[i] = read_mask(path, image, size, fit)
        elif label == 1:
            raise UserError(f"{image}: has no mask although others have; expected a mask for each anomaly or none")
    return masks
