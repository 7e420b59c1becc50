"""One sandbox for all hostile tests."""

import sys
from collections.abc import Iterator

import pytest

if sys.platform != "linux":  # the limits, and the way to wait for a child, are those of Linux
    collect_ignore_glob = ["test_*.py"]
else:
    from sandbox import Sandbox

    @pytest.fixture(scope="session")
    def sandbox() -> Iterator[Sandbox]:
        """Forks the cases; says at the end which one took the longest and which the most memory."""
        made = Sandbox()
        yield made
        made.close()
        if made.seen:
            slow, large = max(made.seen, key=lambda r: r.seconds), max(made.seen, key=lambda r: r.memory)
            print(f"\n{len(made.seen)} runs; longest {slow.seconds:.1f} s: {slow.case[:120]}")
            print(f"largest {large.memory / 1e6:.0f} MB: {large.case[:120]}")
