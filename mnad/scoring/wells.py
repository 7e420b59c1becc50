"""Terms for casting wells, each inside the well's ellipse: bare wall, glitter, and errors pooled by a quantile.

Quantiles instead of means are what makes them ignore clamps, hands and bars, which cover only a part of the well.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from mnad.model.ellipse import SURROUNDINGS, Ellipse
from mnad.model.network import Output
from mnad.model.order import median, quantile
from mnad.run import UserError
from mnad.scoring.terms import (
    LOG_FLOOR,
    POSITIVE,
    SHARE,
    SHARE_OR_MEAN,
    TINY,
    PooledDistance,
    Range,
    Term,
    WhitenedError,
    blur,
    is_number,
)


def are_numbers(value: object, count: int) -> bool:
    """Whether ``value`` is a list or tuple of ``count`` finite numbers."""
    return isinstance(value, list | tuple) and len(value) == count and all(map(is_number, value))


def is_ellipse(value: object) -> bool:
    """Whether ``value`` is an ellipse of two centre coordinates and two radii above 0."""
    if not isinstance(value, Ellipse) or not are_numbers(value.centre, 2) or not are_numbers(value.radii, 2):
        return False
    return min(value.radii) > 0


ELLIPSE = Range(is_ellipse, "a centre of two numbers and two radii above 0")
BAND = Range(lambda value: are_numbers(value, 2) and 0 < value[0] < value[1], "two sigmas above 0, the smaller first")
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

    needs_colour: ClassVar[bool] = True
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


@dataclass(frozen=True)
class RelativeWallHue(WallHue):
    """:class:`WallHue` less the median of the same hue around the well, so that a tint of the whole picture cancels."""

    surroundings: Ellipse = SURROUNDINGS
    ranges: ClassVar[dict[str, Range]] = {**WallHue.ranges, "surroundings": ELLIPSE}

    def __call__(self, target: Tensor, out: Output) -> Tensor:
        """B x 3 x H x W and the model's output -> B."""
        residual = target - out.output
        hue = torch.einsum("bchw,c->bhw", residual, residual.new_tensor(self.hue))
        return self.ellipse.quantile(hue, self.quantile) - median(self.surroundings.outside(hue))


@dataclass(frozen=True)
class RelativeGlitter(WellsTerm):
    """Glitter of two sizes inside the well, less the sharpness that the picture itself shows around it.

    ``0.5 log q(fine^2) + 0.5 log q(band^2) - rim_share log q'(rim^2)``, where fine is the residual minus its blur
    (``sigma`` in pixels), band the residual between two blurs (it passes blurred glitter and stops pixel noise), rim
    the grey target minus its blur, q the ``quantile`` inside the well and q' the ``rim_quantile`` around it. A blurred
    picture loses rim and glitter alike, so do low contrast and exposure; with a share of 1 contrast cancels.
    """

    quantile: float = 0.8
    sigma: float = 1.5
    band: tuple[float, float] = (1.0, 2.5)
    rim_quantile: float = 0.9
    rim_share: float = 0.5
    ellipse: Ellipse = field(default_factory=Ellipse)
    surroundings: Ellipse = SURROUNDINGS
    ranges: ClassVar[dict[str, Range]] = {
        "quantile": SHARE,
        "sigma": POSITIVE,
        "band": BAND,
        "rim_quantile": SHARE,
        "rim_share": SHARE,
        "ellipse": ELLIPSE,
        "surroundings": ELLIPSE,
    }

    def __call__(self, target: Tensor, out: Output) -> Tensor:
        """B x 3 x H x W and the model's output -> B."""
        residual, grey = (target - out.output).contiguous(), target.contiguous().mean(dim=1)  # for products of matrices
        size = residual.shape[2], residual.shape[3]
        window = self.ellipse.window(size)
        fine = residual[:, :, window[0], window[1]] - blur(residual, self.sigma, window)
        band = blur(residual, self.band[0], window) - blur(residual, self.band[1], window)
        squares = [values.square().mean(dim=1) for values in (fine, band)]
        inside = [torch.log(self.ellipse.quantile(values, self.quantile, size) + LOG_FLOOR) for values in squares]
        rim = self.surroundings.outside((grey - blur(grey, self.sigma)).square())
        sharpness = torch.log(quantile(rim, self.rim_quantile) + LOG_FLOOR)
        return 0.5 * (inside[0] + inside[1]) - self.rim_share * sharpness
