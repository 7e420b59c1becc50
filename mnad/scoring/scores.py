"""Scores of one image, higher is more anomalous, put together from small named terms.

A *score* brings its terms to one scale with statistics of the validation normals, never of the test set, and adds
them or takes the largest.

- ``mnad`` is the paper's score: weighted sum of PSNR and feature distance, each min-max normalised.
- ``wells`` (ours) is an OR of two questions about the inside of the well: does it show the colour of the bare wall
  where the memory expects metal (empty well), does it glitter (overflow)?
"""

from typing import Any

import torch
from torch import Tensor, nn

from mnad.config import ScoreConfig, TermConfig
from mnad.model.ellipse import Ellipse
from mnad.model.network import Output
from mnad.run import UserError
from mnad.scoring.terms import FeatureDistance, PeakError, Psnr, Term
from mnad.scoring.wells import EllipseError, Glitter, RelativeGlitter, RelativeWallHue, WallHue

TERMS: dict[str, type[Term]] = {
    "psnr": Psnr,
    "feature_distance": FeatureDistance,
    "peak_error": PeakError,
    "ellipse_error": EllipseError,
    "wall_hue": WallHue,
    "glitter": Glitter,
    "relative_wall_hue": RelativeWallHue,
    "relative_glitter": RelativeGlitter,
}


def build_term(config: TermConfig) -> Term:
    """The callable term.

    Raises:
        UserError: unknown name or option, or an option out of range.
    """
    if config.name not in TERMS:
        raise UserError(f"score term {config.name!r}: unknown; expected one of {', '.join(TERMS)}")
    term_class = TERMS[config.name]
    options: dict[str, Any] = dict(config.options)
    try:
        for name in ("ellipse", "surroundings"):
            if isinstance(options.get(name), dict):
                options[name] = Ellipse(**options[name])
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
        has_memory: False drops the terms that need a memory (a plain autoencoder's MNAD score is its PSNR).
    """

    low: Tensor  # T, the value that becomes 0
    high: Tensor  # T, the value that becomes 1

    def __init__(self, config: ScoreConfig, has_memory: bool = True) -> None:
        super().__init__()
        kept = [(t, build_term(t)) for t in config.terms]
        kept = [(t, term) for t, term in kept if has_memory or not term.needs_memory]
        self.names = [t.name for t, _ in kept]
        self.dropped = len(kept) < len(config.terms)
        self.terms = [term for _, term in kept]
        self.weights = [t.weight for t, _ in kept]
        self.quantiles = [t.high for t, _ in kept]
        self.normalise, self.combine, self.smooth = config.normalise, config.combine, config.smooth
        self.register_buffer("low", torch.zeros(len(kept), dtype=torch.float64))
        self.register_buffer("high", torch.ones(len(kept), dtype=torch.float64))

    def label(self, name: str) -> str:
        """``name``, with the terms that are left of the score if the model lacks some: ``mnad (psnr)``."""
        return f"{name} ({', '.join(self.names)})" if self.dropped else name

    def raw(self, target: Tensor, out: Output) -> Tensor:
        """Every term of every image, B x T float64, before normalisation."""
        return torch.stack([term(target, out).double() for term in self.terms], dim=1)

    def fit(self, raw: Tensor) -> "Score":
        """Take the statistics from the raw terms of the validation normals, N x T."""
        if self.normalise == "minmax":
            low, high = raw.amin(dim=0), raw.amax(dim=0)
        else:
            low = raw.quantile(0.5, dim=0)
            high = torch.stack([raw[:, i].quantile(q) for i, q in enumerate(self.quantiles)])
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
