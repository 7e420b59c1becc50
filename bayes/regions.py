"""Regions of the avatars: which part of the picture shows hair, glasses or clothes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.feature_selection import f_classif

# Attributes that show in the same part of the picture.
PARTS = {
    "прическа": ("прическа", "цвет волос"),
    "аксесуар": ("аксесуар",),
    "одежда": ("одежда", "цвет одежды"),
}


def attribute_regions(
    images: np.ndarray, attributes: pd.DataFrame, parts: Mapping[str, Sequence[str]] = PARTS
) -> np.ndarray:
    """Label each pixel with the part whose attributes explain its brightness best.

    Best is the largest F statistic of the one-way analysis of variance of the pixel's brightness over the groups of
    avatars that agree in the part's attributes. Pixels that never change belong to part 0: whose choice they share
    makes no difference.

    Args:
        images: (N, H, W, C) uint8.
        attributes: N rows, one column per attribute.
        parts: name of each part to its attributes.

    Returns:
        (H, W) int, the position of the part in ``parts``; the ``regions`` of ``PixelGenerator.fit``.
    """
    brightness = images.mean(axis=3, dtype=np.float32).reshape(len(images), -1)
    changing = np.ptp(brightness, axis=0) > 0
    statistics = []
    for columns in parts.values():
        groups = attributes.groupby(list(columns), sort=True).ngroup()
        with np.errstate(divide="ignore", invalid="ignore"):  # no variance within the groups: F is infinite
            statistics.append(f_classif(brightness[:, changing], groups)[0])
    regions = np.zeros(brightness.shape[1], dtype=int)
    regions[changing] = np.argmax(np.nan_to_num(statistics, nan=-1.0), axis=0)
    return regions.reshape(images.shape[1:3])
