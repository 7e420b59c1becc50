"""The promise of a threshold: hand-computed bounds, and their coverage by simulation."""

import numpy as np
import pytest

from mnad.config import ThresholdConfig
from mnad.scoring.promise import promise, rate_bound
from mnad.scoring.threshold import choose_threshold


def test_bounds_by_hand():
    assert rate_bound(0, 99) == pytest.approx(1 - 0.05 ** (1 / 99))  # Beta(1, n): 1 - (1 - x)^n = 0.95
    assert rate_bound(0, 1) == pytest.approx(0.95)
    assert rate_bound(3, 3) == rate_bound(0, 0) == 1.0
    found = promise(2.0, np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 2.0, 5.0]))
    assert (found.missed, found.false_alarms) == (1, 2)  # a score at the threshold is anomalous
    assert found.miss_rate == rate_bound(1, 3) and found.false_alarm_rate == rate_bound(2, 4)


def test_the_sentence():
    few = str(promise(0.5, np.zeros(10), np.ones(98)))
    assert "fewer than 99 known anomalies" in few and "0 of 98 known anomalies" in few
    assert "cannot be promised" not in str(promise(0.5, np.zeros(10), np.ones(99)))
    assert "nothing about misses" in str(promise(0.5, np.zeros(10), np.zeros(0)))


@pytest.mark.parametrize("rule", ["anomalous_quantile", "normal_quantile"])
def test_coverage_of_the_bounds(rule):
    """The true error rate of a threshold exceeds its bound in at most 5 % of the calibrations (here: of 1,000)."""
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    broken = np.zeros(2)
    for _ in range(1000):
        normal, anomalous = rng.normal(0, 1, 200), rng.normal(3, 1, 120)
        config = ThresholdConfig(rule=rule, anomalous_quantile=0.02, normal_quantile=0.98)
        value = choose_threshold(config, normal, anomalous).value
        kept = promise(value, normal, anomalous)
        truth = np.array([norm.cdf(value - 3), norm.sf(value)])
        broken += truth > [kept.miss_rate, kept.false_alarm_rate]
    assert (broken <= 65).all()  # 50 expected; 65 is two standard deviations above
