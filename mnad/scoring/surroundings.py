"""Terms of what a picture shows around the well, where every picture has plate and rim: how sharp and noisy it is, and
how well the model knows it. Nothing there tells a spill; they are what other terms are judged given.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mnad.model.ellipse import SURROUNDINGS, Ellipse
from mnad.model.network import Output
from mnad.scoring.terms import LOG_FLOOR, POSITIVE, SHARE, PooledDistance, Range, blur
from mnad.scoring.wells import ELLIPSE, WellsTerm


@dataclass(frozen=True)
class SurroundingsError(WellsTerm):
    """Logarithm of a quantile of the squared error around the well."""

    quantile: float = 0.5
    surroundings: Ellipse = SURROUNDINGS
    ranges: ClassVar[dict[str, Range]] = {"quantile": SHARE, "surroundings": ELLIPSE}

    def __call__(self, target: Tensor, out: Output) -> Tensor:
        """B x 3 x H x W in [-1, 1] and the model's output -> B."""
        error = self.surroundings.outside((out.output - target).square().mean(dim=1))
        return torch.log(torch.quantile(error, self.quantile, dim=1) + LOG_FLOOR)


@dataclass(frozen=True)
class SurroundingsDistance(WellsTerm, PooledDistance):
    """Logarithm of a quantile of the feature distance over the positions around the well."""

    quantile: float = 0.5
    surroundings: Ellipse = SURROUNDINGS
    ranges: ClassVar[dict[str, Range]] = {"quantile": SHARE, "surroundings": ELLIPSE}

    def inside(self, values: Tensor) -> Tensor:
        """B x H' x W' -> B x P, the positions whose centres are around the well."""
        return self.surroundings.outside(values)


@dataclass(frozen=True)
class SurroundingsContrast(WellsTerm):
    """Logarithm of a quantile of the squared grey picture minus its blur (``sigma`` in pixels) around the well."""

    quantile: float = 0.9
    sigma: float = 1.5
    surroundings: Ellipse = SURROUNDINGS
    ranges: ClassVar[dict[str, Range]] = {"quantile": SHARE, "sigma": POSITIVE, "surroundings": ELLIPSE}

    def __call__(self, target: Tensor, out: Output) -> Tensor:
        """B x 3 x H x W in [-1, 1] and the model's output -> B."""
        grey = target.mean(dim=1)
        fine = self.surroundings.outside((grey - blur(grey, self.sigma)).square())
        return torch.log(torch.quantile(fine, self.quantile, dim=1) + LOG_FLOOR)
