"""Damaged, cut and lying videos: what is lost is said, in frames, by their positions."""

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import ROOT
from sandbox import some_quick
from video_data import walk, write_avi, write_dataset, write_frames

from mnad.config import ImageConfig
from mnad.data.videos import film_frames
from mnad.run import UserError

COUNT = 30
CONFIG = ROOT / "configs" / "ped2_recon.yaml"
TINY = ["--config", CONFIG, "--model.width=4", "--model.item_dim=16", "--optim.epochs=1", "--optim.threads=1"]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_avi(tmp_path_factory.mktemp("film") / "a.avi", walk(COUNT, 1, 0)).read_bytes()


@pytest.fixture(scope="module")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("film") / "a.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (96, 64))
    for frame in walk(COUNT, 1, 0):
        writer.write(cv2.resize(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR), (96, 64)))
    writer.release()
    return path.read_bytes()


def lies(film: bytes, frames: int) -> bytes:
    """An .avi whose two headers say another number of frames."""
    data = bytearray(film)
    for mark, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        place = data.index(mark)
        data[place + offset : place + offset + 4] = struct.pack("<I", frames)
    return bytes(data)


def without_pictures(film: bytes, first: int, last: int) -> bytes:
    """An .avi with the frames from ``first`` to before ``last`` overwritten."""
    data, place = bytearray(film), film.index(b"movi")
    for number in range(last):
        place = data.index(b"00dc", place + 4)
        size = struct.unpack("<I", data[place + 4 : place + 8])[0]
        if number >= first:
            data[place + 8 : place + 8 + size] = bytes(size)
    return bytes(data)


