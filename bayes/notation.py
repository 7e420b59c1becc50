"""Probabilities that no float holds, written from their logarithm."""

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Literal

# What chooses its avatar: each channel of each pixel, each pixel, each block, each part (hair, glasses, clothes).
Share = Literal["channel", "pixel", "block", "part"]


def scientific(log_probability: float, digits: int = 3) -> str:
    """exp(``log_probability``) in scientific notation with ``digits`` significant digits.

    >>> scientific(-2e6)
    '1.09e-868589'
    >>> scientific(float("-inf"))
    '0'
    """
    # Far more digits than are shown: exp is exact to the last of them.
    context = Context(prec=digits + 20, Emin=MIN_EMIN, Emax=MAX_EMAX)
    probability = Decimal(log_probability).exp(context)
    return f"{probability:.{digits - 1}e}" if probability else "0"
