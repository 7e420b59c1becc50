"""Recent images that move the threshold, and how soon a gauge tells a change, on scores made by hand."""

import numpy as np
import pytest

from mnad.data.changes import Change
from mnad.data.images import Images
from mnad.evaluation.drift import after_recent, alarms, check_recent
from mnad.run import UserError


def made(shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """1,000 normals about 0 and 40 anomalies about 6, all ``shift`` higher; standard deviation 1."""
    rng = np.random.default_rng(0)
    scores = np.r_[rng.normal(0, 1, 1000), rng.normal(6, 1, 40)] + shift
    return scores, np.r_[np.zeros(1000, int), np.ones(40, int)]


def test_a_shift_of_all_scores_is_followed():
    """The threshold 2.8 is kept unless all scores move by 10: then it lies 2 to 3 deviations above the new median."""
    before = after_recent(*made(), old=2.8, count=200)
    assert before["recent_tpr"] == 1 and before["recent_tnr"] == pytest.approx(0.997, abs=2e-3)
    for shift, tnr in ((10, 0.98), (-10, 0.9985)):  # normal distribution: 2 and 3 deviations; the anomalies widen them
        scores, labels = made(shift)
        found = after_recent(scores, labels, old=2.8, count=200)
        assert found["recent_tpr"] > 0.99 and found["recent_tnr"] == pytest.approx(tnr, abs=0.01)
        assert found["recent_tnr_low"] <= found["recent_tnr"]
        assert not 0.1 < np.mean(scores[labels == 0] >= 2.8) < 0.9  # what the old one would have said


def test_fewer_than_the_rule_needs_or_than_there_are():
    check_recent(200, 400)
    for count in (99, 201):
        with pytest.raises(UserError, match=f"recent: {count}; expected a number from 100 to half of the 400"):
            check_recent(count, 400)


class Level:
    """Stands for a detector whose one statistic is the mean grey level."""

    statistics_names = ("level",)

    def statistics(self, images):
        return images.batch(np.arange(len(images))).mean(axis=(1, 2, 3))[:, None].astype(float)


def test_alarms_are_counted():
    """Noise about 100: unchanged it fires in none of twenty shuffles, ten levels brighter in both, and soon."""
    rng = np.random.default_rng(0)
    levels = rng.integers(90, 111, 420)
    images = Images([np.full((8, 8, 3), level, np.uint8) for level in levels], (8, 8))
    brighter = Images([np.full((8, 8, 3), level + 10, np.uint8) for level in levels], (8, 8))
    labels = np.r_[np.zeros(400, int), np.ones(20, int)]
    sets = [(Change(), images), (Change.parse("brightness=1.1"), brighter)]
    frame = alarms(Level(), sets, labels, draws=2)
    assert frame["change"].tolist() == ["none", "brightness=1.1"]
    assert frame["shuffles"].tolist() == [20, 2] and frame["fired"].tolist() == [0, 2]
    assert 2 < frame["median"][1] <= frame["largest"][1] < 40 and frame["by"].tolist() == ["", "level"]
