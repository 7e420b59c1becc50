"""What training, scoring and the maps read, whatever it is made of, and the one loop over it."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

LONG = 1000  # entries from which on a loop shows its progress


class Source(Protocol):
    """What the loop and the scores read: photos rebuild themselves, clips of a video predict their next frame."""

    def __len__(self) -> int: ...

    def inputs(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Model input B x C x H x W and target B x 3 x H x W, both float32 in [-1, 1]."""
        ...


def index_batches(order: np.ndarray | int, batch_size: int, name: str | None = None) -> Iterator[np.ndarray]:
    """Parts of ``order`` (a number: 0 to it - 1) of ``batch_size`` indices, the last perhaps shorter.

    Args:
        name: what the progress bar says; None or a short loop shows none.
    """
    order = np.arange(order) if isinstance(order, int) else order
    starts = range(0, len(order), batch_size)
    for start in tqdm(starts, name, disable=name is None or len(order) < LONG, leave=False):
        yield order[start : start + batch_size]


def batches(
    source: Source,
    batch_size: int,
    order: np.ndarray | None = None,
    device: torch.device | None = None,
    name: str | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets of ``source`` in ``order`` (None: as they are), on ``device``; see :func:`index_batches`."""
    for indices in index_batches(len(source) if order is None else order, batch_size, name):
        x, target = source.inputs(indices)
        yield x.to(device), target.to(device)
