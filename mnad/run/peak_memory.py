"""Peak resident memory of a stretch of code, from Linux's own high-water mark."""

import contextlib
import ctypes
import gc
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident_mb(key: str) -> float | None:
    """``VmRSS`` (now) or ``VmHWM`` (the mark) of this process in MB (10^6 bytes); None outside Linux."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    sizes = [int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{key}:")]
    return sizes[0] if sizes else None


def reset_peak() -> float | None:
    """Give freed memory back, lower the mark to what the process holds now, and return that in MB.

    None where the mark cannot be lowered (outside Linux): there is nothing to measure then.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc only; elsewhere freed memory may hide a part of the peak
    try:
        CLEAR.write_text("5")
    except OSError:
        return None
    return resident_mb("VmRSS")


def peak_above_mb(start: float | None) -> float | None:
    """Largest resident size since :func:`reset_peak`, less the size it returned, in MB."""
    mark = resident_mb("VmHWM")
    return None if start is None or mark is None else max(0.0, mark - start)
