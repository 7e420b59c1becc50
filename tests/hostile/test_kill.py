"""SIGKILL at any moment: what is left can be resumed or replaced, and what was promised to be the same is the same."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import TINY
from safetensors.torch import load_file
from sandbox import Result, Sandbox

KILLED = "../tests/hostile/killed"
NEVER = 10**9


def run(sandbox: Sandbox, moment: int, out: Path, script: str, *options: object) -> Result:
    """``script`` in the sandbox, killed at ``moment``; out is what it may write to."""
    return sandbox.run(KILLED, moment, out, script, *options, cwd=out.parent)


def changes(result: Result) -> int:
    """How many changes an undisturbed run made."""
    return int(result.done("changes: ").rsplit("changes: ", 1)[1].split()[0])


def moments(total: int, count: int) -> list[int]:
    """``count`` moments from the first change to the last."""
    return sorted(set(np.linspace(1, total, count).round().astype(int).tolist()))


# Training


def training(sandbox: Sandbox, wells: Path, out: Path, moment: int, *options: object) -> Result:
    given = ("--data", wells, "--out", out, *TINY, "--optim.batch_size=8", "--compare=[]", *options)
    return run(sandbox, moment, out, "train_mnad", *given)


def trained(folder: Path) -> tuple[dict, str, dict]:
    """What a training promises to be the same: weights, scores, split."""
    weights = {name: value.numpy().tobytes() for name, value in load_file(folder / "model.safetensors").items()}
    return weights, (folder / "scores.csv").read_text(), json.loads((folder / "split.json").read_text())


@pytest.fixture(scope="module")
def whole_training(sandbox: Sandbox, few_wells: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, tuple]:
    out = tmp_path_factory.mktemp("whole") / "run"
    return changes(training(sandbox, few_wells, out, NEVER)), trained(out)


def check_training(sandbox: Sandbox, wells: Path, out: Path, moment: int, whole: tuple) -> None:
    assert training(sandbox, wells, out, moment).status == -9
    training(sandbox, wells, out, NEVER, "--resume").done()
    assert trained(out) == whole
    epochs = [json.loads(line)["epoch"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert epochs == [1, 2] and not list(out.rglob("*.tmp"))


def test_a_killed_training_resumes_to_the_same(sandbox, few_wells, whole_training, tmp_path):
    total, whole = whole_training
    assert total > 40
    for moment in (total // 3, total - 5):
        check_training(sandbox, few_wells, tmp_path / f"{moment}", moment, whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(24))
def test_a_training_killed_at_any_moment(sandbox, few_wells, whole_training, tmp_path, number):
    total, whole = whole_training
    check_training(sandbox, few_wells, tmp_path / "run", moments(total, 24)[number], whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(6))
def test_a_folder_that_was_being_emptied(sandbox, few_wells, whole_training, tmp_path, number):
    """Killed while --overwrite empties it, it can still be emptied."""
    _, whole = whole_training
    out = tmp_path / "run"
    training(sandbox, few_wells, out, NEVER).done()
    before = len(list(out.iterdir()))
    assert training(sandbox, few_wells, out, moments(before, 6)[number] + 1, "--overwrite").status == -9
    training(sandbox, few_wells, out, NEVER, "--overwrite").done()
    assert trained(out) == whole


# Comparison


def comparison(sandbox: Sandbox, wells: Path, out: Path, moment: int) -> Result:
    given = ("--data", wells, "--out", out, *TINY, "--seeds=1", "--resamples=20", "--methods=[mean_image,mnad,pca]")
    return run(sandbox, moment, out, "compare_baselines", *given)


def compared(folder: Path) -> pd.DataFrame:
    """The table without what a clock or the machine says."""
    table = pd.read_csv(folder / "comparison.csv")
    return table.drop(columns=[name for name in table if name.startswith(("fit_seconds", "images_per", "peak_mb"))])


@pytest.fixture(scope="module")
def whole_comparison(sandbox: Sandbox, few_wells: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, object]:
    out = tmp_path_factory.mktemp("whole") / "compare"
    return changes(comparison(sandbox, few_wells, out, NEVER)), compared(out)


def check_comparison(sandbox: Sandbox, wells: Path, out: Path, moment: int, whole: pd.DataFrame) -> None:
    assert comparison(sandbox, wells, out, moment).status == -9
    comparison(sandbox, wells, out, NEVER).done()
    pd.testing.assert_frame_equal(compared(out), whole)
    assert not list(out.rglob("*.tmp")) and not list(out.rglob("failed.json"))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_a_comparison_killed_at_any_moment(sandbox, few_wells, whole_comparison, tmp_path, number):
    total, whole = whole_comparison
    assert total > 30
    check_comparison(sandbox, few_wells, tmp_path / "compare", moments(total, 20)[number], whole)


# Figures and latent maps: what was cut short is made anew


def contents(folder: Path, *but: str) -> dict[str, bytes]:
    """Every file below ``folder`` with its bytes, but for those that hold a time."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in but)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def figures(sandbox: Sandbox, out: Path, moment: int) -> Result:
    return run(sandbox, moment, out, "make_figures", "--only=[architecture,ablation,comparison]", "--out", out)


