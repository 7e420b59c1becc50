"""Tables of others, and places where ours may not go."""

import os

import pytest
from layouts_on_disk import two_folders
from odd_files import JPEG
from sandbox import some_quick

from figures.config import ROOT
from mnad.run import UserError
from mnad.run.files import read_table

SCORES = {
    "empty": (b"", "cannot be read"),
    "header_alone": (b"video,frame,label,score_mnad\n", "has no row"),
    "other_columns": (b"a,b\n1,2\n", "no column frame, score_mnad, video"),
    "text_for_frame": (b"video,frame,score_mnad\n1,first,0.5\n", "column frame holds 'first'"),
    "text_for_score": (b"video,frame,score_mnad\n1,1,high\n", "column score_mnad holds 'high'"),
    "label_two": (b"video,frame,label,score_mnad\n1,1,2,0.5\n", "label"),
    "label_nan": (b"video,frame,label,score_mnad\n1,1,,0.5\n", "label"),
    "frame_nan": (b"video,frame,score_mnad\n1,,0.5\n", "frame"),
    "no_scores": (b"video,frame,score_mnad\n1,1,\n", "score_mnad"),
    "binary": (bytes(range(256)) * 4, "cannot be read"),
    "quote": (b'video,frame,score_mnad\n"1,1,0.5\n', "cannot be read"),
    "more_cells": (b"video,frame,score_mnad\n1,1,0.5,1,1,1\n1,1,0.5,1,1,1,1,1,1\n", "cannot be read"),
    "too_many_videos": (b"video,frame,score_mnad\n" + b"".join(b"%d,1,0.5\n" % i for i in range(2000)), "2000 videos"),
}


@pytest.mark.parametrize("name", some_quick(SCORES, 4))
def test_scores_of_videos(sandbox, tmp_path, name):
    content, reason = SCORES[name]
    (tmp_path / "s.csv").write_bytes(content)
    sandbox.run("plot_video_scores", "--scores", "s.csv", "--out", "f.png", cwd=tmp_path).refused(reason)
    assert [path.name for path in tmp_path.iterdir()] == ["s.csv"]


@pytest.mark.parametrize("kind", some_quick(["missing", "pipe", "folder", "endless"], 2))
def test_a_table_that_is_no_file(sandbox, tmp_path, kind):
    path = tmp_path / "s.csv"
    {
        "missing": lambda: None,
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "endless": lambda: path.symlink_to("/dev/zero"),
    }[kind]()
    sandbox.run("plot_video_scores", "--scores", "s.csv", "--out", "f.png", cwd=tmp_path).refused("s.csv: ")
    sandbox.run("score", "x.jpg", "--boxes", "s.csv", cwd=tmp_path).refused("s.csv: ")


def test_scores_that_are_no_numbers_are_gaps(sandbox, tmp_path):
    (tmp_path / "s.csv").write_text("video,frame,label,score_mnad\n1,1,0,0.5\n1,2,1,inf\n1,3,1,nan\n1,4,0,0.25\n")
    sandbox.run("plot_video_scores", "--scores", "s.csv", "--out", "f.png", cwd=tmp_path).done("f.pdf")


BOXES = {
    "empty": b"",
    "header_alone": b"id,x,y,width,height\n",
    "text": b"id,x,y,width,height\na,0,0,wide,1\n",
    "float": b"id,x,y,width,height\na,0,0,1.5,1\n",
    "short_row": b"id,x,y,width,height\na,0\n",
    "huge": b"id,x,y,width,height\na,0,0," + b"9" * 5000 + b",1\n",
    "zero_byte": b"id,x,y,width,height\na\0,0,0,0,1\n",
    "long_cell": b"id,x,y,width,height\n" + b"a" * 200_000 + b",0,0,1,1\n",
    "utf_16": "id,x,y,width,height\na,0,0,1,1\n".encode("utf-16"),
}


@pytest.mark.parametrize("name", some_quick(BOXES, 4))
def test_boxes(sandbox, tmp_path, name):
    (tmp_path / "b.csv").write_bytes(BOXES[name])
    (tmp_path / "a.jpg").write_bytes(JPEG)
    line = sandbox.run("score", "a.jpg", "--boxes", "b.csv", cwd=tmp_path).refused("b.csv")
    assert len(line) < 500


def test_boxes_outside_the_picture(sandbox, tmp_path):
    (tmp_path / "b.csv").write_text(f"id,x,y,width,height\nin,0,0,9,9\nout,90,60,9,9\nfar,{10**30},0,1,1\n")
    (tmp_path / "a.jpg").write_bytes(JPEG)
    sandbox.run("score", "a.jpg", "--boxes", "b.csv", cwd=tmp_path).done("3 pictures", "2 without a verdict")


FIGURES = {
    "ablation/ablation.csv": "ablation",
    "baselines/comparison.csv": "comparison",
    "ped2/scores_pred.csv": "ped2",
}


@pytest.mark.parametrize("content", ["header", "", "text"])
@pytest.mark.parametrize("path", some_quick(FIGURES, 2))
def test_stored_results_of_figures(sandbox, tmp_path, path, content):
    target = tmp_path / "stored" / path
    target.parent.mkdir(parents=True)
    header = (ROOT / "figures" / path).read_text().splitlines()[0] + "\n"
    row = ",".join("many" for _ in header.split(",")) + "\n"
    target.write_text({"header": header, "": "", "text": header + row}[content])
    words = ["--results", "stored", "--out", "out", "--only", f'["{FIGURES[path]}"]']
    result = sandbox.run("make_figures", *words, cwd=tmp_path)
    if result.status == 0:
        result.done("skipped")
    else:
        result.refused(path.rpartition("/")[2])


@pytest.mark.parametrize(
    "place", some_quick(["/dev/stdout", "/dev/full", "/dev/null", "pipe", "folder", "mine.txt", "mine.txt/x"], 4)
)
@pytest.mark.parametrize("option", ["--csv", "--json"])
def test_places_that_are_not_ours(sandbox, tmp_path, place, option):
    """A pipe was read without end, /dev/full filled the memory."""
    (tmp_path / "a.jpg").write_bytes(JPEG)
    (tmp_path / "folder").mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    os.mkfifo(tmp_path / "pipe")
    sandbox.run("score", "a.jpg", option, place, cwd=tmp_path).refused(place)
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("second", some_quick(["r", "./r", "folder/../r", "link"], 2))
def test_one_file_for_two_results(sandbox, tmp_path, second):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("r")
    two_folders(tmp_path / "set")
    sandbox.run("score", "a.jpg", "--csv", "r", "--json", second, cwd=tmp_path).refused("expected two files")
    words = ["--checkpoint", "synthetic", "--data", "set", "--csv", "r", "--json", second]
    sandbox.run("evaluate", *words, cwd=tmp_path).refused("expected two files")
    assert not (tmp_path / "r").exists()


def test_literals_are_kept(tmp_path):
    (tmp_path / "t.csv").write_text("file,n\nNA,1\n01,2\n")
    assert read_table(tmp_path / "t.csv", {"file", "n"}, ("file",), literal=True)["file"].tolist() == ["NA", "01"]
    with pytest.raises(UserError, match=r"t\.csv: column file holds 'NA'; expected numbers"):
        read_table(tmp_path / "t.csv", {"file", "n"}, literal=True)
