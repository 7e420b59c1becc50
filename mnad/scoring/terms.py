"""Terms: (target, model output) -> one number for each image, higher is more anomalous.

Each is a frozen dataclass whose fields are its options in a configuration, and which says itself what they may be.
Those that are made for casting wells are in :mod:`mnad.scoring.wells`; scores are put together from terms in
:mod:`mnad.scoring.scores`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mnad.model.network import Output
from mnad.model.order import median, quantile
from mnad.scoring.whitening import Whitening

TINY = 1e-12  # keeps the logarithms finite
LOG_FLOOR = 1e-6  # of the squared residuals whose logarithms are differences: far below one grey level


def is_number(value: object) -> bool:
    """Whether ``value`` is a finite number and not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@lru_cache(maxsize=32)
def blur_matrix(size: int, sigma: float) -> Tensor:
    """size x size, float32: the Gaussian blur of ``size`` pixels in a row, cut off at 4 sigma, reflected at the ends.

    ``matrix @ image @ matrix.T`` blurs; for crops of this size that is several times faster than a convolution.
    """
    radius = round(4 * sigma)
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / sigma).square())
    weights /= weights.sum()
    period = max(2 * (size - 1), 1)
    place = (torch.arange(size)[:, None] + torch.arange(-radius, radius + 1)).remainder(period)
    place = torch.where(place >= size, period - place, place)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    return matrix.scatter_add_(1, place, weights.expand(size, -1)).float()


ALL = (slice(None), slice(None))


def blur(values: Tensor, sigma: float, window: tuple[slice, slice] = ALL) -> Tensor:
    """... x H x W -> the same shape, blurred; see :func:`blur_matrix`. Of a ``window``, rows and columns of the blurred
    picture, nothing else is computed."""
    rows, columns = (
        blur_matrix(size, sigma)[part].to(values) for size, part in zip(values.shape[-2:], window, strict=True)
    )
    return rows @ values @ columns.T


@dataclass(frozen=True)
class Range:
    """What an option may be."""

    allows: Callable[[Any], bool]
    expected: str  # after the word "expected"


SHARE = Range(lambda value: is_number(value) and 0 <= value <= 1, "a number from 0 to 1")
SHARE_OR_MEAN = Range(lambda value: value is None or SHARE.allows(value), "a number from 0 to 1, or null for the mean")
POSITIVE = Range(lambda value: is_number(value) and value > 0, "a number above 0")
COUNT = Range(lambda value: is_number(value) and value >= 1 and value == int(value), "a whole number of pixels")


class Term:
    """Base of the terms.

    Attributes:
        needs: which of :attr:`mnad.model.network.Network.gives` it reads; ``input``: the picture alone.
        ranges: of the options.
        needs_colour: whether it means nothing on a grey picture.
        made_for: the layout of the one product whose looks the term knows; None for any.
    """

    needs: ClassVar[str] = "image"
    needs_colour: ClassVar[bool] = False
    made_for: ClassVar[str | None] = None
    ranges: ClassVar[dict[str, Range]] = {}

    def statistics(self, size: tuple[int, int]) -> Whitening | None:
        """What the term has to learn of training normals of ``size`` (height, width), to be handed to each call; a
        score keeps it, see :func:`mnad.scoring.scores.fit_statistics`. None for most terms."""
        return None

    def __call__(self, target: Tensor, out: Output) -> Tensor:
        """B x 3 x H x W in [-1, 1] and the model's output -> B."""
        raise NotImplementedError


@dataclass(frozen=True)
class Psnr(Term):
    """Minus the peak signal-to-noise ratio in dB on [0, 1] images: -10 log10(1 / mse) (section 3.3)."""

    def __call__(self, target: Tensor, out: Output) -> Tensor:
        """B x 3 x H x W in [-1, 1] and the model's output -> B."""
        mse = ((out.output - target) / 2).square().flatten(1).mean(dim=1)
        return 10 * torch.log10(mse + TINY)


@dataclass(frozen=True)
class FeatureDistance(Term):
    """Mean squared difference between the queries of an image and their nearest items (section 3.3)."""

    needs: ClassVar[str] = "distance"

    def __call__(self, target: Tensor, out: Output) -> Tensor:
        """B x 3 x H x W in [-1, 1] and the model's output -> B."""
        return out.distance.flatten(1).mean(dim=1)


