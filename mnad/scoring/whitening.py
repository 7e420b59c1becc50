"""Errors in units of what is usual at each pixel: statistics of the residuals of training normals.

A pixel's residual r = target - output (3 channels) has mean m and 3 x 3 covariance S over the training normals. With
the Cholesky factor L L^T = S + 1e-4 I, ``L^-1 (r - m)`` has about unit covariance, and the mean of its three squares
is a third of the squared Mahalanobis distance.
"""

from typing import Any

import torch
from torch import Tensor, nn

RIDGE = 1e-4  # added to the variances; residuals are in [-2, 2]


class Whitening(nn.Module):
    """Mean and whitening matrix of each pixel in buffers; the identity until it is fitted.

    Call :meth:`add` with every batch of training normals, then :meth:`close`.
    """

    mean: Tensor  # 3 x H x W
    whitener: Tensor  # H x W x 3 x 3, lower triangular

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3, *size))
        self.register_buffer("whitener", torch.eye(3).expand(*size, 3, 3).clone())
        self._sums: Any = None  # count, sum, sum of products

    @torch.no_grad()
    def add(self, target: Tensor, output: Tensor) -> None:
        """Take in B x 3 x H x W images in [-1, 1] and their reconstructions."""
        residual = (target - output).double()
        found = len(residual), residual.sum(dim=0), torch.einsum("bchw,bdhw->hwcd", residual, residual)
        self._sums = found if self._sums is None else tuple(a + b for a, b in zip(self._sums, found, strict=True))

    @torch.no_grad()
    def close(self) -> None:
        """Make the buffers of all that was added."""
        count, total, products = self._sums
        mean = total / count
        covariance = products / count - torch.einsum("chw,dhw->hwcd", mean, mean)
        factor = torch.linalg.cholesky(covariance + RIDGE * torch.eye(3).to(covariance))
        self.mean.copy_(mean)
        self.whitener.copy_(torch.linalg.inv(factor))
        self._sums = None

    def forward(self, target: Tensor, output: Tensor) -> Tensor:
        """Whitened residual, B x 3 x H x W."""
        return torch.einsum("hwcd,bdhw->bchw", self.whitener, target - output - self.mean)
