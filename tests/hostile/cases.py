"""Which of many cases run at once, and which only with the slow tests."""

from collections.abc import Iterable

import pytest


def some(cases: Iterable, every: int = 3) -> list:
    """``cases`` as parameters; all but one in ``every`` are slow."""
    marks = {True: (), False: (pytest.mark.slow,)}
    return [pytest.param(case, marks=marks[number % every == 0], id=str(case)) for number, case in enumerate(cases)]
