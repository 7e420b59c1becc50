"""Bounds that several configurations share."""

import os

from mnad.run import UserError

LARGEST_SEED = 2**32 - 1  # what every library here takes
MOST_THREADS = max(64, os.cpu_count() or 1)  # far more are no use, and torch ends in a crash


def check_range(key: str, value: float, least: float, most: float = float("inf")) -> None:
    """Raises ``UserError`` for a number outside [least, most], and for NaN; ``key`` is its name on the command line."""
    if not least <= value <= most:
        low = "0 or more" if least == 0 else f"at least {least}"
        expected = f"at most {most}" if value > most else low
        raise UserError(f"{key}: expected {expected}, got {value}")


def check_seed(key: str, value: int) -> None:
    """Raises ``UserError`` for a seed below 0 or above ``LARGEST_SEED``."""
    check_range(key, value, 0, LARGEST_SEED)


def check_threads(key: str, value: int) -> None:
    """Raises ``UserError`` for a number of threads below 0 or above ``MOST_THREADS``."""
    check_range(key, value, 0, MOST_THREADS)
