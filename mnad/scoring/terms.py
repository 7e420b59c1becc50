"""Terms: (target, model output) -> one number for each image, higher is more anomalous.

Each is a frozen dataclass whose fields are its options in a configuration, and which says itself what they may be.
Those that are made for casting wells are in :mod:`mnad.scoring.wells`; scores are put together from terms in
:mod:`mnad.scoring.scores`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mnad.model.network import Output

TINY = 1e-12  # keeps the logarithms finite


def is_number(value: object) -> bool:
    """Whether ``value`` is a finite number and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Range:
    """What an option may be."""

    allows: Callable[[Any], bool]
    expected: str  # after the word "expected"


SHARE = Range(lambda value: is_number(value) and 0 <= value <= 1, "a number from 0 to 1")
POSITIVE = Range(lambda value: is_number(value) and value > 0, "a number above 0")
COUNT = Range(lambda value: is_number(value) and value >= 1 and value == int(value), "a whole number of pixels")


class Term:
    """Base of the terms.

    Attributes:
        needs: which of :attr:`mnad.model.network.Network.gives` it reads.
        ranges: of the options.
        made_for: the layout of the one product whose looks the term knows; None for any.
    """

    needs: ClassVar[str] = "image"
    made_for: ClassVar[str | None] = None
    ranges: ClassVar[dict[str, Range]] = {}

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
    """

    window: int = 9

    def __call__(self, target: Tensor, out: Output) -> Tensor:
        """B x 3 x H x W in [-1, 1] and the model's output -> B."""
        error = (out.output - target).abs().mean(dim=1, keepdim=True) / 2
        side = min(int(self.window), *error.shape[2:])  # a configuration file gives 9.0
        return F.avg_pool2d(error, side, stride=1).flatten(1).amax(dim=1)


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
