"""Threshold rules on numbers that can be checked by hand."""

import numpy as np
import pytest

from mnad.config import DetectorConfig, ThresholdConfig
from mnad.run import UserError
from mnad.scoring.threshold import balanced_threshold, choose_threshold, moved_threshold

NORMAL, ANOMALOUS = np.arange(0, 101) / 100, np.arange(200, 301) / 100  # 0..1 and 2..3


def choose(rule, anomalous=ANOMALOUS, **options):
    return choose_threshold(ThresholdConfig(rule, **options), NORMAL, anomalous)


def test_rules_by_hand():
    assert choose("anomalous_quantile", anomalous_quantile=0.1).value == pytest.approx(2.1)
    assert choose("normal_quantile", normal_quantile=0.99).value == pytest.approx(0.99)
    assert choose("midpoint", anomalous_quantile=0.1, normal_quantile=0.9).value == pytest.approx(1.5)
    assert choose("balanced").value == pytest.approx(1.5)


def test_balanced_with_anomalies_that_score_below_every_normal():
    found = choose("balanced", NORMAL[:3] - 1, normal_quantile=0.9)
    assert (found.value, found.rule) == (pytest.approx(0.9), "normal_quantile")
    assert "no threshold is better than chance" in found.note and "fell back to the 90.00% quantile" in found.note


def test_known_anomalies_raise_a_capped_threshold_but_never_lower_it():
    """Normals 0, 0.01 .. 1. Twelve anomalies at 0.8: balanced goes to the gap below them, 0.795, where 21 of 101
    normals would be false alarms; the 95 % quantile is 0.95. Ten anomalies at 3: the middle of their gap, 2."""
    capped = choose("balanced_capped", np.full(12, 0.8), normal_quantile=0.95)
    assert (capped.value, capped.rule) == (pytest.approx(0.95), "balanced_capped")
    assert capped.note.endswith("with 12 known anomalies is largest at 0.795, which 21 of the normals reach")
    assert choose("balanced", np.full(12, 0.8)).value == pytest.approx(0.795)
    raised = choose("balanced_capped", np.full(10, 3.0), normal_quantile=0.95)
    assert (raised.value, raised.rule) == (pytest.approx(2.0), "balanced_capped")
    few = choose("balanced_capped", np.full(9, 3.0), normal_quantile=0.95)
    assert (few.value, few.rule) == (pytest.approx(0.95), "normal_quantile")
    assert few.note.startswith("rule balanced_capped needs 10 known anomalies, not 9: fell back to the 95.00% quantile")


def test_balanced_against_a_slow_search():
    rng = np.random.default_rng(0)
    normal, spill = rng.normal(0, 1, 60), rng.normal(1.5, 1, 40)
    value = balanced_threshold(normal, spill)
    candidates = np.linspace(-4, 6, 4001)
    best = max((spill >= t).mean() + (normal < t).mean() for t in candidates)
    assert (spill >= value).mean() + (normal < value).mean() == pytest.approx(best)


@pytest.mark.parametrize("rule", ["anomalous_quantile", "midpoint", "balanced", "balanced_capped"])
def test_without_anomalies_it_falls_back_and_says_so(rule):
    threshold = choose(rule, anomalous=np.zeros(0), normal_quantile=0.98)
    assert threshold.value == pytest.approx(0.98) and threshold.rule == "normal_quantile"
    assert "no known anomalies" in threshold.note and "98.00% quantile of 101 validation normals" in threshold.note


def test_bad_settings():
    with pytest.raises(UserError, match=r"threshold\.anomalous_quantile: expected a number from 0 to 1, got 1\.5"):
        choose("anomalous_quantile", anomalous_quantile=1.5)
    with pytest.raises(UserError, match=r"threshold\.rule: expected one of anomalous_quantile.*, got 'luck'"):
        choose("luck")
    with pytest.raises(UserError, match="no validation normals"):
        choose_threshold(ThresholdConfig(), np.zeros(0), ANOMALOUS)


def test_recent_images_move_a_threshold_to_the_nearer_end():
    """Scores 0, 1 .. 200: median 100, 84.13 % quantile 168.26, so two to three deviations are 236.52 to 304.78."""
    scores, config = np.arange(201.0), ThresholdConfig(rule="recent")
    for old, expected, word in ((200, 236.52, "lowest"), (400, 304.78, "highest"), (250, 250, "as before")):
        found = moved_threshold(config, old, scores)
        assert found.value == pytest.approx(expected) and word in found.note and found.rule == "recent"
    with pytest.raises(UserError, match="recent needs at least 100 images, better 200; got 99"):
        moved_threshold(config, 1.0, scores[:99])
    with pytest.raises(UserError, match="recent only moves an existing one"):
        DetectorConfig(threshold=config)
