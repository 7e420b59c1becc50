"""The gauge: its p-values are uniform, it stays quiet on shuffles, fires on changed wells, and says what is wrong."""

import numpy as np
import pytest
import torch

from mnad.config import DetectorConfig, ModelConfig
from mnad.data.changes import Change
from mnad.data.drawing import draw_well
from mnad.data.reading import resize
from mnad.detector import Detector
from mnad.run import UserError
from mnad.scoring.drift import PICTURE, Gauge, Reference, picture_statistics, watch


@pytest.fixture(scope="module")
def wells() -> list[np.ndarray]:
    kinds = ("low", "full", "neck", "bright", "dark", "clamp", "hand")
    return [draw_well(np.random.default_rng([5, i]), kinds[i % len(kinds)]) for i in range(400)]


@pytest.fixture(scope="module")
def detector(wells) -> Detector:
    torch.manual_seed(0)
    found = Detector(DetectorConfig(model=ModelConfig(width=4, item_dim=16)))
    found.calibrate(small(wells[:40]))
    return found


def small(images: list[np.ndarray], change: str = "none") -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([resize(Change.parse(change)(image, rng), (32, 48)) for image in images])


def test_ranks_by_hand():
    """Among 0 to 9 the value 4.5 stands above five: (5 + u) / 11 with u in (0, 1]; then it counts itself."""
    gauge = Gauge(Reference(np.arange(20.0)[:, None] // 2, ("a",)))
    assert 10 / 21 < gauge.ranks([4.5])[0] <= 11 / 21
    assert 10 / 22 < gauge.ranks([4.2])[0] <= 11 / 22
    tied = [Gauge(Reference(np.zeros((20, 1)), ("a",)), seed=i).ranks([0.0])[0] for i in range(200)]
    assert np.mean(tied) == pytest.approx(0.5, abs=0.06)


def test_capital_by_hand():
    """One value, one image: the mean of the bets at its rank; the games that have not begun still hold their share."""
    gauge = Gauge(Reference(np.arange(20.0)[:, None], ("a",)), horizon=200)
    gauge.ranks = lambda values: np.array([0.975])
    shifts, z = np.array([-2, -1, -0.5, -0.25, 0.25, 0.5, 1, 2]), 1.959964
    won = np.exp(shifts * z - shifts**2 / 2).mean()
    assert gauge.update([0]).evidence == pytest.approx((won + 1) / 2, rel=1e-6)


def test_false_alarms_are_as_rare_as_promised():
    """Exchangeable numbers of heavy tails; a rate of 0.2 may fire in 0.2 of 60 runs, by chance in 18."""
    fired = 0
    for i in range(60):
        values = np.random.default_rng(i).standard_t(2, (300, 3))
        fired += watch(Reference(values[:100], ("a", "b", "c")), values[100:], alarm_rate=0.2, seed=i)[0].fired
    assert fired <= 18


def test_quiet_on_shuffles_and_firing_on_changes(wells, detector):
    values = detector.statistics(small(wells))
    names = detector.statistics_names
    assert names == ("wall_hue", "glitter", *PICTURE) and values.shape == (400, 8)
    rng = np.random.default_rng(0)
    for i in range(5):
        order = rng.permutation(400)
        assert not watch(Reference(values[order[:200]], names), values[order[200:]], seed=i)[0].fired
    reference = Reference(values[:200], names)
    for change in ("blur=1.5", "noise=15", "grey=1", "brightness=0.6", "blue=1.2"):
        state, after = watch(reference, detector.statistics(small(wells[200:], change)))
        assert state.fired and after <= 200, change
        assert state.leading in names and "DRIFT" in str(state)


def test_statistics_by_hand():
    x = torch.full((1, 3, 32, 48), -0.5)
    x[:, 2] = 0.25
    found = dict(zip(PICTURE, picture_statistics(x)[0].tolist(), strict=True))
    assert found["level_red"] == pytest.approx(np.log(0.5), abs=1e-6)
    assert found["level_blue"] == pytest.approx(np.log(1.25), abs=1e-6)
    assert found["saturation"] == pytest.approx(0.75)
    assert found["sharpness"] == pytest.approx(np.log(1e-6), abs=1e-3)


def test_reference_travels_in_the_checkpoint(tmp_path, wells, detector):
    detector.save(tmp_path / "a.safetensors")
    again = Detector.load(tmp_path / "a.safetensors")
    assert np.array_equal(again.reference.values, detector.reference.values)
    assert again.reference.values.shape == (40, 8)
    (verdict,) = again.predict(wells[:1], statistics=True)
    assert tuple(verdict.statistics) == again.statistics_names
    assert Gauge(again.reference).update(verdict.statistics).seen == 1
    (plain,) = again.predict(wells[:1])
    assert plain.statistics == {} and plain.score == verdict.score


def test_reset_and_a_new_horizon():
    reference = Reference(np.random.default_rng(0).normal(size=(50, 1)), ("a",))
    gauge = Gauge(reference, horizon=100)
    for _ in range(60):
        state = gauge.update([5.0])
    assert state.fired and state.seen == 60
    gauge.reset()
    assert not gauge.update([0.0]).fired
    for value in np.random.default_rng(1).normal(size=150):
        state = gauge.update([value])
    assert state.seen == 151 and len(gauge.bag[0]) == 50 + 51


def test_what_is_refused():
    with pytest.raises(UserError, match="gauge: 3 reference images; expected at least 20, better 200"):
        Reference(np.zeros((3, 1)), ("a",))
    gauge = Gauge(Reference(np.zeros((20, 1)), ("a",)))
    with pytest.raises(UserError, match="gauge: no value 'a'; expected a"):
        gauge.update({"b": 1.0})
    with pytest.raises(UserError, match="expected 1 finite numbers"):
        gauge.update([float("nan")])
    with pytest.raises(UserError, match="gauge: alarm rate 2; expected a number between 0 and 1"):
        Gauge(gauge.reference, alarm_rate=2)
