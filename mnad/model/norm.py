"""Batch normalisation while training, where PyTorch's own does not do: over the rows of several processes, and fast for
few channels.

- ``torch.nn.SyncBatchNorm`` takes the statistics of all processes on GPUs only. This one does so everywhere.
- On a CPU, PyTorch's kernels for channels-last maps work on one row of channels at a time, so that with 8 channels two
  cores are no faster than one. Here several neighbouring pixels make one row of 64 (``lanes``), whose statistics are
  then joined: 2 to 5 times as fast.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from mnad.model import across
from mnad.model.network import full

ROW = 64  # values that a kernel handles at once
FEW = 16  # channels, from which on PyTorch's own kernels do
MANY = 1 << 17  # values of a map below which the joining costs what it saves


def joined(means: Tensor, variances: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (C each) of all values, from those of P parts: P x C twice and P x 1 (Chan et al. 1979)."""
    total = counts.sum()
    mean = (counts * means).sum(dim=0) / total
    return mean, (counts * (variances + (means - mean).square())).sum(dim=0) / total


def lanes_of(x: Tensor) -> int:
    """How many neighbouring pixels of ``x`` (B x C x ...) make one row of :data:`ROW` values; 1 if it does not pay."""
    channels = x.shape[1]
    fits = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) and ROW % channels == 0
    pays = x.device.type == "cpu" and channels <= FEW and x.numel() >= MANY and x.numel() % ROW == 0
    return ROW // channels if fits and pays else 1


class _Normalise(torch.autograd.Function):
    """Normalise by the statistics of all rows of all processes; of those, one message forward and one backward.

    Each process hands in the gradient of its own share of the loss, as DistributedDataParallel has it.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, norm: _BatchNorm, lanes: int
    ) -> Tensor:
        """``x`` is B x C x ..., or rows of ``lanes`` C values."""
        unused = full(x.new_zeros(0)).new_zeros(x.shape[1])  # its type says in which precision to count
        means, variances = torch.batch_norm_update_stats(x, unused, unused.clone(), 0.0)
        total = x.numel() * lanes // x.shape[1]
        mean, variance = joined(means.view(lanes, -1), variances.view(lanes, -1), means.new_ones((lanes, 1)))
        if across.count() > 1:
            every = across.stacked(torch.cat((mean, variance, mean.new_tensor([total]))))  # P x (2C + 1)
            all_means, all_variances = every[:, :-1].chunk(2, dim=1)
            mean, variance = joined(all_means, all_variances, every[:, -1:])
            total = int(every[:, -1].sum())
        if norm.track_running_stats:
            norm.num_batches_tracked.add_(1)
            momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
            unbiased = variance * (total / max(total - 1, 1))
            norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), momentum)
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.total, ctx.eps, ctx.lanes = total, norm.eps, lanes
        own = [None if v is None else v.repeat(lanes) for v in (mean, variance, weight, bias)]
        return F.batch_norm(x, own[0], own[1], own[2], own[3], False, 0.0, norm.eps)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance = ctx.saved_tensors
        last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
        dy = dy.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
        # in eval mode the kernel gives weight / sd * dy, and the sums of dy (x - mean) / sd and of dy
        statistics = (None if v is None else v.repeat(ctx.lanes) for v in (weight, mean, variance))
        dx, for_weight, for_bias = torch.ops.aten.native_batch_norm_backward(
            dy, x, *statistics, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack((for_weight, for_bias)).view(2, ctx.lanes, -1).sum(dim=1)
        means = across.summed(sums) / ctx.total
        inverse = (variance + ctx.eps).rsqrt()
        scale = inverse if weight is None else inverse * weight
        slope = -scale * inverse * means[0]
        offset = -scale * means[1] - slope * mean
        zero, one = torch.zeros_like(offset), torch.ones_like(offset)
        zero, one, slope, offset = (v.repeat(ctx.lanes) for v in (zero, one, slope, offset))
        dx.add_(F.batch_norm(x, zero, one, slope, offset, False, 0.0, 0.0))
        return dx, *((None, None) if weight is None else sums), None, None


def _forward(norm: _BatchNorm, x: Tensor) -> Tensor:
    """Instead of the forward pass of ``norm``."""
    if not norm.training:
        return type(norm).forward(norm, x)
    lanes = lanes_of(x)
    if lanes == 1:
        if across.count() == 1:
            return type(norm).forward(norm, x)
        return _Normalise.apply(x, norm.weight, norm.bias, norm, 1)
    batch, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, ROW)
    rows = _Normalise.apply(rows, norm.weight, norm.bias, norm, lanes)
    return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)


@contextmanager
def replaced(model: nn.Module, lanes: bool) -> Iterator[None]:
    """In this block, every batch normalisation inside ``model`` works as this module says where it is needed.

    Parameters, buffers and their names stay the same; float32 without other processes stays the same to the last bit.

    Args:
        lanes: also where only few channels ask for it: for a training whose configuration is ``fast``.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    norms = norms if lanes or across.count() > 1 else []
    for norm in norms:
        norm.forward = partial(_forward, norm)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward
