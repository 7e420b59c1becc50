"""Where a result comes from: git revision, package versions, machine, date."""

import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from mnad.run.files import read_json, write_json

PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "scikit-learn", "scipy", "safetensors")
ABSOLUTE = re.compile(r"(?<![^=\[,\s'\"])/[^\s,\]'\"]+")  # a path, alone, after KEY= or in a list


def git_revision() -> str:
    """Revision of this source tree, with ``-dirty`` when tracked files differ; ``unknown`` outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def run_record(path: Path, findings: dict[str, object] | None = None) -> dict[str, object]:
    """The record of a run, in ``path``: :func:`provenance` and ``findings`` of its first call.

    A later call (--resume) adds date, command and revision under ``resumed`` and changes nothing else: it may train on
    or only score again.
    """
    now = provenance()
    if path.is_file():
        record = read_json(path)
        record.setdefault("resumed", []).append(
            {key: now[key] for key in ("date", "command", "git_revision", "processes")}
        )
    else:
        record = now | (findings or {})
    write_json(path, record)
    return record


def provenance() -> dict[str, object]:
    """A JSON-able record to store with every run."""
    import torch

    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *sys.argv]),
        "git_revision": git_revision(),
        "python": platform.python_version(),
        "processes": int(os.environ.get("WORLD_SIZE", 1)),
        "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }


def neutral_command(command: str) -> str:
    """``command`` without the folders of the machine that it ran on, for records that others read.

    An absolute path becomes ``DIR`` after ``--data``, the part from ``runs/`` on where it has one, ``runs/NAME`` after
    ``--out``, and ``DIR/NAME`` elsewhere. Everything else stays as it is.

    >>> neutral_command("python scripts/train_mnad.py --data /home/me/wells --out=/scratch/runs/a --seed 0")
    'python scripts/train_mnad.py --data DIR --out=runs/a --seed 0'
    """
    words, option = [], ""
    for word in shlex.split(command):
        if word.startswith("--"):
            option = word[2:].partition("=")[0]

        def place(found: re.Match[str], option: str = option) -> str:
            path = Path(found.group())
            if option == "data":
                return "DIR"
            if "runs" in path.parts:
                last = len(path.parts) - path.parts[::-1].index("runs")
                return "/".join(("runs", *path.parts[last:]))
            return f"{'runs' if option == 'out' else 'DIR'}/{path.name}"

        words.append(ABSOLUTE.sub(place, word))
    return shlex.join(words)


def neutral_record(record: dict[str, Any]) -> dict[str, Any]:
    """``record`` of :func:`run_record` with neutral commands, also of those that resumed the run."""
    found = dict(record)
    if record.get("command"):
        found["command"] = neutral_command(record["command"])
    if "resumed" in record:
        found["resumed"] = [neutral_record(one) for one in record["resumed"]]
    return found
