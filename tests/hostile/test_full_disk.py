"""A full disk: one line, and what was there before is there still."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import ROOT, TINY
from sandbox import Sandbox

MIB = 1_048_576


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount command")
    if mounted.returncode:
        pytest.skip(f"no small disk may be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@contextlib.contextmanager
def filled(disk: Path, free: int) -> Iterator[None]:
    """The disk with about ``free`` bytes left, in pages of 4,096."""
    filler = disk / "filler"
    filler.write_bytes(b"")
    with filler.open("wb", buffering=0) as file:
        while shutil.disk_usage(disk).free > free:
            file.write(bytes(min(65_536, shutil.disk_usage(disk).free - free)))
    yield
    filler.unlink()


def state(folder: Path) -> dict[str, bytes]:
    """Every file with its bytes; the empty file of a lock stays where it was taken."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def training(sandbox: Sandbox, wells: Path, out: Path, *options: object) -> object:
    words = ("--data", wells, "--out", out, *TINY, "--optim.batch_size=8", "--compare=[]", *options)
    return sandbox.run("train_mnad", *words, cwd=out.parent)


def check_training(sandbox: Sandbox, wells: Path, disk: Path, free: int) -> None:
    """Training on a disk with ``free`` bytes says so, and goes on to the end where there is room again."""
    out = disk / "run"
    with filled(disk, free):
        line = training(sandbox, wells, out).refused("expected")
        assert "No space left on device" in line and str(disk) in line
    assert not list(disk.rglob(".*.tmp"))
    training(sandbox, wells, out, "--resume").done()
    epochs = [json.loads(line)["epoch"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert epochs == [1, 2] and (out / "report.html").is_file()


@pytest.mark.parametrize("free", [20_480])
def test_training(sandbox, few_wells, disk, free):
    check_training(sandbox, few_wells, disk, free)


@pytest.mark.slow
@pytest.mark.parametrize("free", [0, 4096, 8192, 40_960, 100_000, 200_000, 300_000])
def test_training_at_any_moment(sandbox, few_wells, disk, free):
    check_training(sandbox, few_wells, disk, free)


@pytest.mark.slow
def test_a_finished_run_stays_as_it_is(sandbox, few_wells, disk):
    out = disk / "run"
    training(sandbox, few_wells, out).done()
    before = state(out)
    with filled(disk, 0):
        training(sandbox, few_wells, out, "--resume").refused("No space left on device")
        assert state(out) == before


def written(disk: Path) -> dict[str, tuple[str, tuple[object, ...]]]:
    """What else writes -> script and options; everything goes to the disk."""
    wells = str(ROOT / "checkpoints" / "synthetic.safetensors")
    return {
        "json": ("evaluate", ("--checkpoint", wells, "--data", "{data}", "--json", disk / "old.json")),
        "csv": ("evaluate", ("--checkpoint", wells, "--data", "{data}", "--csv", disk / "old.csv")),
        "table": ("score", ("--checkpoint", wells, "{data}/test/imgs", "--csv", disk / "old.csv")),
        "report": ("score", ("--checkpoint", wells, "{data}/test/imgs", "--report", disk / "new.html")),
        "checkpoint": (
            "calibrate",
            ("--checkpoint", wells, "--known", "{data}/proliv", "--out", disk / "new.safetensors"),
        ),
        "figures": ("make_figures", ("--only=architecture", "--out", disk / "figures")),
        "archive": ("get_data", ("--source", "{archive}", "--out", disk / "wells")),
        "comparison": (
            "compare_baselines",
            ("--data", "{data}", "--out", disk / "compare", *TINY, "--seeds=1", "--methods=[mean_image]"),
        ),
        "styles": ("generate_styles", ("--draw=false", "--out", disk / "styles")),
    }


CASES = tuple(written(Path()))


def check_written(sandbox: Sandbox, wells: Path, disk: Path, tmp_path: Path, case: str) -> None:
    script, options = written(disk)[case]
    archive = shutil.make_archive(str(tmp_path / "wells"), "zip", wells.parent, "wells") if case == "archive" else ""
    words = [str(word).format(data=wells, archive=archive) for word in options]
    old = {"old.json": '{\n  "score": "wells"}', "old.csv": "file,label,score_wells\n"}
    if case == "table":
        old["old.csv"] = "path,verdict,score,threshold,margin,error\n"
    for name, text in old.items():
        (disk / name).write_text(text)
    before = state(disk)
    with filled(disk, 0):
        sandbox.run(script, *words, cwd=tmp_path).refused("expected", str(disk))
    assert state(disk) == before, "something was lost, or half of something is there"


@pytest.mark.parametrize("case", ["json", "archive"])
def test_a_result_is_written_whole_or_not_at_all(sandbox, few_wells, disk, tmp_path, case):
    check_written(sandbox, few_wells, disk, tmp_path, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case not in ("json", "archive")])
def test_every_other_result_is_written_whole_or_not_at_all(sandbox, few_wells, disk, tmp_path, case):
    check_written(sandbox, few_wells, disk, tmp_path, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["json", "csv", "report", "checkpoint"])
def test_a_disk_that_may_not_be_written(sandbox, few_wells, disk, tmp_path, case):
    remount: Callable[[str], object] = lambda mode: subprocess.run(  # noqa: E731
        ["mount", "-o", f"remount,{mode}", str(disk)], check=True
    )
    script, options = written(disk)[case]
    remount("ro")
    try:
        words = [str(word).format(data=few_wells, archive="").replace("old.", "new.") for word in options]
        sandbox.run(script, *words, cwd=tmp_path).refused("expected", str(disk))
    finally:
        remount("rw")
    assert not list(disk.iterdir())
