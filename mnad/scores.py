"""Scores of one image, higher is more anomalous, put together from small named terms (:mod:`mnad.terms`).

A *score* brings its terms to one scale with statistics of the validation normals, never of the test set, and adds
them or takes the largest.

- ``mnad`` is the paper's score: weighted sum of PSNR and feature distance, each min-max normalised.
- ``wells`` (ours) is an OR of two questions about the inside of the well: does it show the colour of the bare wall
  where the memory expects metal (empty well), does it glitter (overflow)?
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from mnad.errors import UserError
from mnad.model import PUBLISHED, Output, Variant
from mnad.terms import OPTION_RANGES, TERMS, Ellipse, EllipseError, Term
from mnad.threshold import ThresholdConfig

Normalise = Literal["minmax", "spread"]
Combine = Literal["sum", "max"]


@dataclass
class TermConfig:
    """One term: its name in ``TERMS``, its weight, and the options of its class."""

    name: str
    weight: float = 1.0
    options: dict[str, float | list[float] | dict[str, list[float]] | None] = field(default_factory=dict)

    def build(self) -> Term:
        """The callable term.

        Raises:
            UserError: unknown name or option, or an option out of range.
        """
        if self.name not in TERMS:
            raise UserError(f"score term {self.name!r}: unknown; one of {', '.join(TERMS)} was expected")
        options = dict(self.options)
        try:
            if isinstance(options.get("ellipse"), dict):
                options["ellipse"] = Ellipse(**options["ellipse"])
            term = TERMS[self.name](**options)
        except TypeError as error:
            fields = ", ".join(TERMS[self.name].__dataclass_fields__) or "none"
            raise UserError(f"score term {self.name}: options {self.options}; of {fields} were expected") from error
        for option, (allowed, expected) in OPTION_RANGES.items():
            if option not in TERMS[self.name].__dataclass_fields__:
                continue
            value = getattr(term, option)
            mean = value is None and option == "quantile" and isinstance(term, EllipseError)
            if not mean and not allowed(value):
                raise UserError(f"score term {self.name}: {option} {value}; {expected} was expected")
        return term


@dataclass
class ScoreConfig:
    """A score: terms, how each is brought to one scale on the validation normals, and how they are combined.

    Args:
        terms: the terms.
        normalise: ``minmax``: (v - min) / (max - min), MNAD's. ``spread``: (v - median) / (q99 - median), so 1 is
            what one normal in a hundred reaches in each term: every term gets the same false-alarm budget.
        combine: ``sum`` of weight times term (MNAD's), or ``max``, an OR of the terms.
        threshold: how this score's threshold is chosen; None is the detector's rule.
        smooth: frames of a centred moving average over the scores of a video (ours; 1 is none, the paper's).
            Photographs have no neighbours and ignore it.
    """

    terms: list[TermConfig]
    normalise: Normalise = "minmax"
    combine: Combine = "sum"
    threshold: ThresholdConfig | None = None
    smooth: int = 1


def mnad_score(variant: Variant = "recon") -> ScoreConfig:
    """The paper's score: ``lambda * norm(-PSNR) + (1 - lambda) * norm(D)``; lambda 0.7 reconstruction, 0.6 prediction.

    The paper writes ``1 - norm(P)``; the min-max of -P is the same number. The paper takes minimum and maximum over
    a test video; ours are those of the validation normals, since a single photo has no video.
    """
    share = PUBLISHED[variant].psnr_share
    return ScoreConfig([TermConfig("psnr", share), TermConfig("feature_distance", round(1 - share, 12))])


def wells_score() -> ScoreConfig:
    """Ours: the larger of wall hue and glitter, each on the scale of the validation normals."""
    return ScoreConfig([TermConfig("wall_hue"), TermConfig("glitter")], normalise="spread", combine="max")


class Score(nn.Module):
    """A fitted score. Its statistics are buffers, so they travel in the checkpoint.

    Args:
        config: what to build.
        has_memory: False drops the terms that need a memory (a plain autoencoder's MNAD score is its PSNR).
    """

    low: Tensor  # T, the value that becomes 0
    high: Tensor  # T, the value that becomes 1

    def __init__(self, config: ScoreConfig, has_memory: bool = True) -> None:
        super().__init__()
        if not config.terms:
            raise UserError("score: no terms; at least one was expected")
        kept = [(t, t.build()) for t in config.terms]
        kept = [(t, term) for t, term in kept if has_memory or not term.needs_memory]
        self.names = [t.name for t, _ in kept]
        self.dropped = len(kept) < len(config.terms)
        self.terms = [term for _, term in kept]
        self.weights = [t.weight for t, _ in kept]
        self.normalise, self.combine, self.smooth = config.normalise, config.combine, config.smooth
        if self.smooth < 1:
            raise UserError(f"smooth: {self.smooth}; at least 1 frame was expected")
        self.register_buffer("low", torch.zeros(len(kept), dtype=torch.float64))
        self.register_buffer("high", torch.ones(len(kept), dtype=torch.float64))

    def label(self, name: str) -> str:
        """``name``, and which terms are left of the score if the model has not all: ``mnad (psnr)``."""
        return f"{name} ({', '.join(self.names)})" if self.dropped else name

    def raw(self, target: Tensor, out: Output) -> Tensor:
        """Every term of every image, B x T float64, before normalisation."""
        return torch.stack([term(target, out).double() for term in self.terms], dim=1)

    def fit(self, raw: Tensor) -> "Score":
        """Take the statistics from the raw terms of the validation normals, N x T."""
        if self.normalise == "minmax":
            low, high = raw.amin(dim=0), raw.amax(dim=0)
        else:
            low, high = raw.quantile(0.5, dim=0), raw.quantile(0.99, dim=0)
        self.low.copy_(low)
        # A term that is the same for every normal says nothing about scale: leave its unit as it is.
        self.high.copy_(torch.where(high > low, high, low + 1))
        return self

    def forward(self, raw: Tensor) -> Tensor:
        """N x T raw terms -> N scores."""
        scaled = (raw - self.low) / (self.high - self.low)
        if self.combine == "max":
            return scaled.amax(dim=1)
        return scaled @ scaled.new_tensor(self.weights)
