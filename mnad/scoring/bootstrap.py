"""Bootstrap of AUROC over test images: intervals and paired differences."""

import numpy as np


def resampled_counts(labels: np.ndarray, resamples: int, seed: int = 0) -> np.ndarray:
    """How often each test image is drawn in each resample, R x N; normals and anomalies are drawn separately, so
    every resample has as many of each as the test set."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((resamples, len(labels)), dtype=np.float32)
    for value in (0, 1):
        (members,) = np.nonzero(labels == value)
        if len(members):
            counts[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), resamples)
    return counts


def weighted_auroc(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """AUROC of ``scores`` (N) for each row of ``counts`` (R x N): the weighted Mann-Whitney statistic, ties one half.

    Both classes must be present in every row.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])  # of each group of equal scores
    positive = np.add.reduceat(counts[:, order] * (labels[order] == 1), starts, axis=1, dtype=np.float64)
    negative = np.add.reduceat(counts[:, order] * (labels[order] == 0), starts, axis=1, dtype=np.float64)
    below = np.cumsum(negative, axis=1) - negative
    wins = (positive * (below + negative / 2)).sum(axis=1)
    return wins / (positive.sum(axis=1) * negative.sum(axis=1))


def auroc_resamples(runs: list[np.ndarray], labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """AUROC averaged over ``runs`` (score arrays of one method's seeds) in each resample, R values.

    The same ``counts`` for two methods make their difference a paired one.
    """
    return np.mean([weighted_auroc(scores, labels, counts) for scores in runs], axis=0)


def interval(values: np.ndarray) -> np.ndarray:
    """Lower and upper end of the 95 % percentile interval over resamples: R -> 2, or pointwise R x G -> 2 x G."""
    return np.quantile(values, [0.025, 0.975], axis=0)
