"""Files: nothing foreign is read whole or replaced, and an error names the file that it is of."""

import os
from pathlib import Path

import pytest

from mnad.run import UserError
from mnad.run.files import atomic_path, check_distinct, check_replaceable


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


def test_an_error_of_another_file_is_not_blamed_on_the_one_that_is_written(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"), atomic_path(tmp_path / "out" / "a.csv"):
        (tmp_path / "elsewhere" / "gone").read_text()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot be written"), atomic_path(tmp_path / "file" / "a.csv"):
        pass


def test_one_file_for_two_options(tmp_path):
    with pytest.raises(UserError, match=r"--csv and --json: both .*; expected two files"):
        check_distinct(csv=tmp_path / "a", json=tmp_path / "b" / ".." / "a")
    check_distinct(csv=tmp_path / "a", json=None, report=tmp_path / "b")
