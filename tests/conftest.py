"""Shared by all tests: a tiny drawn dataset, a tiny configuration, and scripts run in this process."""

import os
import runpy
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import ROOT, tiny_config

import baselines
from mnad.config import ImageConfig
from mnad.data.dataset import Photographs
from mnad.data.layouts import read_layout
from mnad.data.synthetic import draw_wells
from mnad.experiment import run_experiment

baselines.register()


@pytest.fixture(scope="session")
def tiny_wells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 training normals, 8 known spills, 20 + 8 test images. Read only: copy it before changing it."""
    return draw_wells(tmp_path_factory.mktemp("data") / "wells", 0, 48, 8, 20, 8)


@pytest.fixture
def wells(tiny_wells: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny_wells, tmp_path / "wells"))


@pytest.fixture(scope="session")
def tiny_run(tiny_wells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run folder with the baseline beside it. Read only."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    return run_experiment(tiny_config(data=tiny_wells, out=out, compare=["conv_ae"]))


@pytest.fixture(scope="session")
def photographs_of_wells(tmp_path_factory: pytest.TempPathFactory) -> Photographs:
    """The development half of the user's test set, read once; a test that wants it is skipped where it is not."""
    archive = Path(os.environ.get("MNAD_WELLS", ROOT.parent / "shared" / "data" / "casting_wells.tar"))
    if not archive.is_file():
        pytest.skip(f"{archive} is not here (set MNAD_WELLS to the archive)")
    folder = tmp_path_factory.mktemp("photographs")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, [m for m in opened if "/test/" in f"/{m.name}"], filter="data")
    root = next(path.parent.parent for path in folder.rglob("test_annotation.txt"))
    return Photographs(read_layout(root, train=False), ImageConfig())


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``script("evaluate", "--data", ...)`` runs scripts/evaluate.py as the command line would; gives its exit code."""

    def call(name: str, *arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        try:
            runpy.run_path(str(ROOT / "scripts" / f"{name}.py"), run_name="__main__")
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    return call


@pytest.fixture
def error_line(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """``error_line()`` is the one line of error that the script has printed since the last look, and no traceback."""

    def read() -> str:
        text = capsys.readouterr().err
        assert "Traceback" not in text, text
        (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
        assert text.rstrip().splitlines()[-1] == line, text  # nothing after it
        return line

    return read


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
