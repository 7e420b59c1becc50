"""``python -m mnad.runtime``: rows, exit status and messages, and an environment that has never seen torch."""

import csv
import io
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra export is not installed")
pytest.importorskip("onnxscript", reason="the extra export is not installed")
pytest.importorskip("onnxruntime", reason="the extra runtime is not installed")
import onnx
from helpers import ROOT

from mnad.data.drawing import draw_well
from mnad.detector import Detector
from mnad.export.onnx import export_model
from mnad.run.verdict import COLUMNS
from mnad.runtime.__main__ import main
from mnad.runtime.model import Model

FOREIGN = {"torch", "torchvision", "pandas", "scipy", "sklearn", "matplotlib", "jsonargparse", "tqdm", "h5py", "yaml"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runtime") / "synthetic.onnx"
    onnx.save(export_model(Detector.load("synthetic")), path)
    return path


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four normals and three spills, below a folder; and a file that is no image."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(5)
    for i, kind in enumerate(["low", "full", "neck", "low", "overflow", "overflow", "empty"]):
        (folder / kind).mkdir(exist_ok=True)
        name = f"10_CAM_C_01-03-2023_05-39-27-92{i}.png"
        assert cv2.imwrite(str(folder / kind / name), draw_well(rng, kind)[..., ::-1])
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more than this")
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_those_of_the_detector(model: Path, photographs: Path, tmp_path: Path, capsys):
    assert main([str(model), str(photographs), "--csv", str(tmp_path / "v.csv")]) == 1
    found = rows(tmp_path / "v.csv")
    assert list(found[0]) == [*COLUMNS, "camera", "time", *Detector.load("synthetic").scores["wells"].names]
    assert len(found) == 8
    for verdict, row in zip(Detector.load("synthetic").predict([row["path"] for row in found]), found, strict=True):
        expected = verdict.row()
        for key, value in row.items():
            if isinstance(expected.get(key), float):
                assert float(value) == pytest.approx(expected[key], abs=1e-4), key
            else:
                assert value == expected.get(key, ""), key
    screen = capsys.readouterr().out.splitlines()
    scores = [float(line.split()[0]) for line in screen[1:8]]
    assert scores == sorted(scores, reverse=True)
    assert "torn.jpg: is cut off" in screen[8]
    assert "8 pictures: " in screen[9] and "1 without a verdict" in screen[9]


def test_exit_status(model: Path, photographs: Path, tmp_path: Path, capsys):
    def verdict(*words: object) -> int:
        return main([str(model), *map(str, words)])

    (normal,) = [path for path in sorted((photographs / "full").iterdir())]
    (spill, _) = sorted((photographs / "overflow").iterdir())
    assert verdict(normal) == 0
    assert verdict(normal, spill, photographs / "torn.jpg") == 1
    assert verdict(photographs / "torn.jpg", tmp_path / "none.jpg") == 2
    assert verdict(photographs / "*" / "*.png") == 1
    (tmp_path / "empty").mkdir()
    capsys.readouterr()
    assert verdict(tmp_path / "empty") == 2
    assert "no image; expected at least one" in capsys.readouterr().err
    assert main([str(tmp_path / "none.onnx"), str(normal)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "notes.csv").write_text("mine\n")
    assert verdict(normal, "--csv", tmp_path / "notes.csv") == 2
    assert (tmp_path / "notes.csv").read_text() == "mine\n"
    assert "is no earlier result" in capsys.readouterr().err
    assert verdict(normal, "--threads", 0) == 2
    assert "threads: expected 1 or more, got 0" in capsys.readouterr().err


def test_a_list_on_standard_input(model: Path, photographs: Path, tmp_path: Path, monkeypatch):
    listed = sorted(map(str, (photographs / "low").iterdir()))
    stream = io.TextIOWrapper(io.BytesIO("\n".join(listed).encode()))
    monkeypatch.setattr(sys, "stdin", stream)
    assert main([str(model), "-", "--csv", str(tmp_path / "v.csv")]) in (0, 1)
    assert [row["path"] for row in rows(tmp_path / "v.csv")] == listed


def test_openvino_behind_the_same_call(model: Path, photographs: Path, tmp_path: Path):
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    tables = []
    for backend in ("onnxruntime", "openvino"):
        path = tmp_path / f"{backend}.csv"
        assert main([str(model), str(photographs), "--csv", str(path), "--backend", backend]) == 1
        tables.append(rows(path))
    for one, other in zip(*tables, strict=True):
        assert one["verdict"] == other["verdict"]
        assert not one["score"] or float(one["score"]) == pytest.approx(float(other["score"]), abs=1e-4)


def test_nothing_but_the_extra_is_imported():
    code = (
        "import sys, mnad.runtime.__main__, mnad.runtime.model; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert not FOREIGN & set(found.stdout.split())


@pytest.mark.slow
def test_an_environment_without_torch(model: Path, photographs: Path, tmp_path: Path):
    """The wheel without its dependencies, and the extra's packages."""
    unwanted = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "tests", "runs", "data", "shared")
    shutil.copytree(ROOT, tmp_path / "source", ignore=lambda at, names: unwanted(at, names) if at == str(ROOT) else [])
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    kept = {"capture_output": True, "text": True, "cwd": tmp_path, "env": environment}
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", "wheels", "./source"]
    built = subprocess.run(build, **kept)
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    if subprocess.run(
        [*install, "onnxruntime", "opencv-python-headless", "numpy", "pillow", "simplejpeg"], **kept
    ).returncode:
        pytest.skip("no package index within reach")
    assert subprocess.run([*install, "--no-deps", wheel], **kept).returncode == 0
    assert subprocess.run([python, "-c", "import torch"], **kept).returncode == 1
    command = [python, "-m", "mnad.runtime", model, photographs, "--csv", "v.csv"]
    done = subprocess.run(command, **kept)
    assert done.returncode == 1 and not done.stderr, done.stderr
    assert main([str(model), str(photographs), "--csv", str(tmp_path / "here.csv")]) == 1
    assert (tmp_path / "v.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()


def test_a_picture_without_colour_is_refused_as_by_the_detector(tmp_path: Path):
    """The shipped wells rest on colour; what refuses outside the file refuses beside it."""
    detector = Detector.load("wells")
    export = tmp_path / "wells.onnx"
    onnx.save(export_model(detector), export)
    grey = np.full((32, 48, 3), 90, np.uint8) + np.arange(48, dtype=np.uint8)[None, :, None]
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    (verdict,) = detector.predict([tmp_path / "grey.png"])
    (other,) = Model(export).judge([str(tmp_path / "grey.png")], grey[None, None])
    assert verdict.error == other.error == f"{tmp_path / 'grey.png'}: has no colour; expected a photograph in colour"
