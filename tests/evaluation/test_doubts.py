"""A useless result says so, in one line for each reason."""

import numpy as np
import pytest

from mnad.evaluation.result import judge_scores
from mnad.scoring.metrics import auroc_interval
from mnad.scoring.promise import promise
from mnad.scoring.threshold import Threshold


def judged(scores, labels, threshold, normal):
    kept = Threshold(threshold, "normal_quantile", "by hand", promise(threshold, normal, np.zeros(0)))
    return judge_scores({"s": scores}, labels, {"s": kept})["s"]["doubts"]


def test_interval_by_hand():
    # Hanley and McNeil: AUC 0.9, 50 and 50 images: q1 = 0.8182, q2 = 0.8526, standard error 0.0321
    assert auroc_interval(0.9, 50, 50) == pytest.approx((0.8370, 0.9630), abs=5e-4)
    assert auroc_interval(1.0, 5, 5) == (1.0, 1.0)


def test_a_good_result_has_no_doubt():
    labels = np.repeat([0, 1], [200, 50])
    scores = np.where(labels == 1, 3.0, 0.0) + np.linspace(0, 1, 250)
    assert judged(scores, labels, 2.5, np.linspace(0, 1, 100)) == []


def test_chance_and_a_verdict_that_says_nothing():
    labels = np.tile([0, 1], 100)
    found = judged(np.arange(200.0), labels, 100.0, np.arange(200.0))
    assert "may be chance" in found[0] and found[0].startswith("AUROC 0.50")
    assert "TPR 0.500 is not above the false-alarm rate 0.500" in found[1]


def test_more_false_alarms_than_promised():
    labels = np.repeat([0, 1], [200, 50])
    scores = np.r_[np.where(np.arange(200) < 46, 2.0, 0.0), np.full(50, 3.0)]
    (found,) = judged(scores, labels, 1.5, np.zeros(1000))
    assert found.startswith("23.0% false alarms here, at most 0.3% were promised")
