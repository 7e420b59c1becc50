"""Values over all processes of a training, each of which has its rows of every batch.

With one process, and inside :func:`apart`, everything stays as it is and nothing is sent. Every process must make the
same calls in the same order.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from mnad.model.network import full

_apart = False


@contextmanager
def apart() -> Iterator[None]:
    """In this block every process computes for itself, on whole batches."""
    global _apart
    before, _apart = _apart, True
    try:
        yield
    finally:
        _apart = before


def count() -> int:
    """Number of processes that share each batch."""
    return 1 if _apart or not dist.is_available() or not dist.is_initialized() else dist.get_world_size()


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def share(total: int) -> slice:
    """The rows of a batch of ``total`` that are this process's own; the first processes may have one more."""
    if count() == 1:
        return slice(0, total)
    least, more = divmod(total, count())
    start = rank() * least + min(rank(), more)
    return slice(start, start + least + (rank() < more))


def summed(values: Tensor) -> Tensor:
    """Sum of ``values`` over the processes, without a gradient."""
    values = values.detach().clone()
    if count() > 1:
        dist.all_reduce(values)
    return values


def stacked(values: Tensor) -> Tensor:
    """``values`` of every process, P x ..., without a gradient; all of one shape."""
    values = values.detach().contiguous()
    if count() == 1:
        return values[None]
    found = values.new_empty((count(), *values.shape))
    dist.all_gather(list(found.unbind()), values)
    return found


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes in their order, without a gradient: K_p x ... -> K x ...; K_p may differ."""
    rows = rows.detach()
    if count() == 1:
        return rows
    sizes = stacked(torch.tensor(len(rows), device=rows.device)).tolist()
    padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
    padded[: len(rows)] = rows
    return torch.cat([part[:size] for part, size in zip(stacked(padded), sizes, strict=True)])


def first_decides(*tensors: Tensor) -> None:
    """Overwrite ``tensors`` by what the first process has in them."""
    if count() > 1:
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)


class _Normalise(torch.autograd.Function):
    """Batch normalisation with the statistics of all processes; one message forward and one backward.

    Each process hands in the gradient of its own share of the loss, as DistributedDataParallel has it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, norm: _BatchNorm) -> Tensor:
        over = [d for d in range(x.ndim) if d != 1]
        variance, mean = torch.var_mean(full(x), dim=over, correction=0)
        own = mean.new_tensor([x.numel() / x.shape[1]])
        every = stacked(torch.cat((mean, variance, own)))  # P x (2C + 1)
        means, variances = every[:, :-1].chunk(2, dim=1)
        parts = every[:, -1:]
        total = float(parts.sum())
        mean = (parts * means).sum(dim=0) / total
        variance = (parts * (variances + (means - mean).square())).sum(dim=0) / total
        if norm.track_running_stats:
            with torch.no_grad():
                norm.num_batches_tracked.add_(1)
                momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
                norm.running_mean.lerp_(mean, momentum)
                norm.running_var.lerp_(variance * (total / max(total - 1, 1)), momentum)  # official: unbiased there
        ctx.save_for_backward(x, weight, mean, (variance + norm.eps).rsqrt())
        ctx.total = total
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, norm.eps)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        shape = [1, -1] + [1] * (x.ndim - 2)
        over = [d for d in range(x.ndim) if d != 1]
        dy, standard = full(grad), (full(x) - mean.view(shape)) * scale.view(shape)
        for_bias, for_weight = dy.sum(dim=over), (dy * standard).sum(dim=over)
        means = (summed(torch.stack((for_bias, for_weight))) / ctx.total).view(2, *shape)
        dx = (dy - means[0] - standard * means[1]) * (scale if weight is None else scale * weight).view(shape)
        own = (None, None) if weight is None else (for_weight, for_bias)
        return dx.to(x.dtype), *own, None


def _forward(norm: _BatchNorm, x: Tensor) -> Tensor:
    """Instead of the forward pass of ``norm``."""
    if not norm.training or count() == 1:
        return type(norm).forward(norm, x)
    return _Normalise.apply(x, norm.weight, norm.bias, norm)


@contextmanager
def synchronised(model: nn.Module) -> Iterator[None]:
    """In this block, every batch normalisation inside ``model`` takes its statistics from the rows of all processes
    (``torch.nn.SyncBatchNorm`` does so on GPUs only). Parameters, buffers and their names stay the same."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)] if count() > 1 else []
    for norm in norms:
        norm.forward = partial(_forward, norm)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward
