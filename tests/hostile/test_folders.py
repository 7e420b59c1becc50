"""Folders that are not laid out as they should be, and places that cannot be written."""

import json
import os
import shutil
from pathlib import Path

import pytest
from odd_files import JPEG, encoded, picture
from sandbox import some_quick

from mnad.data.synthetic import draw_wells

TINY = ["--model.width=4", "--model.item_dim=16", "--optim.epochs=1", "--optim.threads=1", "--optim.batch_size=8"]


@pytest.fixture(scope="module")
def tiny_wells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fewer than elsewhere; ``wells`` copies them."""
    return draw_wells(tmp_path_factory.mktemp("drawn") / "wells", 0, 12, 3, 4, 2)


def replaced(path: Path, content: bytes | None = b"a file") -> None:
    shutil.rmtree(path)
    if content is not None:
        path.write_bytes(content)


SPOILT = {
    "spills_are_a_file": (lambda root: replaced(root / "proliv"), "proliv: is a file"),
    "spills_are_no_images": (lambda root: (replaced(root / "proliv", None), (root / "proliv").mkdir(),
                                           (root / "proliv/a.txt").write_text("a")), "proliv: holds no image"),
    "training_is_a_file": (lambda root: replaced(root / "train"), "train: missing"),
    "training_is_missing": (lambda root: replaced(root / "train", None), "train: missing"),
    "training_is_empty": (lambda root: (replaced(root / "train", None), (root / "train").mkdir()), "holds no image"),
    "test_images_are_a_file": (lambda root: replaced(root / "test/imgs"), "test"),
    "test_is_missing": (lambda root: replaced(root / "test", None), "test"),
    "one_image": (lambda root: (replaced(root / "train", None), (root / "train").mkdir(),
                                (root / "train/a.jpg").write_bytes(JPEG)), "expected at least 2"),
    "everything_is_a_file": (lambda root: replaced(root), "missing"),
    "nothing": (lambda root: replaced(root, None), "missing"),
    "a_circle": (lambda root: (replaced(root, None), root.symlink_to(root)), "wells: "),
}  # fmt: skip


@pytest.mark.parametrize("name", some_quick(SPOILT, 4))
def test_training(sandbox, tmp_path, wells, name):
    spoil, reason = SPOILT[name]
    spoil(wells)
    sandbox.run("train_mnad", "--data", "wells", "--out", "run", *TINY, cwd=tmp_path).refused(reason)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "word", some_quick(["x" * 300, "y/" * 3000, "a\udcffb", "/dev/null", "/dev/stdin", "", "."], 4)
)
@pytest.mark.parametrize("command", ["train_mnad", "evaluate"])
def test_data_that_is_no_folder(sandbox, tmp_path, command, word):
    words = ["--checkpoint", "wells"] if command == "evaluate" else ["--out", "run"]
    line = sandbox.run(command, f"--data={word}", *words, cwd=tmp_path).refused()
    assert len(line) < 1500


@pytest.mark.slow
def test_an_empty_folder_of_spills_is_none(sandbox, tmp_path, wells):
    replaced(wells / "proliv", None)
    (wells / "proliv").mkdir()
    result = sandbox.run("train_mnad", "--data", "wells", "--out", "run", "--compare=[]", *TINY, cwd=tmp_path)
    result.done("0 known anomalies")


@pytest.mark.slow
def test_what_is_passed_over_is_counted(sandbox, tmp_path, wells):
    """Other endings, no ending, folders; .webp and .jfif are read."""
    for name in ("notes.txt", "noending", "a.gif"):
        (wells / "train" / name).write_bytes(JPEG)
    (wells / "proliv/older").mkdir()
    for name in ("b.webp", "c.jfif"):
        (wells / "train" / name).write_bytes(encoded("webp" if name == "b.webp" else "jpeg", picture()))
    result = sandbox.run("train_mnad", "--data", "wells", "--out", "run", "--compare=[]", *TINY, cwd=tmp_path)
    result.done("train: passed over 3 files of other endings", "proliv: passed over 1 folders in it")
    split = json.loads((tmp_path / "run/split.json").read_text())
    assert {"train/b.webp", "train/c.jfif"} <= set(split["train"])


def test_names_of_any_bytes_are_trained_on_and_resumed(sandbox, tmp_path, wells):
    """A name that is no UTF-8 is stored so that the run knows it again."""
    for role in ("train", "test/imgs"):
        for number, name in enumerate((b"caf\xe9.png", b"a$x_{$.png", b"line\nbreak.png")):
            (wells / role / os.fsdecode(name)).write_bytes(encoded("png", picture(number)))
    path = wells / "test/test_annotation.txt"
    for name in (b"caf\xe9.png", b"line\nbreak.png"):  # an annotation cannot name them
        (wells / "test/imgs" / os.fsdecode(name)).unlink()
    path.write_text(path.read_text() + "a$x_{$.png 0\n")
    words = ["--data", "wells", "--out", "run", "--compare=[]", *TINY]
    sandbox.run("train_mnad", *words, cwd=tmp_path).done("run folder")
    split = json.loads((tmp_path / "run/split.json").read_text())
    assert "train/caf\udce9.png" in split["train"]
    sandbox.run("train_mnad", *words, "--resume", cwd=tmp_path).done("run folder")
    description = ["--layout_options.description", "run/split.json"]
    sandbox.run("evaluate", "--checkpoint", "run", "--data", "wells", *description, cwd=tmp_path).done()


def test_a_folder_named_like_a_formula(sandbox, tmp_path, wells):
    odd = wells.rename(tmp_path / "a$x_{$")
    words = ["--data", odd.name, "--out", "b$y_{$", "--compare=[]", *TINY]
    sandbox.run("train_mnad", *words, cwd=tmp_path).done("run folder")
    words = ["--checkpoint", "b$y_{$", "--data", odd.name, "--csv", "c$z_{$.csv"]
    sandbox.run("evaluate", *words, cwd=tmp_path).done()


@pytest.mark.parametrize("place", some_quick(["mine", "mine/below", "wells", "/proc/nothing/here", "x" * 300], 3))
def test_places_for_a_run(sandbox, tmp_path, wells, place):
    (tmp_path / "mine").write_text("mine")
    before = sorted(path.name for path in wells.rglob("*"))
    sandbox.run("train_mnad", "--data", "wells", "--out", place, *TINY, cwd=tmp_path).refused()
    sandbox.run("train_mnad", "--data", "wells", "--out", place, "--overwrite", *TINY, cwd=tmp_path).refused()
    assert (tmp_path / "mine").read_text() == "mine"
    assert sorted(path.name for path in wells.rglob("*")) == before


@pytest.mark.parametrize("option", some_quick(["maps", "overlay", "report", "csv", "json"], 3))
def test_places_for_scores(sandbox, tmp_path, option):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "b.csv").write_text("id,x,y,width,height\na,0,0,9,9\n")
    place = "mine/below.html" if option == "report" else "mine/below"
    words = ["a.jpg", f"--{option}", place, *(["--boxes", "b.csv"] if option == "overlay" else [])]
    sandbox.run("score", *words, cwd=tmp_path).refused("mine")
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.slow
def test_whoever_reads_the_output_may_stop(sandbox, tmp_path):
    """``score.py ... | head -1`` is no error."""
    import subprocess
    import sys

    from helpers import ROOT

    for i in range(3):
        (tmp_path / f"{i}.jpg").write_bytes(JPEG)
    command = f"{sys.executable} -u {ROOT}/scripts/score.py {tmp_path} | true"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stderr == "" or "Traceback" not in done.stderr