@dataclass(frozen=True)
class PeakError(Term):
    """Largest mean absolute error of any ``window`` x ``window`` pixels, on [0, 1] images; ours, for video.

    An unusual object fills a small part of a frame: the mean over the frame (PSNR) hardly sees it, its window does.
    With a ``quantile`` it is that of the window instead of its mean, over means of ``cell`` x ``cell`` pixels: the
    edges of somebody who walks are far off, but thin; of something fast the error fills the window.
    """

    window: int = 9
    quantile: float | None = None
    cell: int = 1
    ranges: ClassVar[dict[str, Range]] = {"window": COUNT, "quantile": SHARE_OR_MEAN, "cell": COUNT}

    def __call__(self, target: Tensor, out: Output) -> Tensor:
        """B x 3 x H x W in [-1, 1] and the model's output -> B."""
        error = (out.output - target).abs().mean(dim=1, keepdim=True) / 2
        cell = min(int(self.cell), *error.shape[2:])  # a configuration file gives 1.0
        if cell > 1:
            error = F.avg_pool2d(error, cell)
        side = min(max(int(self.window) // cell, 1), *error.shape[2:])
        if self.quantile is None:
            return F.avg_pool2d(error, side, stride=1).flatten(1).amax(dim=1)
        windows = F.unfold(error, side).transpose(1, 2)  # B x places x side^2
        return quantile(windows.flatten(0, 1), self.quantile).view(windows.shape[:2]).amax(dim=1)


@dataclass(frozen=True)
class PooledDistance(Term):
    """Logarithm of the ``quantile`` over the positions of the feature distance; ours.

    A high quantile answers to a small part of the picture; a low one only to what covers most of it.
    """

    quantile: float = 0.5
    needs: ClassVar[str] = "distance"
    ranges: ClassVar[dict[str, Range]] = {"quantile": SHARE}

    def inside(self, values: Tensor) -> Tensor:
        """B x H x W -> B x P, the values that count: here all."""
        return values.flatten(1)

    def __call__(self, target: Tensor, out: Output) -> Tensor:
        """B x 3 x H x W in [-1, 1] and the model's output -> B."""
        return torch.log(quantile(self.inside(out.distance), self.quantile) + TINY)


@dataclass(frozen=True)
class WhitenedError(Term):
    """Logarithm of the ``quantile`` over the pixels of the whitened squared error, mean over channels; ours.

    In units of what is usual at each pixel, see :mod:`mnad.scoring.whitening`.
    """

    quantile: float = 0.5
    ranges: ClassVar[dict[str, Range]] = {"quantile": SHARE}

    def inside(self, values: Tensor) -> Tensor:
        """B x H x W -> B x P, the pixels that count: here all."""
        return values.flatten(1)

    def statistics(self, size: tuple[int, int]) -> Whitening:
        """Mean and covariance of the residual at each pixel."""
        return Whitening(size)

    def __call__(self, target: Tensor, out: Output, statistics: Whitening | None = None) -> Tensor:
        """B x 3 x H x W in [-1, 1], the model's output and the fitted ``statistics`` -> B."""
        error = statistics(target, out.output).square().mean(dim=1)
        return torch.log(quantile(self.inside(error), self.quantile) + TINY)


def top_mean(values: Tensor, share: float) -> Tensor:
    """Mean over the largest ``share`` of the positions, at least one: B x H' x W' -> B."""
    flat = values.flatten(1)
    return flat.topk(max(1, int(share * flat.shape[1])), dim=1).values.mean(dim=1)


@dataclass(frozen=True)
class PeakDistance(Term):
    """Mean distance to the nearest item over the ``share`` of the positions where it is largest; ours, for surfaces.

    A small defect fills few positions: the mean over all of them (:class:`FeatureDistance`) hardly sees it.
    """

    needs: ClassVar[str] = "distance"
    ranges: ClassVar[dict[str, Range]] = {"share": SHARE}
    share: float = 0.03

    def __call__(self, target: Tensor, out: Output) -> Tensor:
        """B x 3 x H x W in [-1, 1] and the model's output -> B."""
        return top_mean(out.distance, self.share)


@dataclass(frozen=True)
class FeatureError(Term):
    """Mean error of the rebuilt features over the ``share`` of the positions where it is largest: the paper's
    reconstruction error, of features instead of pixels."""

    needs: ClassVar[str] = "features"
    ranges: ClassVar[dict[str, Range]] = {"share": SHARE}
    share: float = 0.03

    def __call__(self, target: Tensor, out: Output) -> Tensor:
        """B x 3 x H x W in [-1, 1] and the model's output -> B."""
        return top_mean(out.error, self.share)


@dataclass(frozen=True)
class Contrast(Term):
    """Logarithm of the median of the squared grey picture minus its blur (``sigma`` in pixels): how rough it is; ours.

    It tells no anomaly, which fills less than half of a picture; it is what other terms are judged given.
    """

    sigma: float = 4.0
    needs: ClassVar[str] = "input"
    ranges: ClassVar[dict[str, Range]] = {"sigma": POSITIVE}

    def __call__(self, target: Tensor, out: Output) -> Tensor:
        """B x 3 x H x W in [-1, 1] -> B; the model's output does not matter."""
        grey = target.mean(dim=1)
        return torch.log(median((grey - blur(grey, self.sigma)).square().flatten(1)) + LOG_FLOOR)


@dataclass(frozen=True)
class FineContrast(Contrast):
    """:class:`Contrast` of the finest structure, which noise has, and blur and compression take."""

    sigma: float = 1.0
