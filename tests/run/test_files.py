"""Run folders: one writer at a time, whoever dies lets go, nothing foreign is read whole or replaced."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnad.run import UserError
from mnad.run.files import check_replaceable, locked

HOLD = "import sys, time; from pathlib import Path; from mnad.run.files import locked\n"
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


def test_devices_are_not_read(tmp_path):
    with pytest.raises(UserError, match="/dev/zero: is no regular file"):
        check_replaceable(Path("/dev/zero"), "path,")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe: is no regular file"):
        check_replaceable(tmp_path / "pipe", "path,")


def test_only_an_earlier_result_is_replaced(tmp_path):
    path = tmp_path / "a.csv"
    assert check_replaceable(path, "file,label") == path
    path.write_text("file,label,score\n")
    assert check_replaceable(path, "file,label") == path
    path.write_bytes(b"\xff\xfe other")
    with pytest.raises(UserError, match="exists already and is no earlier result"):
        check_replaceable(path, "file,label")
