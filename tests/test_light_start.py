"""What is imported when: a script's help, the package, a detector; and no import that runs back up."""

import ast
import json
import re
import subprocess
import sys

import pytest
from helpers import ROOT

HEAVY = {"torch", "torchvision", "pandas", "matplotlib", "seaborn", "umap", "bokeh", "sklearn", "scipy", "cv2"}
DRAWING = {"matplotlib", "pandas", "seaborn", "umap", "bokeh", "sklearn"}
SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))
PRINT_MODULES = "import atexit, sys; atexit.register(lambda: print('MODULES', *sys.modules)); "


def imported(code: str) -> set[str]:
    """Top-level names of the modules that a fresh interpreter has after ``code``."""
    done = subprocess.run([sys.executable, "-c", PRINT_MODULES + code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.rpartition("MODULES")[2].split()}


# Every script's help in one interpreter, a fork of it each: what they share is imported once.
HELP = f"""
import json, os, runpy, sys
import docstring_parser, jsonargparse, mnad.run.cli
sys.path.insert(0, {str(ROOT)!r})
for name in {SCRIPTS}:
    if os.fork() == 0:
        sys.argv = [name + ".py", "--help"]
        try:
            runpy.run_path({str(ROOT / "scripts")!r} + "/" + name + ".py", run_name="__main__")
        except SystemExit as stop:
            print("\\nMODULES", json.dumps([name, stop.code, list(sys.modules)]), flush=True)
        finally:
            os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def helped() -> dict[str, tuple[int, set[str]]]:
    """Exit status of each script's ``--help``, and the top-level names of the modules that it has imported."""
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, cwd=ROOT)
    told = [json.loads(line[8:]) for line in done.stdout.splitlines() if line.startswith("MODULES ")]
    return {name: (status, {module.partition(".")[0] for module in modules}) for name, status, modules in told}


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_imports_nothing_heavy(script: str, helped: dict[str, tuple[int, set[str]]]) -> None:
    status, modules = helped[script]
    assert status == 0 and not modules & HEAVY


def test_the_package_imports_nothing_heavy() -> None:
    assert not imported("import mnad") & HEAVY


def test_a_detector_loads_without_drawing_libraries() -> None:
    found = imported("from mnad import Detector; Detector.load('wells')")
    assert "torch" in found and not found & DRAWING


def imports_of(path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.add(node.module)
    return found


@pytest.mark.parametrize(
    ("package", "not_from"),
    [
        ("mnad", {"baselines", "bayes", "figures", "scripts", "styles"}),
        ("baselines", {"figures", "scripts"}),
        ("bayes", {"baselines", "figures", "scripts"}),
    ],
)
def test_no_import_runs_back_up(package: str, not_from: set[str]) -> None:
    paths = list((ROOT / package).rglob("*.py"))
    assert len(paths) > 5
    for path in paths:
        assert not {name.partition(".")[0] for name in imports_of(path)} & not_from, path


def test_imports_inside_the_package_point_one_way() -> None:
    """In the order that CONTRIBUTING.md tells."""
    (told,) = re.findall(r"Imports point one way: (.*?)\.\n", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.DOTALL)
    rank = {name: i for i, step in enumerate(told.split("<")) for name in re.findall(r"`(\w+)`", step)}
    for path in (ROOT / "mnad").rglob("*.py"):
        own = path.relative_to(ROOT / "mnad").parts[0].removesuffix(".py")
        others = {name.split(".")[1] for name in imports_of(path) if name.startswith("mnad.")} - {own}
        assert own == "__init__" or all(rank[other] < rank[own] for other in others), (path, others)
