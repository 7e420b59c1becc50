"""Local defects drawn onto normal images: what a choice between fitted models may see in place of real anomalies.

Two kinds, in equal shares: a small patch of the image in another place (CutPaste, Li et al., CVPR 2021), and a small
soft spot that is lighter or darker. Both are small on purpose: large changes are found by any model.
"""

import cv2
import numpy as np

PATCH = (0.05, 0.15)  # side of a square of the area of the patch, in shorter sides of the image
SPOT = (0.008, 0.03)  # semi-axes of a spot, in shorter sides
CONTRAST = (25.0, 70.0)  # of a spot, in grey levels of 255


def cut_paste(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A patch of ``image`` (H x W x 3 uint8) pasted elsewhere, slightly lighter or darker, perhaps upside down."""
    sides = np.array(image.shape[:2])
    side, stretch = min(sides) * rng.uniform(*PATCH), np.exp(rng.uniform(-0.7, 0.7))
    patch = np.clip([side / stretch, side * stretch], 3, sides).astype(int)
    (top, left), (to_top, to_left) = rng.integers(0, sides - patch + 1, (2, 2))
    cut = image[top : top + patch[0], left : left + patch[1]].astype(np.float32)
    cut = cut[::-1] if rng.random() < 0.5 else cut
    changed = image.copy()
    changed[to_top : to_top + patch[0], to_left : to_left + patch[1]] = np.clip(
        cut * rng.uniform(0.85, 1.15) + rng.uniform(-10, 10), 0, 255
    )
    return changed


def spot(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A soft elliptic spot on ``image`` (H x W x 3 uint8), lighter or darker."""
    sides = np.array(image.shape[:2])
    centre = (rng.uniform(0.1, 0.9, 2) * sides).astype(int)
    axes = np.maximum(1, min(sides) * rng.uniform(*SPOT, 2)).astype(int)
    mask = np.zeros(image.shape[:2], dtype=np.float32)
    cv2.ellipse(mask, tuple(map(int, centre[::-1])), tuple(map(int, axes)), rng.uniform(0, 180), 0, 360, 1, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 0.8)
    contrast = rng.choice([-1, 1]) * rng.uniform(*CONTRAST)
    return np.clip(image + contrast * mask[..., None], 0, 255).astype(np.uint8)


def with_defect(image: np.ndarray, seed: int, index: int) -> np.ndarray:
    """``image`` (H x W x 3 uint8) with one defect; the same for the same ``seed`` and ``index``."""
    rng = np.random.default_rng([seed, index])
    return (cut_paste if index % 2 else spot)(image, rng)
