"""Does the camera still see what the detector was made for? The gauge of drift beside a stream of verdicts."""

import numpy as np

from mnad.detector import Detector
from mnad.line.report import Standing
from mnad.run.verdict import Verdict
from mnad.scoring.drift import Drift, Gauge, Reference

FIRST = 200  # pictures of the line that become the reference where the detector has none of that line


class LineGauge:
    """Watches the verdict-normal pictures of a line (:mod:`mnad.scoring.drift`).

    The reference is that of ``scripts/calibrate.py --normal DIR``; without one, the first 200 verdict-normal pictures,
    since the validation normals of a training come from another time and differ anyway.

    Args:
        detector: its verdicts need their statistics (:meth:`mnad.detector.Detector.judge`).
        alarm_rate: highest probability of a false alarm in each stretch of 2,000 exchangeable pictures.
    """

    def __init__(self, detector: Detector, alarm_rate: float = 0.01) -> None:
        self.names = tuple(detector.statistics_names)
        self.alarm_rate = alarm_rate
        self.promise = detector.thresholds[detector.primary].promise
        self.collected: list[list[float]] = []
        self.gauge: Gauge | None = None
        self.state: Drift | None = None
        calibrated = detector.record.get("calibrated")
        if detector.reference is not None and isinstance(calibrated, dict) and "normal" in calibrated:
            self.gauge = Gauge(detector.reference, alarm_rate)

    def update(self, verdict: Verdict) -> None:
        """Take the next verdict; anomalous pictures, and those without statistics, say nothing about drift."""
        if verdict.anomalous or not verdict.statistics:
            return
        if self.gauge is not None:
            self.state = self.gauge.update(verdict.statistics)
            return
        self.collected.append([verdict.statistics[name] for name in self.names])
        if len(self.collected) == FIRST:
            self.gauge = Gauge(Reference(np.array(self.collected), self.names), self.alarm_rate)

    @property
    def drifted(self) -> bool | None:
        """Whether the gauge is red; None as long as there is nothing to compare with."""
        return None if self.state is None else self.state.fired

    def lines(self) -> list[str]:
        """What can be promised, and what the gauge says."""
        told = [] if self.promise is None else [str(self.promise)]
        if self.gauge is None:
            return [*told, f"gauge of drift: {len(self.collected)} of the {FIRST} pictures that it needs to start"]
        rate = f"false alarms: at most {self.alarm_rate:.0%} in each {self.gauge.horizon:,} unchanged pictures"
        return [*told, f"{self.state or 'no drift: no picture since the start'}; {rate}"]

    def standing(self) -> Standing:
        """The section of a report."""
        return Standing(self.lines(), self.drifted)
