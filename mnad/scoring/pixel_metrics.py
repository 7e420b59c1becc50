"""How well an anomaly map points at the masked pixels: pixel AUROC and per-region overlap.

AUPRO (Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021): the overlap of the thresholded map with
each connected region of the masks, averaged over regions (so a small defect counts as much as a large one), against
the false positive rate of normal pixels, integrated up to a rate of 0.3 and divided by it.
"""

import cv2
import numpy as np
from sklearn.metrics import roc_auc_score

from mnad.run import UserError

LIMIT = 0.3  # the largest false positive rate that AUPRO looks at


def check(maps: np.ndarray, masks: np.ndarray) -> None:
    """Raise ``UserError`` unless maps and masks have one shape, and masks show both kinds of pixels."""
    if maps.shape != masks.shape:
        raise UserError(f"anomaly maps of shape {maps.shape}; expected that of the masks, {masks.shape}")
    if masks.all() or not masks.any():
        raise UserError("masks: all pixels are of one kind; expected anomalous and normal pixels")


def pixel_auroc(maps: np.ndarray, masks: np.ndarray) -> float:
    """AUROC over all pixels. ``maps`` N x H x W float, ``masks`` N x H x W bool.

    Raises:
        UserError: see :func:`check`.
    """
    check(maps, masks)
    return float(roc_auc_score(masks.ravel(), maps.ravel()))


def region_weights(masks: np.ndarray) -> np.ndarray:
    """What each pixel adds to the mean overlap, N x H x W: 1 / (size of its region * number of regions); 0 outside.
    Regions are connected over edges and corners."""
    weights = np.zeros(masks.shape)
    regions = 0
    for mask, weight in zip(masks, weights, strict=True):
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        sizes = np.bincount(labels.ravel(), minlength=count)
        weight[mask] = 1 / sizes[labels[mask]]
        regions += count - 1
    return weights / max(regions, 1)


def aupro(maps: np.ndarray, masks: np.ndarray, limit: float = LIMIT, inside: np.ndarray | None = None) -> float:
    """Area under the mean per-region overlap up to false positive rate ``limit``, over ``limit``: in [0, 1].

    Exact: the curve has a corner at every distinct value of the maps. Shapes as in :func:`pixel_auroc`.

    Args:
        inside: N x H x W bool, the pixels that count; None is all. No mask may reach outside.

    Raises:
        UserError: see :func:`check`.
    """
    check(maps, masks)
    order = np.argsort(-maps.ravel(), kind="stable")
    if inside is not None:
        order = order[inside.ravel()[order]]
    values = maps.ravel()[order]
    ends = np.flatnonzero(np.r_[np.diff(values) < 0, True])  # the last pixel of each group of equal values
    overlap = np.r_[0, np.cumsum(region_weights(masks).ravel()[order])[ends]]
    normal = ~masks.ravel()[order]
    rate = np.r_[0, np.cumsum(normal)[ends] / normal.sum()]
    inside = rate < limit
    at_limit = np.interp(limit, rate, overlap)
    return float(np.trapezoid(np.r_[overlap[inside], at_limit], np.r_[rate[inside], limit]) / limit)


def pixel_metrics(maps: np.ndarray, masks: np.ndarray, inside: np.ndarray | None = None) -> dict[str, float]:
    """``pixel_auroc`` and ``aupro``; shapes as in :func:`pixel_auroc`, ``inside`` as in :func:`aupro`."""
    if inside is None:
        return {"pixel_auroc": pixel_auroc(maps, masks), "aupro": aupro(maps, masks)}
    return {"pixel_auroc": pixel_auroc(maps[inside], masks[inside]), "aupro": aupro(maps, masks, inside=inside)}
