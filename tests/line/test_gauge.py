"""The gauge beside a stream of verdicts: its reference, what it ignores, when it turns red."""

import numpy as np
import pytest

from mnad.detector import Detector
from mnad.line.gauge import FIRST, LineGauge
from mnad.run.verdict import Verdict
from mnad.scoring.drift import Reference


@pytest.fixture
def detector(tiny_run):
    return Detector.load(tiny_run)


def verdicts(detector, count, shift=0.0, seed=0):
    values = np.random.default_rng(seed).normal(shift, 1, (count, len(detector.statistics_names)))
    threshold = detector.thresholds[detector.primary].value
    for row in values:
        look = dict(zip(detector.statistics_names, row.tolist(), strict=True))
        yield Verdict("x.jpg", threshold - 1, threshold, statistics=look)


def test_starts_with_the_first_pictures_of_the_line(detector):
    gauge = LineGauge(detector)
    for verdict in verdicts(detector, FIRST):
        assert gauge.drifted is None
        gauge.update(verdict)
    for verdict in verdicts(detector, 300, seed=1):
        gauge.update(verdict)
    assert gauge.drifted is False and "no drift" in gauge.lines()[-1]
    for verdict in verdicts(detector, 200, shift=1.5, seed=2):
        gauge.update(verdict)
    assert gauge.drifted and gauge.standing().drifted and gauge.lines()[-1].startswith("DRIFT: evidence")


def test_anomalies_and_errors_say_nothing(detector):
    gauge = LineGauge(detector)
    threshold = detector.thresholds[detector.primary].value
    gauge.update(Verdict("spill.jpg", threshold + 1, threshold, statistics={"wall_hue": 1.0}))
    gauge.update(Verdict("torn.jpg", error="torn"))
    assert gauge.lines()[-1] == f"gauge of drift: 0 of the {FIRST} pictures that it needs to start"
    assert gauge.lines()[0].startswith("promise for images like those")


def test_a_calibrated_detector_brings_its_own_reference(detector):
    names = tuple(detector.statistics_names)
    detector.reference = Reference(np.random.default_rng(0).normal(0, 1, (200, len(names))), names)
    detector.record = detector.record | {"calibrated": {"normal": 200}}
    gauge = LineGauge(detector)
    for verdict in verdicts(detector, 150, shift=2.0):
        gauge.update(verdict)
    assert gauge.drifted
