"""What is imported when: a script's help, the package, a detector; and no import that runs back up."""

import ast
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


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_imports_nothing_heavy(script: str) -> None:
    path = ROOT / "scripts" / f"{script}.py"
    run = f"import runpy; sys.path.insert(0, {str(ROOT)!r}); sys.argv = ['{script}.py', '--help']; "
    assert not imported(run + f"runpy.run_path({str(path)!r}, run_name='__main__')") & HEAVY


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
