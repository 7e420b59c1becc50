"""From scores to a verdict: named rules that see validation normals and known spills, never the test set.

A well is called a spill when ``score >= threshold``.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.metrics import roc_curve

from mnad.errors import UserError

Rule = Literal["spill_quantile", "normal_quantile", "midpoint", "balanced"]


@dataclass
class ThresholdConfig:
    """How the threshold is chosen.

    Args:
        rule: ``spill_quantile``: a low quantile of the known spills. ``normal_quantile``: a high quantile of the
            validation normals. ``midpoint``: halfway between those two. ``balanced``: the largest balanced
            accuracy on both sets, in the middle of the gap that attains it.
        spill_quantile: in [0, 1]; the share of known spills that may be missed, so 1 % where 99 % are to be found.
        normal_quantile: in [0, 1]; also the fallback when there are no known spills.
    """

    rule: Rule = "spill_quantile"
    spill_quantile: float = 0.01
    normal_quantile: float = 0.995

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a quantile outside [0, 1]."""
        for key in ("spill_quantile", "normal_quantile"):
            if not 0 <= getattr(self, key) <= 1:
                raise UserError(f"threshold.{key}: {getattr(self, key)}; a number from 0 to 1 was expected")


@dataclass
class Threshold:
    """A chosen threshold, with the rule that was really used and a sentence that says so."""

    value: float
    rule: Rule
    note: str


def balanced_threshold(normal: np.ndarray, spill: np.ndarray) -> float:
    """Midpoint of the first gap between neighbouring scores at which TPR + TNR is largest, in the unit of the scores.

    Args:
        normal: N scores of normals, at least one.
        spill: K scores of spills, at least one.
    """
    labels = np.r_[np.zeros(len(normal)), np.ones(len(spill))]
    scores = np.r_[normal, spill]
    fpr, tpr, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    best = thresholds[np.argmax(tpr - fpr)]
    below = scores[scores < best]
    return float((best + below.max()) / 2) if len(below) else float(best)


def choose_threshold(config: ThresholdConfig, normal: np.ndarray, spill: np.ndarray) -> Threshold:
    """Apply ``config.rule`` to the scores of validation normals and known spills (1-D arrays).

    Without spills every rule but ``normal_quantile`` falls back to it, and the note says so.

    Raises:
        UserError: an unknown rule, no normals.
    """
    if len(normal) == 0:
        raise UserError("threshold: no validation normals; at least one was expected")
    high = float(np.quantile(normal, config.normal_quantile))
    high_name = f"the {config.normal_quantile:.2%} quantile of {len(normal)} validation normals"
    if config.rule == "normal_quantile":
        return Threshold(high, "normal_quantile", high_name)
    if len(spill) == 0:
        return Threshold(high, "normal_quantile", f"no known spills for rule {config.rule}: fell back to {high_name}")
    low = float(np.quantile(spill, config.spill_quantile))
    low_name = f"the {config.spill_quantile:.2%} quantile of {len(spill)} known spills"
    if config.rule == "spill_quantile":
        return Threshold(low, config.rule, low_name)
    if config.rule == "midpoint":
        return Threshold((low + high) / 2, config.rule, f"halfway between {high_name} and {low_name}")
    if config.rule == "balanced":
        note = f"largest balanced accuracy on {len(normal)} validation normals and {len(spill)} known spills"
        return Threshold(balanced_threshold(normal, spill), config.rule, note)
    raise UserError(f"threshold.rule: {config.rule!r}; one of {', '.join(Rule.__args__)} was expected")
