"""Medians and quantiles of many rows at once; on CPUs from NumPy's sort, which is vectorised.

The values are those of ``torch.median``, bit by bit, and of ``torch.quantile`` but for rounding. Exports trace
operations of torch.
"""

import numpy as np
import torch
from torch import Tensor


def ranked(values: Tensor, *ranks: int) -> tuple[Tensor, ...] | None:
    """The values of these ranks (0: the smallest) among the last axis, ... each; NaN where a row holds one.

    None where NumPy cannot do it: on a GPU, with a gradient, in an export.
    """
    if values.device.type != "cpu" or values.requires_grad or torch.compiler.is_exporting():
        return None
    found = torch.from_numpy(np.sort(values.numpy(), axis=-1))
    last = found[..., -1]  # NaN sorts behind all numbers
    return tuple(torch.where(last.isnan(), last, found[..., rank]) for rank in ranks)


def median(values: Tensor) -> Tensor:
    """... x P -> ..., the lower median, as ``torch.median`` has it, in operations that every exporter knows."""
    count = (values.shape[-1] + 1) // 2
    found = ranked(values, count - 1)
    return values.topk(count, dim=-1, largest=False).values[..., -1] if found is None else found[0]


def quantile(values: Tensor, q: float) -> Tensor:
    """B x P -> B, the ``q`` quantile of each row, between two values linear."""
    place = torch.tensor(q, dtype=values.dtype) * (values.shape[-1] - 1)
    below = int(place)
    found = ranked(values, below, min(below + 1, values.shape[-1] - 1))
    return torch.quantile(values, q, dim=1) if found is None else torch.lerp(found[0], found[1], place - below)
