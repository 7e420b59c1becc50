"""Ours: an encoder that sees little, a decoder to match, and queries in units of what is usual at their place.

The official query sees almost a whole 32 x 48 picture, so that a hand in one corner moves the queries of every
position. Those of the local encoder see 12 x 12 pixels: 3 + 3 x 1 + 3 x 2 for kernels of 3, 4 and 4 at strides 1, 2, 2.
"""

import torch
from torch import Tensor, nn


class LocalEncoder(nn.Module):
    """Three convolutions with batch normalisation and ReLU, then 1 x 1; channels ``width * (1, 2, 4)``.

    Attributes:
        stride: 4 pixels of the input for each position.
    """

    stride = 4

    def __init__(self, in_channels: int = 3, width: int = 16, out_channels: int = 32) -> None:
        super().__init__()
        w = width
        self.body = nn.Sequential(
            *normalised(nn.Conv2d(in_channels, w, 3, padding=1, bias=False), w),
            *normalised(nn.Conv2d(w, 2 * w, 4, stride=2, padding=1, bias=False), 2 * w),
            *normalised(nn.Conv2d(2 * w, 4 * w, 4, stride=2, padding=1, bias=False), 4 * w),
            nn.Conv2d(4 * w, out_channels, 1),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """B x in_channels x H x W -> features B x out_channels x H/4 x W/4, and no skip maps."""
        return self.body(x), ()


class LocalDecoder(nn.Module):
    """From B x in_channels x H/4 x W/4 up to a picture in [-1, 1]."""

    def __init__(self, in_channels: int = 32, width: int = 16, out_channels: int = 3) -> None:
        super().__init__()
        w = width
        self.body = nn.Sequential(
            *normalised(nn.Conv2d(in_channels, 4 * w, 3, padding=1, bias=False), 4 * w),
            *normalised(nn.ConvTranspose2d(4 * w, 2 * w, 4, stride=2, padding=1, bias=False), 2 * w),
            *normalised(nn.ConvTranspose2d(2 * w, w, 4, stride=2, padding=1, bias=False), w),
            nn.Conv2d(w, out_channels, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, x: Tensor, skips: tuple[Tensor, ...] = ()) -> Tensor:
        """B x in_channels x H/4 x W/4 -> B x out_channels x H x W in [-1, 1]; there are no ``skips``."""
        return self.body(x)


def normalised(convolution: nn.Module, channels: int) -> list[nn.Module]:
    """``convolution``, batch normalisation of its ``channels``, ReLU."""
    return [convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


class Standardise(nn.Module):
    """``(f - mean) / sqrt(var + 1e-5)`` for each channel at each position: of the batch in train mode, running after.

    Args:
        grid: (H', W') of the query map.
        channels: C.
    """

    MOMENTUM = 0.05  # of the running statistics; `mnad.training.finish` makes them exact

    def __init__(self, grid: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(grid[0] * grid[1] * channels, affine=False, momentum=self.MOMENTUM)

    def forward(self, features: Tensor) -> Tensor:
        """B x H' x W' x C -> the same shape."""
        return self.norm(features.flatten(1)).view_as(features)

    @torch.no_grad()
    def set(self, mean: Tensor, variance: Tensor) -> None:
        """Replace the running statistics, H' x W' x C each."""
        self.norm.running_mean.copy_(mean.flatten())
        self.norm.running_var.copy_(variance.flatten())
