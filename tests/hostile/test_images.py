"""Odd, damaged and absurd images: each has a verdict or one line that says why not, in every command."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
from layouts_on_disk import mvtec
from odd_files import IMAGES, JPEG, LARGE, PNG, encoded, picture, write_all
from sandbox import Result, Sandbox, some_quick

from mnad.data.synthetic import draw_wells

BAD = [name for name, (_, reason) in IMAGES.items() if reason and "colour" not in reason]
SMALL = ["--model.width=4", "--model.item_dim=16", "--optim.epochs=1", "--optim.threads=1", "--optim.batch_size=8"]


@pytest.fixture(scope="module")
def scored(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, dict[str, dict[str, str]]]:
    """One call of scripts/score.py on all images: what became of it, and the row of each."""
    folder = tmp_path_factory.mktemp("images")
    write_all(folder / "in")
    result = sandbox.run("score", "in", "--csv", "v.csv", cwd=folder)
    with (folder / "v.csv").open() as file:
        return result, {Path(row["path"]).name: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("name", IMAGES)
def test_scored_or_named(scored, name):
    _, rows = scored
    reason = IMAGES[name][1]
    assert (rows[name]["verdict"] == "") == bool(reason), rows[name]
    assert reason in rows[name]["error"]
    assert "\n" not in rows[name]["error"]


def test_all_are_counted(scored):
    result, rows = scored
    result.done(f"{len(IMAGES)} pictures: ", f"{sum(bool(reason) for _, reason in IMAGES.values())} without a verdict")
    assert len(rows) == len(IMAGES)


@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.slow
def test_as_large_as_allowed(sandbox, tmp_path, kind):
    (tmp_path / "a.png").write_bytes(LARGE[kind]())
    sandbox.run("score", ".", cwd=tmp_path, wall=600).judged()


def test_larger_than_allowed_by_the_user(sandbox, tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    result = sandbox.run("score", "a.jpg", cwd=tmp_path, environment={"MNAD_MAX_PIXELS": "6143"})
    result.without_verdict("a.jpg: 96 x 64 pixels; expected at most 6,143 (MNAD_MAX_PIXELS)")
    sandbox.run("score", "a.jpg", cwd=tmp_path, environment={"MNAD_MAX_PIXELS": "6144"}).done("1 pictures")


# what is no file: name -> how it is made
NO_FILES = {
    "pipe": lambda path: os.mkfifo(path),
    "folder": lambda path: path.mkdir(),
    "dangling": lambda path: path.symlink_to("nowhere"),
    "circle": lambda path: path.symlink_to(path),
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "full": lambda path: path.symlink_to("/dev/full"),
    "terminal": lambda path: path.symlink_to("/dev/tty"),
}


@pytest.mark.parametrize("kind", some_quick(NO_FILES, 3))
def test_what_is_no_file(sandbox, tmp_path, kind):
    NO_FILES[kind](tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(JPEG)
    result = sandbox.run("score", ".", "--csv", "v.csv", cwd=tmp_path)
    if kind == "folder":  # it is looked into and found empty
        result.done("1 pictures")
    else:
        result.done("2 pictures", "1 without a verdict", "a.jpg: ")


NAMES = {
    "bytes": b"caf\xe9.jpg",
    "line break": b"a\nb.jpg",
    "mathematics": b"a$x_{$.jpg",
    "escape": b"\x1b[31mred.jpg",
    "option": b"--csv.jpg",
    "blank": b" .jpg",
    "right to left": "\u202ecod.jpg".encode(),
    "longest": b"x" * 251 + b".jpg",
    "pattern": b"[a-z]*.jpg",
    "comma and quote": b'a","b.jpg',
    "hash": b"a#1.jpg",
    "formula": b"=1+1.jpg",
}


@pytest.mark.parametrize("kind", some_quick(NAMES, 4))
def test_names(sandbox, tmp_path, kind):
    """In the table, in the report and on the screen, which no name may write over."""
    (tmp_path / os.fsdecode(NAMES[kind])).write_bytes(JPEG)
    words = ["--csv", "v.csv", "--json", "v.json", "--report", "r.html", "--maps", "maps"]
    result = sandbox.run("score", ".", *words, cwd=tmp_path)
    result.done("1 pictures", "0 without a verdict")
    assert "\x1b" not in result.out + result.err
    with (tmp_path / "v.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 1
    assert (tmp_path / "r.html").stat().st_size > 10_000 and len(list((tmp_path / "maps").iterdir())) == 2


@pytest.mark.parametrize("word", some_quick(["x" * 300, "y/" * 3000 + "z.jpg", "nowhere/*.jpg", "\udcff", ""], 3))
def test_words_that_name_nothing(sandbox, tmp_path, word):
    sandbox.run("score", word, cwd=tmp_path).judged()


@pytest.fixture(scope="module")
def wells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 training normals, 3 known spills, 4 + 2 test images."""
    return draw_wells(tmp_path_factory.mktemp("drawn") / "wells", 0, 12, 3, 4, 2)


