"""From scores to a verdict: named rules that see validation normals and known anomalies, never the test set.

An image is called anomalous when ``score >= threshold``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from mnad.config import DetectorConfig, Rule, ThresholdConfig
from mnad.run import UserError
from mnad.scoring.promise import Promise, promise

FEWEST_RECENT = 100  # images for the rule `recent`
FEWEST_KNOWN = 10  # anomalies for the rule `balanced_capped`: if it finds them all, it may still miss 26 % of others
ONE_DEVIATION = 0.8413  # quantile of a normal distribution


@dataclass
class Threshold:
    """A chosen threshold, the rule that was used in the end, and a sentence about it.

    Attributes:
        promise: bounds of its error rates; None for a threshold of before 2026-11-25.
    """

    value: float
    rule: Rule
    note: str
    promise: Promise | None = None

    @classmethod
    def from_json(cls, stored: Mapping) -> "Threshold":
        """What ``dataclasses.asdict`` made of one.

        Raises:
            TypeError: other keys.
            ValueError: no object, a value that is no finite number, an unknown rule, or a promise that is none.
        """
        if not isinstance(stored, dict):
            raise ValueError(f"threshold {stored!r}")
        kept = stored.get("promise")
        found = cls(**{**stored, "promise": None if kept is None else Promise.from_json(kept)})
        number = isinstance(found.value, int | float) and not isinstance(found.value, bool)
        if not number or not math.isfinite(found.value):
            raise ValueError(f"threshold {found.value!r}")
        if found.rule not in get_args(Rule) or not isinstance(found.note, str):
            raise ValueError(f"threshold by the rule {found.rule!r}, {found.note!r}")
        return found

    def __str__(self) -> str:
        text = f"threshold {self.value:.4g}, {self.note}"
        return text if self.promise is None else f"{text}\n{self.promise}"


def balanced_threshold(normal: np.ndarray, anomalous: np.ndarray) -> float | None:
    """Midpoint of the first gap between neighbouring scores at which TPR + TNR is largest, in the unit of the scores;
    None where no threshold is better than chance.

    Args:
        normal: N scores of normals, at least one.
        anomalous: K scores of anomalies, at least one.
    """
    from sklearn.metrics import roc_curve  # a detector loads without it

    labels = np.r_[np.zeros(len(normal)), np.ones(len(anomalous))]
    scores = np.r_[normal, anomalous]
    fpr, tpr, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    best = thresholds[np.argmax(tpr - fpr)]
    if not math.isfinite(best):  # the first of the curve, which flags nothing
        return None
    below = scores[scores < best]
    return float((best + below.max()) / 2) if len(below) else float(best)


def choose_threshold(config: ThresholdConfig, normal: np.ndarray, anomalous: np.ndarray) -> Threshold:
    """Apply ``config.rule`` to the scores of validation normals and known anomalies (1-D arrays).

    Without anomalies every rule but ``normal_quantile`` falls back to it, and the note says so. With q that quantile of
    the N normals, b what :func:`balanced_threshold` makes of both sets and K anomalies, ``balanced_capped`` is
    ``max(q, b)`` for K of at least 10 and q for fewer.

    Raises:
        UserError: an unknown rule, no normals.
    """
    if len(normal) == 0:
        raise UserError("threshold: no validation normals; expected at least one")
    high = float(np.quantile(normal, config.normal_quantile))
    high_name = f"the {config.normal_quantile:.2%} quantile of {len(normal)} validation normals"
    if config.rule == "normal_quantile":
        return Threshold(high, "normal_quantile", high_name)
    if len(anomalous) == 0:
        return Threshold(
            high, "normal_quantile", f"no known anomalies for rule {config.rule}: fell back to {high_name}"
        )
    low = float(np.quantile(anomalous, config.anomalous_quantile))
    low_name = f"the {config.anomalous_quantile:.2%} quantile of {len(anomalous)} known anomalies"
    if config.rule == "anomalous_quantile":
        return Threshold(low, config.rule, low_name)
    if config.rule == "midpoint":
        return Threshold((low + high) / 2, config.rule, f"halfway between {high_name} and {low_name}")
    if config.rule == "balanced_capped" and len(anomalous) < FEWEST_KNOWN:
        few = f"rule {config.rule} needs {FEWEST_KNOWN} known anomalies, not {len(anomalous)}"
        return Threshold(high, "normal_quantile", f"{few}: fell back to {high_name}")
    if config.rule in ("balanced", "balanced_capped"):
        note = f"largest balanced accuracy on {len(normal)} validation normals and {len(anomalous)} known anomalies"
        value = balanced_threshold(normal, anomalous)
        if value is None:
            return Threshold(
                high, "normal_quantile", f"no threshold is better than chance by {note}: fell back to {high_name}"
            )
        if config.rule == "balanced_capped" and value < high:
            alarms = f"balanced accuracy with {len(anomalous)} known anomalies is largest at {value:.4g}, which "
            alarms += f"{int((normal >= value).sum())} of the normals reach"
            return Threshold(high, config.rule, f"{high_name}; {alarms}")
        return Threshold(value, config.rule, note)
    raise UserError(f"threshold.rule: expected one of {', '.join(get_args(Rule)[:-1])}, got {config.rule!r}")


def moved_threshold(config: ThresholdConfig, old: float, recent: np.ndarray) -> Threshold:
    """The rule ``recent``: ``old`` where it lies in a range above the median of ``recent`` scores, else its nearer end.

    With m the median of the recent scores and d the distance from it to their 84.13 % quantile (one standard deviation
    of a normal distribution; anomalies at a share of a few percent hardly move it), the range is ``m + a d`` to
    ``m + b d`` for ``config.recent`` (a, b). A shift or stretch of all scores, as another light brings it, is followed;
    an unchanged line changes nothing or little. Nothing is assumed of single images, so they need no labels.

    Args:
        recent: N scores of consecutive images of the line, at least 100.

    Raises:
        UserError: fewer.
    """
    if len(recent) < FEWEST_RECENT:
        raise UserError(f"threshold.rule: recent needs at least {FEWEST_RECENT} images, better 200; got {len(recent)}")
    middle, upper = np.quantile(recent, (0.5, ONE_DEVIATION))
    low, high = (float(middle + factor * (upper - middle)) for factor in config.recent)
    place = f"{config.recent[0]:g} to {config.recent[1]:g} deviations above the median of {len(recent)} recent images"
    if low <= old <= high:
        return Threshold(old, "recent", f"as before, since it lies {place}")
    value, end = (low, "lowest") if old < low else (high, "highest")
    return Threshold(value, "recent", f"moved from {old:.4g} to the {end} that lies {place}")


def choose_thresholds(
    config: DetectorConfig,
    normal: Mapping[str, np.ndarray],
    known: Mapping[str, np.ndarray],
    seen: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Threshold]:
    """The threshold of every score in ``normal``, each by its own rule.

    Args:
        config: has the rules, and says how many changed copies are among the values.
        normal: score -> N values of the validation normals, the unchanged ones first.
        known: score -> K values of the known anomalies, the unchanged ones first; empty without any. What is promised
            rests on the unchanged ones of both: copies are no further images.
        seen: score -> values of normals that were trained on and that threshold and promise see as well.

    Raises:
        UserError: see :func:`choose_threshold`.
    """
    found = {}
    copies = config.calibration.normal_copies, config.calibration.known_copies
    for name, values in normal.items():
        trained_on = (seen or {}).get(name, np.zeros(0))
        roles = np.concatenate([values, trained_on]), known.get(name, np.zeros(0))
        chosen = choose_threshold(config.rule(name), *roles)
        if len(trained_on):
            chosen = replace(chosen, note=f"{chosen.note}; {len(trained_on)} of the normals are frames trained on")
        if any(copies):
            note = f"{chosen.note}; {copies[0]} changed copies of each normal, {copies[1]} of each anomaly among them"
            chosen = replace(chosen, note=note)
        unchanged = [scores[: len(scores) // (1 + count)] for scores, count in zip(roles, copies, strict=True)]
        found[name] = replace(chosen, promise=promise(chosen.value, *unchanged))
    return found
