"""Threads for scoring: one for each core, each running a whole batch, instead of all in one convolution.

PyTorch's own threads wait for each other after every layer and spin while they do, so that a busy core stops all of
them; threads that share nothing do not wait. See docs/scale.md.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

TRIM, MMAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
KEPT = 1 << 30  # bytes


def keep_freed_memory() -> None:
    """Let freed memory stay with the process, to be used again by the next batch; without it every batch asks the
    system for its pages anew, a fifth of the time. For glibc; elsewhere nothing happens."""
    with suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(TRIM, KEPT)
        library.mallopt(MMAP, KEPT)


@contextmanager
def one_thread_each(device: torch.device | str = "cpu") -> Iterator[int]:
    """Yields how many threads may work on batches of their own, as many as PyTorch has; inside, each of them computes
    alone. One on a GPU."""
    threads = torch.get_num_threads()
    if torch.device(device).type != "cpu":
        yield 1
        return
    keep_freed_memory()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
