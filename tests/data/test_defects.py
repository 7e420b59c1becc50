"""Drawn defects: small, the same for the same seed, on any size, and none leaves an image as it was."""

import numpy as np
import pytest

from mnad.data.defects import cut_paste, spot, with_defect


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(60, 180, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("draw", [cut_paste, spot])
@pytest.mark.parametrize("size", [(224, 224), (40, 96), (8, 8)])
def test_a_small_part_of_the_image_changes(draw, size) -> None:
    image = noise(*size)
    for seed in range(20):
        changed = draw(image, np.random.default_rng(seed))
        share = (changed != image).any(axis=2).mean()
        assert changed.dtype == np.uint8 and changed.shape == image.shape
        assert 0 < share < (0.2 if min(size) > 8 else 1)


def test_seed_and_index_decide() -> None:
    image = noise(64, 64)
    assert np.array_equal(with_defect(image, 1, 5), with_defect(image, 1, 5))
    assert not np.array_equal(with_defect(image, 1, 5), with_defect(image, 1, 7))
    assert not np.array_equal(with_defect(image, 1, 5), with_defect(image, 2, 5))
    assert np.array_equal(image, noise(64, 64))  # the image itself is left alone
