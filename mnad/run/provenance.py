"""Where a result comes from: git revision, package versions, machine, date."""

import datetime
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from mnad.run.files import read_json, write_json

PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "scikit-learn", "scipy", "safetensors")


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
