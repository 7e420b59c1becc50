"""TPR, TNR, AUROC and intervals against slow loops and published numbers."""

import numpy as np
import pytest

from mnad.scoring.metrics import judge, wilson


def test_wilson_by_hand():
    # Wilson (1927) with z = 1.959964: centre (p + z^2 / 2n) / (1 + z^2 / n)
    z, n, p = 1.959964, 64, 61 / 64
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert wilson(61, 64) == pytest.approx((centre - half, centre + half), abs=1e-6)
    assert wilson(0, 0) is None
    assert wilson(10, 10)[1] == 1.0 and wilson(10, 10)[0] == pytest.approx(10 / (10 + z**2))


def test_judge_against_a_slow_loop():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 80)
    scores = np.round(rng.normal(labels, 1.0), 1)  # with ties
    result = judge(scores, labels, 0.5)
    counts = {"tp": 0, "fn": 0, "fp": 0, "tn": 0}
    for score, label in zip(scores, labels, strict=True):
        counts[("t" if (score >= 0.5) == label else "f") + ("p" if score >= 0.5 else "n")] += 1
    assert result["confusion"] == counts
    assert result["tpr"] == counts["tp"] / labels.sum() and result["n_normal"] == (labels == 0).sum()
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[labels == 1] for b in scores[labels == 0]]
    assert result["auroc"] == pytest.approx(np.mean(pairs))
    balanced = max(min((scores[labels == 1] >= t).mean(), (scores[labels == 0] < t).mean()) for t in scores)
    assert result["oracle_balanced"] == pytest.approx(balanced)


def test_the_best_threshold_may_lie_on_a_straight_piece_of_the_curve():
    # four ties of a normal and a spill: ROC points (1/4, 1/4), (1/2, 1/2), (3/4, 3/4); the middle one is the best
    result = judge(np.repeat([1.0, 2.0, 3.0, 4.0], 2), np.tile([0, 1], 4), 0.5)
    assert result["oracle_balanced"] == 0.5


def test_one_class_alone():
    result = judge(np.array([0.1, 0.9]), np.array([0, 0]), 0.5)
    assert result["tpr"] is None and result["auroc"] is None and result["tnr"] == 0.5
