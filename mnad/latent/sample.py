"""Stratified samples of a stated size and seed."""

import numpy as np
import pandas as pd

from mnad.run import UserError

STRATA = ("set", "label", "kind", "video")  # columns; those that a table has


def strata_of(table: pd.DataFrame) -> np.ndarray:
    """Name of each row's stratum, such as ``test, 1, overflow``: its set and label, and kind or video if known."""
    return table[[c for c in STRATA if c in table]].astype(str).agg(", ".join, axis=1).to_numpy()


def allot(sizes: np.ndarray, total: int) -> np.ndarray:
    """Share ``total`` among strata of ``sizes``: the small ones whole, the rest in equal parts.

    Rare kinds (a few anomalies among thousands of normals) are thus all seen. Sums to ``min(total, sizes.sum())``.
    """
    share = np.zeros(len(sizes), dtype=np.int64)
    left = total
    for position, stratum in enumerate(np.argsort(sizes, kind="stable")):
        share[stratum] = min(sizes[stratum], left // (len(sizes) - position))
        left -= share[stratum]
    return share


def stratified(strata: np.ndarray, total: int, seed: int) -> np.ndarray:
    """Sorted indices of at most ``total`` of the rows whose strata are given; all rows when they are fewer.

    Raises:
        UserError: ``total`` below the number of strata.
    """
    names, codes = np.unique(strata, return_inverse=True)
    if total < len(names):
        raise UserError(f"sample of {total}: smaller than its {len(names)} strata; expected at least one of each")
    if total >= len(strata):
        return np.arange(len(strata))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(strata))
    by_stratum = order[np.argsort(codes[order], kind="stable")]
    sizes = np.bincount(codes)
    starts = np.cumsum(sizes) - sizes
    parts = [by_stratum[s : s + n] for s, n in zip(starts, allot(sizes, total), strict=True)]
    return np.sort(np.concatenate(parts))


def counts(strata: np.ndarray, picked: np.ndarray) -> dict[str, dict[str, int]]:
    """Stratum -> how many rows there are and how many were picked."""
    names, sizes = np.unique(strata, return_counts=True)
    return {
        str(name): {"total": int(size), "picked": int((strata[picked] == name).sum())}
        for name, size in zip(names, sizes, strict=True)
    }
