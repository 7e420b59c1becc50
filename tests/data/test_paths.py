"""Which files a word means, and what is passed over; tables of verdicts in flat memory."""

import csv
import io
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from mnad.data.paths import PassedOver, find_images
from mnad.run import UserError
from mnad.run.verdict import COLUMNS, Verdict
from mnad.run.verdict_table import open_tables


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/frame10.jpg", "b/frame2.JPG", "a.png", "notes.txt", ".hidden.jpg", "c.jpg.part", "b/deep/x.bmp"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "b" / "again").symlink_to(tmp_path)
    return tmp_path


def test_folder_is_walked_in_natural_order_and_nothing_is_dropped_silently(folder):
    passed = PassedOver()
    found = [str(path.relative_to(folder)) for path in find_images([folder], passed)]
    assert found == ["a.png", "b/frame2.JPG", "b/frame10.jpg", "b/deep/x.bmp"]
    assert passed.counts == {"hidden or temporary": 2, "unknown ending": 1, "link to a folder": 1}
    assert any(line.startswith("passed over, unknown ending: 1 (") and "notes.txt" in line for line in passed.lines())


def test_globs_missing_files_and_files_named_by_the_user(folder):
    passed = PassedOver()
    words = [f"{folder}/b/*", f"{folder}/none*.jpg", folder / "notes.txt", folder / "gone.jpg"]
    names = [path.name for path in find_images(words, passed)]
    assert names == ["frame2.JPG", "frame10.jpg", "none*.jpg", "notes.txt", "gone.jpg"]
    assert passed.counts == {"folder that a pattern matches": 2}
    assert [path.name for path in find_images([f"{folder}/**/*.bmp"])] == ["x.bmp"]
    (folder / "[1].jpg").write_bytes(b"x")  # a file that looks like a pattern is a file
    assert [path.name for path in find_images([folder / "[1].jpg"])] == ["[1].jpg"]


def test_list_on_standard_input(folder, monkeypatch):
    text = b"%s/a.png\n\n%s/b\r\nnot\xff.jpg\n" % (bytes(folder), bytes(folder))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    names = [path.name for path in find_images(["-"])]
    assert names == ["a.png", "frame2.JPG", "frame10.jpg", "x.bmp", "not\udcff.jpg"]


def test_tables_hold_every_row_and_appear_at_the_end(tmp_path):
    table, listed = tmp_path / "v.csv", tmp_path / "v.json"
    rows = [
        Verdict("x/10_CAM_C_01-03-2023_05-39-27-929.jpg", 1.5, 1.0, {"hue": 0.25}),
        Verdict("bad\udcff,.jpg", error="is empty"),
        Verdict("c.jpg", math.inf, 1.0, {"hue": 0.5}),
    ]
    with open_tables(table, listed, ["hue"]) as writers:
        for row in rows:
            for writer in writers:
                writer.write(row)
        assert not table.exists() and not listed.exists()
    assert table.read_text().splitlines()[0] == ",".join((*COLUMNS, "camera", "time", "hue"))
    read = list(csv.DictReader(table.open()))
    assert [row["verdict"] for row in read] == ["anomalous", "", "anomalous"]
    assert (float(read[0]["margin"]), read[0]["camera"], float(read[0]["hue"])) == (0.5, "10_CAM_C", 0.25)
    assert read[1]["path"] == "bad\\xff,.jpg" and read[1]["score"] == read[1]["hue"] == ""
    found = json.loads(listed.read_text())["verdicts"]
    assert (found[0]["score"], found[1]["score"], found[1]["error"], found[2]["score"]) == (1.5, None, "is empty", None)
    with open_tables(table, listed, ["hue"]):  # an earlier result may be replaced
        pass
    assert json.loads(listed.read_text())["verdicts"] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.csv", "v.json"]


def test_foreign_file_and_failure_leave_everything_as_it_was(tmp_path):
    table = tmp_path / "v.csv"
    with pytest.raises(RuntimeError), open_tables(table, None, []):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    table.write_text("mine")
    with pytest.raises(UserError, match="is no earlier result"), open_tables(table, None, []):
        pass
    assert table.read_text() == "mine"


def test_needs_neither_torch_nor_pandas():
    code = "import sys, mnad.run.verdict_table, mnad.data.paths; print({'torch', 'pandas', 'cv2'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
