"""The wheel, installed into a fresh environment: shipped detectors and commands work outside the repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from extras import HIDE
from helpers import ROOT


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_in_the_wheel():
    listed = project()["tool"]["setuptools"]["packages"]
    tops = ("mnad", "baselines", "bayes", "figures")
    found = [path.parent.relative_to(ROOT) for top in tops for path in (ROOT / top).rglob("__init__.py")]
    assert {".".join(path.parts) for path in found} <= set(listed)


def test_every_command_is_a_script():
    for name, place in project()["project"]["scripts"].items():
        module, _, function = place.partition(":")
        script = ROOT / "scripts" / f"{module.removeprefix('mnad_commands.')}.py"
        if script.is_file():
            assert f"def {function}() -> None:" in script.read_text(), name


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """A new environment with the wheel; torch and the like come from the one that runs the tests."""
    pytest.importorskip("setuptools", reason="setuptools is not installed")
    place = tmp_path_factory.mktemp("wheel")
    kept = shutil.ignore_patterns(".*", "__pycache__", "runs", "data", "shared", "build", "*.egg-info", "tests")
    source = place / "source"
    source.mkdir()
    for path in ROOT.iterdir():
        if path.name in ("mnad", "baselines", "bayes", "figures", "scripts", "checkpoints", "configs"):
            shutil.copytree(path, source / path.name, ignore=kept if path.name != "mnad" else None)
        elif path.is_file() and not path.name.startswith("."):
            shutil.copy(path, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(place), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr
    (wheel,) = place.glob("*.whl")
    home = place / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    install = [*pip, "--python", str(home / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr
    (packages,) = (home / "lib").glob("python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return home


def call(environment: Path, folder: Path, *words: object) -> subprocess.CompletedProcess:
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [str(environment / "bin" / str(words[0])), *map(str, words[1:])]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=clean)


@pytest.mark.slow
def test_shipped_detectors_and_commands_work_outside_the_repository(environment, tiny_wells, tmp_path):
    code = "import mnad; from mnad import Detector; print(mnad.__file__); print(Detector.load('wells').primary)"
    done = call(environment, tmp_path, "python", "-c", code)
    assert done.stdout.splitlines()[1:] == ["wells"] and str(environment) in done.stdout, done.stderr
    images = tiny_wells / "test" / "imgs"
    done = call(environment, tmp_path, "mnad-score", images, "--csv", "v.csv", "--report", "r.html")
    assert done.returncode in (0, 1), done.stderr
    assert len((tmp_path / "v.csv").read_text().splitlines()) == 29
    assert (tmp_path / "r.html").stat().st_size > 10_000
    code = f"{HIDE}from mnad_commands.score import command; command()"  # as `pip install .` without extras leaves it
    done = call(environment, tmp_path, "python", "-c", code, images, "--csv", "bare.csv")
    assert done.returncode in (0, 1), done.stderr
    assert (tmp_path / "bare.csv").read_bytes() == (tmp_path / "v.csv").read_bytes()
    code = f"{HIDE}from mnad_commands.train_mnad import *; run(main, TrainWithBaselines, base=configuration)"
    small = ("--data", tiny_wells, "--optim.epochs=1", "--model.width=4", "--compare=[]", "--out", "run")
    done = call(environment, tmp_path, "python", "-c", code, *small)
    assert done.returncode == 0 and (tmp_path / "run" / "report.html").is_file(), done.stderr
    arguments = ("--checkpoint=synthetic", "--known", tiny_wells / "proliv", "--out", "new.safetensors")
    done = call(environment, tmp_path, "mnad-calibrate", *arguments)
    assert done.returncode == 0 and (tmp_path / "new.safetensors").is_file(), done.stderr
