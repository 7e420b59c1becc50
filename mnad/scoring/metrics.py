"""How good a verdict is: TPR, TNR, AUROC, with 95 % Wilson intervals."""

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve


def auroc(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """Area under the ROC curve, 0 to 1, of N scores against N labels (0 or 1); None when a class is absent."""
    return float(roc_auc_score(labels, scores)) if len(np.unique(labels)) == 2 else None


def wilson(successes: int, trials: int) -> tuple[float, float] | None:
    """95 % Wilson score interval of a proportion; None without trials."""
    if trials == 0:
        return None
    interval = binomtest(int(successes), int(trials)).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def auroc_interval(value: float, n_anomalous: int, n_normal: int) -> tuple[float, float]:
    """95 % interval of an AUROC (Hanley and McNeil, Radiology 1982, eq. 2), cut to [0, 1]; both counts at least 1."""
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value) + (n_anomalous - 1) * (q1 - value**2) + (n_normal - 1) * (q2 - value**2)
    half = 1.959964 * (max(variance, 0.0) / (n_anomalous * n_normal)) ** 0.5
    return max(0.0, value - half), min(1.0, value + half)


def judge(scores: np.ndarray, labels: np.ndarray, threshold: float | None) -> dict[str, object]:
    """Metrics of ``scores >= threshold`` (1-D, higher is more anomalous) against ``labels`` (1 = anomalous).

    ``oracle_balanced`` is the best ``min(TPR, TNR)`` over all thresholds: it has seen the labels, so it is an
    upper bound and no result. Rates of a class that is absent are None, and so is all that needs a threshold where
    there is none.
    """
    anomalous = labels == 1
    n_anomalous, n_normal = int(anomalous.sum()), int((~anomalous).sum())
    result: dict[str, object] = {"n_anomalous": n_anomalous, "n_normal": n_normal}
    result |= dict.fromkeys(("tpr", "tnr", "tpr_ci95", "tnr_ci95"))
    result["auroc"] = value = auroc(labels, scores)
    result["auroc_ci95"] = None if value is None else auroc_interval(value, n_anomalous, n_normal)
    result |= {"average_precision": None, "oracle_balanced": None, "threshold": None, "confusion": None}
    if n_anomalous and n_normal:
        fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)  # an optimum may lie on a straight piece
        result["average_precision"] = float(average_precision_score(labels, scores))
        result["oracle_balanced"] = float(np.minimum(tpr, 1 - fpr).max())
    if threshold is None:
        return result
    verdict = scores >= threshold
    tp, fp = int((verdict & anomalous).sum()), int((verdict & ~anomalous).sum())
    tn = n_normal - fp
    return result | {
        "tpr": tp / n_anomalous if n_anomalous else None,
        "tnr": tn / n_normal if n_normal else None,
        "tpr_ci95": wilson(tp, n_anomalous),
        "tnr_ci95": wilson(tn, n_normal),
        "threshold": float(threshold),
        "confusion": {"tp": tp, "fn": n_anomalous - tp, "fp": fp, "tn": tn},
    }


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
