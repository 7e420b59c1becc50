"""What a threshold promises for images like those it was chosen on.

Order statistics: let k of n known anomalies lie below the threshold. The threshold is then at most the (k + 1)-th
smallest of their n scores, and the share of all such anomalies below that one has the distribution
Beta(k + 1, n - k), whatever the distribution of the scores. Its 95 % quantile bounds the miss rate, and in the same
way the false-alarm rate of n validation normals of which k reach the threshold. Both hold for exchangeable images
only: another camera, light or product breaks the promise (see :mod:`mnad.scoring.drift`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

CONFIDENCE = 0.95
ONE_PERCENT = 99  # known anomalies from which on the lowest of them promises 1 % misses, on average: 1 / (n + 1)


def rate_bound(wrong: int, count: int, confidence: float = CONFIDENCE) -> float:
    """Upper confidence bound of the rate, in [0, 1], when ``wrong`` of ``count`` exchangeable images are on the wrong
    side of the threshold: the ``confidence`` quantile of Beta(wrong + 1, count - wrong); 1 when all are, or none is
    there.

    >>> round(rate_bound(0, 99), 4)
    0.0298
    """
    return 1.0 if wrong >= count else float(beta.ppf(confidence, wrong + 1, count - wrong))


@dataclass(frozen=True)
class Promise:
    """Counts behind a threshold and the bounds that follow, each with 95 % confidence.

    Attributes:
        n_anomalous: known anomalies; 0 leaves the miss rate without a bound.
        missed: how many of them lie below the threshold.
        n_normal: validation normals.
        false_alarms: how many of them reach it.
        miss_rate, false_alarm_rate: upper bounds in [0, 1].
    """

    n_anomalous: int
    missed: int
    n_normal: int
    false_alarms: int
    miss_rate: float
    false_alarm_rate: float

    @classmethod
    def from_json(cls, stored: Mapping) -> "Promise":
        """What ``dataclasses.asdict`` made of one.

        Raises:
            TypeError: other keys.
            ValueError: no object, counts below 0 or rates outside [0, 1].
        """
        if not isinstance(stored, dict):
            raise ValueError(f"promise {stored!r}")
        found = cls(**stored)
        counts = found.n_anomalous, found.missed, found.n_normal, found.false_alarms
        whole = all(isinstance(count, int) and count >= 0 for count in counts)
        if not whole or not all(0 <= rate <= 1 for rate in (found.miss_rate, found.false_alarm_rate)):
            raise ValueError(f"promise {stored}")
        return found

    def __str__(self) -> str:
        normal = f"at most {self.false_alarm_rate:.1%} false alarms ({self.false_alarms} of {self.n_normal} normals)"
        text = f"promise for images like those it was chosen on, 95 % sure: {normal}"
        if self.n_anomalous == 0:
            return f"{text}; nothing about misses without known anomalies"
        text += f", at most {self.miss_rate:.1%} missed ({self.missed} of {self.n_anomalous} known anomalies)"
        if self.n_anomalous < ONE_PERCENT:
            text += f"; 1 % misses cannot be promised, even on average, with fewer than {ONE_PERCENT} known anomalies"
        return text


def promise(threshold: float, normal: np.ndarray, anomalous: np.ndarray) -> Promise:
    """What ``threshold`` promises, from the scores of validation normals and known anomalies (1-D arrays)."""
    missed, false_alarms = int((anomalous < threshold).sum()), int((normal >= threshold).sum())
    return Promise(
        n_anomalous=len(anomalous),
        missed=missed,
        n_normal=len(normal),
        false_alarms=false_alarms,
        miss_rate=rate_bound(missed, len(anomalous)),
        false_alarm_rate=rate_bound(false_alarms, len(normal)),
    )
