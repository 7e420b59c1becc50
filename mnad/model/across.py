"""Values over all processes of a training, each of which has its rows of every batch.

With one process, and inside :func:`apart`, everything stays as it is and nothing is sent. Every process must make the
same calls in the same order.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

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
