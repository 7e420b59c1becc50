"""Scores of one image, higher is more anomalous, put together from small named terms.

A *score* brings its terms to one scale with statistics of the validation normals, never of the test set, and adds
them or takes the largest.

- ``mnad`` is the paper's score: weighted sum of PSNR and feature distance, each min-max normalised.
- ``wells`` (ours) is an OR of two questions about the inside of the well: does it show the colour of the bare wall
  where the memory expects metal (empty well), does it glitter (overflow)?
"""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from mnad.config import ScoreConfig, TermConfig
from mnad.model.network import Output
from mnad.run import UserError
from mnad.scoring.terms import FeatureDistance, FeatureError, PeakDistance, PeakError, Psnr, Term
from mnad.scoring.wells import Ellipse, EllipseError, Glitter, WallHue

TERMS: dict[str, type[Term]] = {
    "psnr": Psnr,
    "feature_distance": FeatureDistance,
    "peak_error": PeakError,
    "peak_distance": PeakDistance,
    "feature_error": FeatureError,
    "ellipse_error": EllipseError,
    "wall_hue": WallHue,
    "glitter": Glitter,
}


def build_term(config: TermConfig) -> Term:
    """The callable term.

    Raises:
        UserError: unknown name or option, or an option out of range.
    """
    if config.name not in TERMS:
        raise UserError(f"score term {config.name!r}: unknown; expected one of {', '.join(TERMS)}")
    term_class = TERMS[config.name]
    options = dict(config.options)
    try:
        if isinstance(options.get("ellipse"), dict):
            options["ellipse"] = Ellipse(**options["ellipse"])
        term = term_class(**options)
    except TypeError as error:
        fields = ", ".join(getattr(term_class, "__dataclass_fields__", {})) or "none"
        raise UserError(f"score term {config.name}: options {config.options}; expected of {fields}") from error
    for option, allowed in term.ranges.items():
        if not allowed.allows(getattr(term, option)):
            raise UserError(f"score term {config.name}: {option} {getattr(term, option)}; expected {allowed.expected}")
    return term


class Score(nn.Module):
    """A fitted score. Its statistics are buffers, so they travel in the checkpoint.

    Args:
        config: what to build.
        gives: what the model gives, see :class:`mnad.model.network.Network`; terms that need another thing are
            dropped (a plain autoencoder's MNAD score is its PSNR).
    """

    low: Tensor  # T, the value that becomes 0
    high: Tensor  # T, the value that becomes 1

    def __init__(self, config: ScoreConfig, gives: Collection[str] = ("image", "distance")) -> None:
        super().__init__()
        kept = [(t, build_term(t)) for t in config.terms]
        kept = [(t, term) for t, term in kept if term.needs in gives]
        self.names = [t.name for t, _ in kept]
        self.dropped = len(kept) < len(config.terms)
        self.terms = [term for _, term in kept]
        self.weights = [t.weight for t, _ in kept]
        self.normalise, self.combine, self.smooth = config.normalise, config.combine, config.smooth
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
