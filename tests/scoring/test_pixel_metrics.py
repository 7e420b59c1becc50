"""AUPRO against a slow reading of its definition, and its properties."""

import cv2
import numpy as np
import pytest

from mnad.run import UserError
from mnad.scoring.pixel_metrics import aupro, pixel_auroc


def slow_aupro(maps: np.ndarray, masks: np.ndarray, limit: float) -> float:
    """One threshold after the other, one region after the other, and the area by fine steps."""
    regions = []
    for i, mask in enumerate(masks):
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        regions += [(i, labels == k) for k in range(1, count)]
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        flagged = maps >= threshold
        overlap = np.mean([flagged[i][region].mean() for i, region in regions])
        points.append((flagged[~masks].mean(), overlap))
    rate, overlap = np.array(points).T
    # A vertical step belongs to the rate at which it ends: keep the largest overlap of each rate.
    fine = np.linspace(0, limit, 200_001)
    return float(np.interp(fine, rate, overlap).mean())


def random_case(seed: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = np.zeros((4, 12, 14), dtype=bool)
    masks[0, 2:5, 3:6] = masks[0, 8:11, 9] = masks[1, 0, 0] = masks[1, 1, 1] = masks[3, 5:, 4:] = True
    maps = rng.random(masks.shape) + 0.5 * masks
    return np.round(maps * levels) / levels, masks


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [7, 10_000])  # many ties, hardly any
def test_aupro_equals_the_slow_definition(seed: int, levels: int) -> None:
    maps, masks = random_case(seed, levels)
    for limit in (0.05, 0.3, 1.0):
        assert aupro(maps, masks, limit) == pytest.approx(slow_aupro(maps, masks, limit), abs=2e-4)


def test_perfect_and_inverted_maps() -> None:
    _, masks = random_case(0, 7)
    assert aupro(masks.astype(float), masks) == pytest.approx(1) and pixel_auroc(masks.astype(float), masks) == 1.0
    assert aupro(-masks.astype(float), masks) == 0.0 and pixel_auroc(-masks.astype(float), masks) == 0.0
    assert pixel_auroc(np.zeros(masks.shape), masks) == 0.5
    assert aupro(np.zeros(masks.shape), masks) == pytest.approx(0.15)  # the diagonal up to 0.3


def test_a_small_region_counts_as_much_as_a_large_one() -> None:
    masks = np.zeros((1, 20, 20), dtype=bool)
    masks[0, :10, :10] = masks[0, 15, 15] = True
    only_large, only_small = masks.astype(float), masks.astype(float)
    only_large[0, 15, 15] = only_small[0, :10, :10] = -1
    assert aupro(only_large, masks) == pytest.approx(0.5) == aupro(only_small, masks)
    assert pixel_auroc(only_large, masks) > 0.98 > 0.1 > pixel_auroc(only_small, masks)


def test_any_monotone_change_of_the_map_changes_nothing() -> None:
    maps, masks = random_case(1, 1000)
    assert aupro(np.exp(3 * maps) - 7, masks) == aupro(maps, masks)


@pytest.mark.parametrize("metric", [aupro, pixel_auroc])
def test_refusals(metric) -> None:
    maps, masks = random_case(0, 7)
    with pytest.raises(UserError, match=r"maps of shape \(3, 12, 14\); expected that of the masks, \(4, 12, 14\)"):
        metric(maps[:3], masks)
    with pytest.raises(UserError, match="masks: all pixels are of one kind"):
        metric(maps, np.zeros_like(masks))
