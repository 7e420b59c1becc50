"""What the screen shows of many verdicts."""

import pytest

from mnad.line.screen import per_second


@pytest.mark.parametrize(
    ("count", "seconds", "expected"),
    [(12345, 10, "1,234"), (99, 10, "9.9"), (4, 10, "0.4"), (13, 30, "0.43"), (0, 1, "0"), (0, 0, "0")],
)
def test_a_slow_rate_is_no_zero(count: int, seconds: float, expected: str) -> None:
    assert per_second(count, seconds) == f"{expected} a second"
