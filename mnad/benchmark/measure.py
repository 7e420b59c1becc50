"""Fair clocks: contenders in turn, the median with both extremes, and the peak of this machine beside them."""

import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from mnad.model.clock import finish
from mnad.run.peak_memory import peak_above_mb, reset_peak

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PEAK_SIZE = 2048  # rows and columns of the matrices of the peak
PEAK_SECONDS = 1.0  # spent on it


@dataclass(frozen=True)
class Spread:
    """Median of some measurements, and the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


def processor(device: torch.device) -> str:
    """Name of the processor or card."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def matmul_peak(dtype: torch.dtype, device: torch.device) -> float:
    """GFLOP/s of one large matrix multiplication (2 n^3 operations) with the threads that torch has, the median of
    a second's repetitions."""
    a, b = (torch.randn(PEAK_SIZE, PEAK_SIZE, device=device).to(dtype) for _ in range(2))
    torch.mm(a, b)
    finish(device)
    seconds: list[float] = []
    while len(seconds) < 3 or sum(seconds) < PEAK_SECONDS:
        started = time.perf_counter()
        torch.mm(a, b)
        finish(device)
        seconds.append(time.perf_counter() - started)
    return 2 * PEAK_SIZE**3 / statistics.median(seconds) / 1e9


@contextmanager
def peak_memory(device: torch.device) -> Iterator[list[float | None]]:
    """Yields a list that holds, when the block is over, the largest memory in use above that at its start, in MB
    (10^6 bytes); None where it cannot be measured."""
    found: list[float | None] = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        start = torch.cuda.memory_allocated(device)
        yield found
        found.append((torch.cuda.max_memory_allocated(device) - start) / 1e6)
        return
    resident = reset_peak()
    yield found
    found.append(peak_above_mb(resident))


@dataclass
class Stopwatch:
    """Seconds by name, of pieces that are told when they begin and end."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)

    def begin(self, name: str) -> None:
        """The piece ``name`` begins."""
        finish(self.device)
        self._since[name] = time.perf_counter()

    def end(self, name: str) -> None:
        """It ends; one that never began is passed over."""
        finish(self.device)
        if name in self._since:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - self._since.pop(name)
