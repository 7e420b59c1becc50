"""A script of the project that SIGKILL ends at its N-th change of a file: ``killed.py N FOLDER SCRIPT [OPTION ...]``.

A change is a file of FOLDER opened for writing, renamed or removed, or a folder made there; the process dies before it
happens. A script that lives on says how many there were.
"""

import os
import runpy
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

CHANGES = {"os.rename": 1, "os.remove": 0, "os.mkdir": 0, "os.rmdir": 0}  # event -> which argument is the place


class QuickMap:
    """In place of UMAP, which compiles for longer than all the rest takes: the map is not what is tested."""

    def __init__(self, **options: object) -> None: ...

    def fit_transform(self, points: np.ndarray) -> np.ndarray:
        """N x C -> N x 2."""
        return points[:, :2]


def main() -> None:
    """Count the changes that Python announces (PEP 578), die at the one that was asked for."""
    moment, folder, script = int(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
    seen = 0

    def count(event: str, args: tuple) -> None:
        nonlocal seen
        if event == "open":
            place, mode, flags = args
            if not (flags & (os.O_WRONLY | os.O_RDWR) if mode is None else set(mode) & set("wax+")):
                return
        elif event in CHANGES:
            place = args[CHANGES[event]]
        else:
            return
        if isinstance(place, str | os.PathLike) and os.path.abspath(place).startswith(folder):
            seen += 1
            if seen == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    path = str(Path(__file__).resolve().parents[2] / "scripts" / f"{script}.py")
    sys.argv = [path, *sys.argv[4:]]
    sys.modules["umap"] = SimpleNamespace(UMAP=QuickMap)  # type: ignore[assignment]
    sys.addaudithook(count)
    try:
        runpy.run_path(path, run_name="__main__")
    finally:
        print(f"changes: {seen}")


if __name__ == "__main__":
    main()
