"""How good a verdict is: TPR, TNR, AUROC, with 95 % Wilson intervals."""

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve


def wilson(successes: int, trials: int) -> tuple[float, float] | None:
    """95 % Wilson score interval of a proportion; None without trials."""
    if trials == 0:
        return None
    interval = binomtest(int(successes), int(trials)).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def judge(scores: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, object]:
    """Metrics of ``scores >= threshold`` (1-D, higher is more anomalous) against ``labels`` (1 = spill).

    ``oracle_balanced`` is the best ``min(TPR, TNR)`` over all thresholds: it has seen the labels, so it is an
    upper bound and no result. Rates of a class that is absent are None.
    """
    spill = labels == 1
    verdict = scores >= threshold
    tp, fn = int((verdict & spill).sum()), int((~verdict & spill).sum())
    fp, tn = int((verdict & ~spill).sum()), int((~verdict & ~spill).sum())
    result: dict[str, object] = {
        "n_spill": tp + fn,
        "n_normal": fp + tn,
        "tpr": tp / (tp + fn) if tp + fn else None,
        "tnr": tn / (tn + fp) if tn + fp else None,
        "tpr_ci95": wilson(tp, tp + fn),
        "tnr_ci95": wilson(tn, tn + fp),
        "auroc": None,
        "average_precision": None,
        "oracle_balanced": None,
        "threshold": float(threshold),
        "confusion": {"tp": tp, "fn": fn, "fp": fp, "tn": tn},
    }
    if tp + fn and fp + tn:
        fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)  # an optimum may lie on a straight piece
        result["auroc"] = float(roc_auc_score(labels, scores))
        result["average_precision"] = float(average_precision_score(labels, scores))
        result["oracle_balanced"] = float(np.minimum(tpr, 1 - fpr).max())
    return result


def tpr_at(labels: np.ndarray, scores: np.ndarray, fpr: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Highest true positive rate that costs no more than each of the false positive rates ``fpr`` (no interpolation).

    Args:
        labels: N, 0 or 1, both of them present.
        scores: N, higher is more anomalous.
        fpr: G rates in [0, 1].
        weights: N, how often each image counts; None is once.

    Returns:
        G rates in [0, 1].
    """
    x, y, _ = roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    return y[np.searchsorted(x, fpr + 1e-12, side="right") - 1]