# name -> (file, its content from that of a whole .avi and a whole .mp4)
DAMAGED: dict[str, tuple[str, Callable[[bytes, bytes], bytes]]] = {
    "empty": ("a.avi", lambda avi, mp4: b""),
    "text": ("a.avi", lambda avi, mp4: b"no film\n" * 100),
    "zeros": ("a.mp4", lambda avi, mp4: bytes(5000)),
    "header_alone": ("a.avi", lambda avi, mp4: avi[:400]),
    "cut_avi": ("a.avi", lambda avi, mp4: avi[: len(avi) // 2]),
    "cut_mp4": ("a.mp4", lambda avi, mp4: mp4[: len(mp4) // 2]),
    "one_frame_lost": ("a.avi", lambda avi, mp4: without_pictures(avi, 10, 11)),
    "first_frames_lost": ("a.avi", lambda avi, mp4: without_pictures(avi, 0, 5)),
    "last_frames_lost": ("a.avi", lambda avi, mp4: without_pictures(avi, 25, 30)),
    "all_frames_lost": ("a.avi", lambda avi, mp4: without_pictures(avi, 0, 30)),
    "two_thousand_million_frames": ("a.avi", lambda avi, mp4: lies(avi, 2**31 - 1)),
}


@pytest.mark.parametrize("name", some_quick(DAMAGED, 4))
def test_evaluation_says_what_is_lost(sandbox, tmp_path, film, mp4, name):
    file, content = DAMAGED[name]
    (tmp_path / file).write_bytes(content(film, mp4))
    words = ["--checkpoint", "synthetic", "--data", file, "--csv", "s.csv"]
    result = sandbox.run("evaluate", *words, cwd=tmp_path)
    result.refused(file)
    assert not (tmp_path / "s.csv").exists()


@pytest.mark.parametrize("name", some_quick(DAMAGED, 4))
def test_scoring_counts_what_is_lost(sandbox, tmp_path, film, mp4, name):
    file, content = DAMAGED[name]
    (tmp_path / file).write_bytes(content(film, mp4))
    result = sandbox.run("score", file, "--checkpoint", "synthetic", "--csv", "s.csv", cwd=tmp_path)
    result.judged()
    assert result.status != 0
    rows = (tmp_path / "s.csv").read_text().splitlines()[1:]
    lost = [row for row in rows if "decoded" in row or "pixels" in row or "missing" in row or "read" in row]
    assert lost, rows
    if name == "one_frame_lost":
        assert len(rows) == COUNT and len(lost) == 1 and lost[0].startswith("a.avi:10,")


def test_fewer_frames_than_there_are(tmp_path, film):
    """The frames count, not what the header says."""
    (tmp_path / "a.avi").write_bytes(lies(film, 3))
    assert [number for number, image in film_frames(tmp_path / "a.avi") if image is not None] == list(range(COUNT))


def test_absurd_size(tmp_path, monkeypatch, film):
    (tmp_path / "a.avi").write_bytes(film)
    monkeypatch.setenv("MNAD_MAX_PIXELS", "100")
    with pytest.raises(UserError, match=r"a\.avi: 24 x 16 pixels; expected at most 100"):
        next(film_frames(tmp_path / "a.avi"))


def test_a_pipe_is_not_waited_for(sandbox, tmp_path):
    os.mkfifo(tmp_path / "a.avi")
    sandbox.run("evaluate", "--checkpoint", "synthetic", "--data", "a.avi", cwd=tmp_path).refused("a.avi")
    sandbox.run("score", "a.avi", cwd=tmp_path).without_verdict("no regular file")


@pytest.mark.parametrize("ending", [b"avi", b"mp4", b"film"])
def test_a_film_whose_name_is_no_utf_8(sandbox, tmp_path, film, ending):
    """OpenCV does not survive such a name."""
    name = os.fsdecode(b"caf\xe9." + ending)
    (tmp_path / name).write_bytes(film)
    sandbox.run("score", name, "--checkpoint", "synthetic", cwd=tmp_path).without_verdict("caf\\xe9")
    if ending != b"film":
        sandbox.run("evaluate", "--checkpoint", "synthetic", "--data", name, cwd=tmp_path).refused()  # by the parser


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("videos") / "set")


@pytest.mark.parametrize("role", ["training", "testing"])
@pytest.mark.parametrize("content", some_quick([b"", b"text"], 2))
def test_a_bad_frame_is_found_before_training(sandbox, tmp_path, videos, role, content):
    shutil.copytree(videos, tmp_path / "set")
    folder = sorted((tmp_path / "set" / role / "frames").iterdir())[1]
    for name in ("003.png", "005.png"):
        (folder / name).write_bytes(content)
    words = ["--data", "set", "--out", "run", *TINY]
    sandbox.run("train_mnad", *words, cwd=tmp_path).refused("003.png")
    assert not (tmp_path / "run").exists()


def test_odd_folders(sandbox, tmp_path, videos):
    def refused(*words: str) -> None:
        sandbox.run("evaluate", "--checkpoint", "synthetic", "--data", "set", cwd=tmp_path).refused(*words)

    shutil.copytree(videos, tmp_path / "set")
    (tmp_path / "set/testing/frames/04").mkdir()
    refused("04: holds no image")
    shutil.rmtree(tmp_path / "set/testing/frames")
    refused("frames: missing")
    (tmp_path / "set/testing/frames").write_text("a file")
    refused("set")


def test_video_names_with_mathematics(sandbox, tmp_path):
    """Matplotlib takes two dollar signs for a formula."""
    for name in ("a$x_{$", "b\udcff", "c" * 200):
        write_frames(tmp_path / "frames", walk(6, 1, 0))  # OpenCV does not survive a name that is no UTF-8
        (tmp_path / "set/testing/frames").mkdir(parents=True, exist_ok=True)
        (tmp_path / "frames").rename(tmp_path / "set/testing/frames" / name)
    np.save(tmp_path / "set/labels.npy", np.arange(18) % 2)
    words = ["--checkpoint", "synthetic", "--data", "set", "--video.figure", "f.png", "--csv", "s.csv"]
    sandbox.run("evaluate", *words, cwd=tmp_path).done("f.png")
    words = ["--scores", "s.csv", "--out", "g.png", "--columns", '["score_wells"]']
    sandbox.run("plot_video_scores", *words, cwd=tmp_path).done("g.pdf")


def test_sizes_that_are_none():
    for size in ((0, 10), (-4, 8)):
        with pytest.raises(UserError):
            ImageConfig(height=size[0], width=size[1])
