"""One sandbox for all hostile tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnad.data.synthetic import draw_wells


@pytest.fixture(scope="session")
def few_wells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training normals, 6 known spills, 10 + 6 test images. Read only."""
    return draw_wells(tmp_path_factory.mktemp("data") / "wells", 0, 24, 6, 10, 6)


if sys.platform != "linux":  # the limits, and the way to wait for a child, are those of Linux
    collect_ignore_glob = ["test_*.py"]
else:
    from sandbox import Sandbox

    @pytest.fixture(scope="session")
    def sandbox() -> Iterator[Sandbox]:
        """Forks the cases; with ``-s`` it says at the end which one took the longest and which the most memory."""
        made = Sandbox()
        yield made
        made.close()
        if made.seen:
            slow, large = max(made.seen, key=lambda r: r.seconds), max(made.seen, key=lambda r: r.memory)
            total = sum(result.seconds for result in made.seen)
            print(f"\n{len(made.seen)} runs, {total:.0f} s of processor time")
            print(f"longest {slow.seconds:.1f} s: {slow.case[:120]}")
            print(f"largest {large.memory / 1e6:.0f} MB: {large.case[:120]}")
