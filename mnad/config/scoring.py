"""From the network's output to a verdict: scores made of terms, and the rule that chooses each threshold."""

from dataclasses import dataclass, field
from typing import Literal

from mnad.config.network import PUBLISHED, Variant
from mnad.run import UserError

Rule = Literal["anomalous_quantile", "normal_quantile", "midpoint", "balanced", "balanced_capped", "recent"]
Normalise = Literal["minmax", "spread"]
Combine = Literal["sum", "max"]


@dataclass
class ThresholdConfig:
    """How the threshold is chosen.

    Args:
        rule: ``anomalous_quantile``: a low quantile of the known anomalies. ``normal_quantile``: a high quantile of
            the validation normals. ``midpoint``: halfway between those two. ``balanced``: the largest balanced
            accuracy on both sets, in the middle of the gap that attains it. ``balanced_capped``: the larger of
            ``balanced`` and ``normal_quantile``, so that known anomalies can raise the threshold, but never let more
            false alarms through; from 10 known anomalies on. ``recent``: only to move an existing threshold by recent,
            unlabelled images, see :func:`mnad.scoring.threshold.moved_threshold`.
        anomalous_quantile: in [0, 1]; the share of known anomalies that may be missed: 1 % to find 99 %.
        normal_quantile: in [0, 1]; also the fallback when there are no known anomalies.
        recent: of the rule ``recent``: the threshold may lie so many robust deviations above the median of the recent
            images' scores, lowest and highest.
    """

    rule: Rule = "anomalous_quantile"
    anomalous_quantile: float = 0.01
    normal_quantile: float = 0.995
    recent: tuple[float, float] = (2.0, 3.0)

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a quantile outside [0, 1], or no range of deviations."""
        if not 0 < self.recent[0] <= self.recent[1]:
            raise UserError(f"threshold.recent: expected two numbers above 0, the smaller first, got {self.recent}")
        for key in ("anomalous_quantile", "normal_quantile"):
            if not 0 <= getattr(self, key) <= 1:
                raise UserError(f"threshold.{key}: expected a number from 0 to 1, got {getattr(self, key)}")


@dataclass
class TermConfig:
    """One term.

    Args:
        name: in ``mnad.scoring.scores.TERMS``.
        weight: in a sum.
        options: of the term's class.
        high: ``spread``: the quantile of the validation normals that becomes 1.
    """

    name: str
    weight: float = 1.0
    options: dict[str, float | list[float] | dict[str, list[float]] | None] = field(default_factory=dict)
    high: float = 0.99

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a quantile that is not above the median."""
        if not 0.5 < self.high <= 1:
            raise UserError(f"score term {self.name}: high {self.high}; expected a number above 0.5, at most 1")


@dataclass
class CausalConfig:
    """How the past of a camera scales its next frame, see :mod:`mnad.scoring.causal`.

    Args:
        past: accepted frames that count at most; older ones fade.
        prior: frames that the validation videos count for when a film begins.
        accept: a frame is learnt from if each of its terms is at most so many deviations above the mean so far.
        average: frames of a moving average over the score: the frame itself and those before it.
    """

    past: int = 400
    prior: int = 100
    accept: float = 2.0
    average: int = 9

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a window without a frame, or a past shorter than what it begins with."""
        for key in ("prior", "average"):
            if getattr(self, key) < 1:
                raise UserError(f"causal.{key}: expected at least 1 frame, got {getattr(self, key)}")
        if self.past < self.prior:
            raise UserError(f"causal.past: expected at least causal.prior, {self.prior} frames, got {self.past}")
        if not self.accept > 0:
            raise UserError(f"causal.accept: expected a number above 0, got {self.accept}")


@dataclass
class ScoreConfig:
    """A score: terms, how each is brought to one scale on the validation normals, and how they are combined.

    Args:
        terms: the terms.
        normalise: ``minmax``: (v - min) / (max - min), MNAD's. ``spread``: (v - median) / (q99 - median), so 1 is
            what one normal in a hundred reaches in each term: every term gets the same false-alarm budget, unless its
            ``high`` asks for another quantile.
        combine: ``sum`` of weight times term (MNAD's), or ``max``, an OR of the terms.
        threshold: how this score's threshold is chosen; None is the detector's rule.
        smooth: frames of a centred moving average over the scores of a video (ours; 1 is none, the paper's).
            Photographs have no neighbours and ignore it.
        causal: scale the terms of each frame of a camera by the frames before it (ours); None takes the scale of the
            validation videos as it is. Photographs have no past and are on that scale either way.
        mirror: take the mean of every term over the image and its left-right mirror image (ours; false is the
            paper's). Costs a second forward pass.
        given: what each term is judged given (ours; the paper has none): of every term its linear regression on these
            is taken off, as fitted on the validation normals, before it is normalised.
    """

    terms: list[TermConfig]
    normalise: Normalise = "minmax"
    combine: Combine = "sum"
    threshold: ThresholdConfig | None = None
    smooth: int = 1
    causal: CausalConfig | None = None
    mirror: bool = False
    given: list[TermConfig] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Raises ``UserError`` for no terms, a window below 1, or a past of terms that are judged given."""
        if not self.terms:
            raise UserError("score: no terms; expected at least one")
        if self.smooth < 1:
            raise UserError(f"smooth: expected at least 1 frame, got {self.smooth}")
        if self.causal is not None and self.given:
            raise UserError("given: not with causal, which scales the terms as they are; expected one of the two")


def mnad_score(variant: Variant = "recon") -> ScoreConfig:
    """The paper's score: ``lambda * norm(-PSNR) + (1 - lambda) * norm(D)``; lambda 0.7 reconstruction, 0.6 prediction.

    The paper writes ``1 - norm(P)``; the min-max of -P is the same number. The paper takes minimum and maximum over
    a test video; ours are those of the validation normals, since a single photo has no video.
    """
    share = PUBLISHED[variant].psnr_share
    return ScoreConfig([TermConfig("psnr", share), TermConfig("feature_distance", round(1 - share, 12))])


def surface_score() -> ScoreConfig:
    """Ours, for MNAD on features: the paper's two terms with its weights (reconstruction 0.7, feature distance 0.3),
    each over the share of the positions where it is largest, on the scale of the validation normals."""
    terms = [TermConfig("feature_error", 0.7), TermConfig("peak_distance", 0.3)]
    return ScoreConfig(terms, normalise="spread")


def wells_score() -> ScoreConfig:
    """Ours, for casting wells: the larger of wall hue and glitter, each on the scale of the validation normals."""
    return ScoreConfig([TermConfig("wall_hue"), TermConfig("glitter")], normalise="spread", combine="max")
