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
        fpr, tpr, _ = roc_curve(labels, scores)
        result["auroc"] = float(roc_auc_score(labels, scores))
        result["average_precision"] = float(average_precision_score(labels, scores))
        result["oracle_balanced"] = float(np.minimum(tpr, 1 - fpr).max())
    return result
