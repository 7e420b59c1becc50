"""One sandbox for all hostile tests, and tiny things to damage."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # sandbox.py, by name
from sandbox import Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Forks the cases; says at the end which one took the longest and which the most memory."""
    made = Sandbox()
    yield made
    made.close()
    if made.seen:
        slow, large = max(made.seen, key=lambda r: r.seconds), max(made.seen, key=lambda r: r.memory)
        print(f"\n{len(made.seen)} hostile cases; longest {slow.seconds:.1f} s ({slow.case[:100]}), ", end="")
        print(f"largest {large.memory / 1e6:.0f} MB ({large.case[:100]})")