def spoil(wells: Path, target: Path, role: str) -> list[str]:
    """A copy of ``wells`` in ``target`` with every bad image in one ``role``; returns their names."""
    shutil.copytree(wells, target)
    folder = target / role
    for name in BAD:
        (folder / name).write_bytes(IMAGES[name][0])
    if role == "test/imgs":
        with (target / "test/test_annotation.txt").open("a") as file:
            file.writelines(f"{name} 0\n" for name in BAD)
    return BAD


@pytest.mark.parametrize("role", some_quick(["train", "proliv", "test/imgs"], 3))
def test_training_names_all_bad_files_before_it_begins(sandbox, wells, tmp_path, role):
    names = spoil(wells, tmp_path / "wells", role)
    result = sandbox.run("train_mnad", "--data", "wells", "--out", "run", *SMALL, cwd=tmp_path)
    line = result.refused(f"{len(names)} of ", "cannot be read")
    assert all(f"/{name}: " in line for name in names)
    assert not (tmp_path / "run").exists()


def test_training_goes_on_without_bad_files(sandbox, wells, tmp_path):
    names = spoil(wells, tmp_path / "wells", "train")
    words = ["--data", "wells", "--out", "run", "--skip-bad", "--compare=[]", *SMALL]
    result = sandbox.run("train_mnad", *words, cwd=tmp_path)
    result.done("run folder")
    assert result.err.count("warning: left out: ") == len(names)
    assert f"left out, since they cannot be read: {len(names)} train" in (tmp_path / "run/table.txt").read_text()
    found = json.loads((tmp_path / "run/provenance.json").read_text())
    assert len(found["left_out"]["train"]) == len(names)


@pytest.mark.parametrize("command", some_quick(["evaluate", "robustness"], 2))
def test_evaluation_names_all_bad_files(sandbox, wells, tmp_path, command):
    names = spoil(wells, tmp_path / "wells", "test/imgs")
    line = sandbox.run(command, "--checkpoint", "wells", "--data", "wells", cwd=tmp_path).refused("cannot be read")
    assert all(f"/{name}: " in line for name in names)


def test_evaluation_goes_on_without_bad_files(sandbox, wells, tmp_path):
    names = spoil(wells, tmp_path / "wells", "test/imgs")
    words = ["--checkpoint", "wells", "--data", "wells", "--skip-bad", "--json", "r.json"]
    result = sandbox.run("evaluate", *words, cwd=tmp_path)
    result.done(f"left out: {len(names)} images that cannot be read; 6 were judged")
    assert len(json.loads((tmp_path / "r.json").read_text())["left_out"]) == len(names)


def test_calibration_names_bad_files(sandbox, wells, tmp_path):
    spoil(wells, tmp_path / "wells", "proliv")
    words = ["--checkpoint", "wells", "--known", "wells/proliv", "--out", "new.safetensors"]
    sandbox.run("calibrate", *words, cwd=tmp_path).judged()


@pytest.mark.parametrize(
    "content", some_quick([PNG[:50], b"", encoded("png", picture(size=(8, 8))), IMAGES["bomb.png"][0]], 3)
)
def test_masks(sandbox, tmp_path, content):
    root = mvtec(tmp_path / "set")
    (root / "ground_truth/dot/001_mask.png").write_bytes(content)
    result = sandbox.run("evaluate", "--checkpoint", "synthetic", "--data", "set", cwd=tmp_path)
    result.refused("001_mask.png")


@pytest.mark.parametrize(
    "content", some_quick([b"", b"text", PNG[:60], IMAGES["bomb.png"][0], IMAGES["floats.tif"][0]], 3)
)
def test_avatars(sandbox, tmp_path, content):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(content)
    sandbox.run("generate_avatars", "--avatars", "a", "--n", 1, "--out", "out", cwd=tmp_path).refused("a/1.png: ")


def test_avatars_of_a_pipe_and_of_a_size(sandbox, tmp_path):
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "1.png")
    sandbox.run("generate_avatars", "--avatars", "a", "--out", "o", cwd=tmp_path).refused("is no regular file")
    os.remove(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "1.png").write_bytes(encoded("png", picture(size=(2600, 2600))))
    sandbox.run("generate_avatars", "--avatars", "a", "--out", "o", cwd=tmp_path).refused("expected fewer (--size)")
    sandbox.run("generate_avatars", "--avatars", "a", "--size", "26x26", "--n", 1, "--out", "o", cwd=tmp_path).done()
