"""Run folders: one writer at a time, and whoever dies lets go."""

import subprocess
import sys

import pytest

from mnad.run import UserError
from mnad.run.folders import locked

HOLD = "import sys, time; from pathlib import Path; from mnad.run.folders import locked\n"
HOLD += "with locked(Path(sys.argv[1])):\n print('held', flush=True); time.sleep(60)"


def test_two_runs_in_one_folder(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "run"], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="run: another run is writing there"), locked(tmp_path / "run"):
            pass
        other.kill()
        other.wait()
    with locked(tmp_path / "run"):  # its death released the lock
        pass