@pytest.fixture(scope="module")
def whole_figures(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict]:
    out = tmp_path_factory.mktemp("whole") / "figures"
    return changes(figures(sandbox, out, NEVER)), contents(out)


def check_figures(sandbox: Sandbox, out: Path, moment: int, whole: dict) -> None:
    assert figures(sandbox, out, moment).status == -9
    figures(sandbox, out, NEVER).done()
    assert contents(out) == whole


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_figures_killed_at_any_moment(sandbox, whole_figures, tmp_path, number):
    total, whole = whole_figures
    assert total >= 20
    check_figures(sandbox, tmp_path / "figures", moments(total, 20)[number], whole)


def latent(sandbox: Sandbox, wells: Path, out: Path, moment: int, *options: object) -> Result:
    size = ("--images=40", "--queries=60", "--reads=10", "--perplexity=8", "--neighbors=5", "--threads=1")
    return run(sandbox, moment, out, "visualize_latent", "--data", wells, "--out", out, *size, *options)


def mapped(folder: Path) -> tuple[dict, dict]:
    """Figures, and the numbers without the time they took. Pages have identifiers of their own each time, and captions
    name the command."""
    assert (folder / "latent.html").is_file() and (folder / "items.html").is_file()
    numbers = json.loads((folder / "latent.json").read_text())
    captions = [path.name for path in folder.glob("*.caption.md")]
    assert len(captions) == len(list(folder.glob("*.png")))
    figures = contents(folder, "latent.json", "latent.html", "items.html", *captions)
    return figures, {k: v for k, v in numbers.items() if k != "seconds"}


@pytest.fixture(scope="module")
def whole_latent(sandbox: Sandbox, few_wells: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, tuple]:
    out = tmp_path_factory.mktemp("whole") / "latent"
    return changes(latent(sandbox, few_wells, out, NEVER)), mapped(out)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_latent_maps_killed_at_any_moment(sandbox, few_wells, whole_latent, tmp_path, number):
    total, whole = whole_latent
    out = tmp_path / "latent"
    assert latent(sandbox, few_wells, out, moments(total, 20)[number]).status == -9
    if out.is_dir() and any(not path.name.endswith(".tmp") for path in out.iterdir()):
        refused = latent(sandbox, few_wells, out, NEVER)
        refused.left.clear()  # what the killed one left stays until it is told to overwrite
        refused.refused("already there; expected another --out or --overwrite")
    latent(sandbox, few_wells, out, NEVER, "--overwrite").done()
    assert mapped(out) == whole and not list(out.rglob("*.tmp"))
