"""Terms for casting wells, each inside the well's ellipse: bare wall, glitter, and errors pooled by a quantile.

Quantiles instead of means are what makes them ignore clamps, hands and bars, which cover only a part of the well.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from mnad.model.network import Output
from mnad.run import UserError
from mnad.scoring.terms import POSITIVE, SHARE, TINY, PooledDistance, Range, Term, WhitenedError, is_number


def are_numbers(value: object, count: int) -> bool:
    """Whether ``value`` is a list or tuple of ``count`` finite numbers."""
    return isinstance(value, list | tuple) and len(value) == count and all(map(is_number, value))


@dataclass(frozen=True)
class Ellipse:
    """Where the well is, in fractions of the height and the width. The crops are cut around the well's rim; the
    default keeps 0.8 of the rim's radii, so the rim, the plate and most of what enters from the sides stay outside.
    """

    centre: tuple[float, float] = (0.52, 0.50)  # y, x
    radii: tuple[float, float] = (0.336, 0.352)  # y, x

    def mask(self, height: int, width: int) -> Tensor:
        """H x W, True inside (pixel centres)."""
        y = ((torch.arange(height) + 0.5) / height - self.centre[0]) / self.radii[0]
        x = ((torch.arange(width) + 0.5) / width - self.centre[1]) / self.radii[1]
        return y[:, None] ** 2 + x[None, :] ** 2 < 1

    def inside(self, values: Tensor) -> Tensor:
        """B x H x W -> B x P, the pixels inside.

        Raises:
            UserError: there is none.
        """
        inside = values[:, self.mask(*values.shape[1:]).to(values.device)]
        if inside.shape[1] == 0:
            raise UserError(f"ellipse {self}: no pixel inside; expected radii above 0 and a centre in [0, 1]")
        return inside

    def quantile(self, values: Tensor, q: float) -> Tensor:
        """B x H x W -> B: the ``q`` quantile of the pixels inside. A nuisance that covers less than 1 - q (from
        above) or q (from below) of the well cannot move it far, which a mean does not offer."""
        return torch.quantile(self.inside(values), q, dim=1)


def is_ellipse(value: object) -> bool:
    """Whether ``value`` is an ellipse of two centre coordinates and two radii above 0."""
    if not isinstance(value, Ellipse) or not are_numbers(value.centre, 2) or not are_numbers(value.radii, 2):
        return False
    return min(value.radii) > 0


ELLIPSE = Range(is_ellipse, "a centre of two numbers and two radii above 0")
SHARE_OR_MEAN = Range(lambda value: value is None or SHARE.allows(value), "a number from 0 to 1, or null for the mean")
HUE = Range(lambda value: are_numbers(value, 3), "one number for each of red, green, blue")


class WellsTerm(Term):
    """Base of the terms for casting wells: the crop is cut around the rim, and the light is that of the plant."""

    made_for: ClassVar[str | None] = "wells"


@dataclass(frozen=True)
class EllipseError(WellsTerm):
    """Logarithm of a quantile (0.5: the median; None: the mean) of the squared error inside the well."""

    quantile: float | None = 0.5
    ellipse: Ellipse = field(default_factory=Ellipse)
    ranges: ClassVar[dict[str, Range]] = {"quantile": SHARE_OR_MEAN, "ellipse": ELLIPSE}

    def __call__(self, target: Tensor, out: Output) -> Tensor:
        """B x 3 x H x W in [-1, 1] and the model's output -> B."""
        error = (out.output - target).square().mean(dim=1)
        if self.quantile is None:
            return torch.log(self.ellipse.inside(error).mean(dim=1) + TINY)
        return torch.log(self.ellipse.quantile(error, self.quantile) + TINY)


@dataclass(frozen=True)
class EllipseDistance(WellsTerm, PooledDistance):
    """Logarithm of a quantile of the feature distance over the positions whose centres are inside the well."""

    quantile: float = 0.3
    ellipse: Ellipse = field(default_factory=Ellipse)
    ranges: ClassVar[dict[str, Range]] = {"quantile": SHARE, "ellipse": ELLIPSE}

    def inside(self, values: Tensor) -> Tensor:
        """B x H' x W' -> B x P."""
        return self.ellipse.inside(values)


@dataclass(frozen=True)
class EllipseWhitenedError(WellsTerm, WhitenedError):
    """Logarithm of a quantile of the whitened squared error over the pixels inside the well."""

    quantile: float = 0.3
    ellipse: Ellipse = field(default_factory=Ellipse)
    ranges: ClassVar[dict[str, Range]] = {"quantile": SHARE, "ellipse": ELLIPSE}

    def inside(self, values: Tensor) -> Tensor:
        """B x H x W -> B x P."""
        return self.ellipse.inside(values)


@dataclass(frozen=True)
class WallHue(WellsTerm):
    """How far the inside of the well leans to the colour of the bare wall, against the reconstruction.

    The residual (target - output, B x 3 x H x W in [-2, 2]) is projected on ``hue``; the default, blue minus the
    mean of red and green, is the wall's colour as every training image shows it above the metal. Empty wells are
    all wall. With the 0.7 quantile, 30 % of the well's area are enough, so a hand over the rest does not hide it.
    """

    quantile: float = 0.7
    hue: tuple[float, float, float] = (-0.5, -0.5, 1.0)
    ellipse: Ellipse = field(default_factory=Ellipse)
    ranges: ClassVar[dict[str, Range]] = {"quantile": SHARE, "hue": HUE, "ellipse": ELLIPSE}

    def __call__(self, target: Tensor, out: Output) -> Tensor:
        """B x 3 x H x W in [-1, 1] and the model's output -> B."""
        residual = target - out.output
        hue = residual.new_tensor(self.hue)
        return self.ellipse.quantile(torch.einsum("bchw,c->bhw", residual, hue), self.quantile)


@dataclass(frozen=True)
class Glitter(WellsTerm):
    """Logarithm of a quantile of the squared high-frequency residual inside the well.

    High-frequency: residual minus its Gaussian blur (``sigma`` in pixels). Metal that runs over a rim glitters all
    over the well; clamps, bars and hands have edges, but these cover few pixels.
    """

    quantile: float = 0.8
    sigma: float = 1.5
    ellipse: Ellipse = field(default_factory=Ellipse)
    ranges: ClassVar[dict[str, Range]] = {"quantile": SHARE, "sigma": POSITIVE, "ellipse": ELLIPSE}

    def __call__(self, target: Tensor, out: Output) -> Tensor:
        """B x 3 x H x W in [-1, 1] and the model's output -> B."""
        residual = target - out.output
        kernel = 2 * round(4 * self.sigma) + 1
        if kernel // 2 >= min(residual.shape[2:]):
            size = "{} x {}".format(*residual.shape[2:])
            raise UserError(f"score term glitter: sigma {self.sigma}; expected 4 sigma below the image size {size}")
        fine = residual - gaussian_blur(residual, [kernel, kernel], [self.sigma, self.sigma])
        return torch.log(self.ellipse.quantile(fine.square().mean(dim=1), self.quantile) + TINY)
