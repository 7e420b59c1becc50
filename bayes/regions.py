"""Regions of the avatars: which part of the picture shows hair, glasses or clothes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

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

    Best is the smallest residual variance of the one-way analysis of variance: the squared deviations from
    the mean of the avatars that agree in the part's attributes, divided by N minus the number of such groups.
    Where no pixel changes the label makes no difference.

    Args:
        images: (N, H, W, C) uint8.
        attributes: N rows, one column per attribute.
        parts: name of each part to its attributes.

    Returns:
        (H, W) int, the position of the part in ``parts``; the ``regions`` of ``PixelGenerator.fit``.
    """
    brightness = images.mean(axis=3, dtype=np.float32)
    residual_variances = []
    for columns in parts.values():
        groups = attributes.groupby(list(columns)).ngroup().to_numpy()
        squares = np.zeros(brightness.shape[1:], dtype=np.float32)
        for group in np.unique(groups):
            members = brightness[groups == group]
            squares += members.var(axis=0) * len(members)
        # Groups of one avatar each explain anything: that is no evidence for the part.
        degrees = len(images) - len(np.unique(groups))
        residual_variances.append(squares / degrees if degrees else np.full_like(squares, np.inf))
    return np.argmin(residual_variances, axis=0)
