"""Other datasets go through the main scripts by `--config` and `--data` alone."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from helpers import ROOT, TINY
from layouts_on_disk import SIZE, fill, mvtec, textile, two_folders

from baselines.config import TrainWithBaselines
from mnad.experiment import run_experiment
from mnad.run.cli import parse

SMALL = [*TINY, f"--images.height={SIZE[0]}", f"--images.width={SIZE[1]}", "--images.validation_fraction=0.25"]


def made(name: str, root: Path) -> Path:
    makers = {"mvtec": mvtec, "textile": textile}
    if name == "marble":
        return mvtec(root, masks=False, known=True)
    return two_folders(root, "no", "yes") if name == "two_folders" else makers[name](root)


@pytest.fixture(scope="module")
def trained_two_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Data and finished run, with a baseline beside it, of this module's tests. They stay as they are."""
    folder = tmp_path_factory.mktemp("two_folders")
    root, run = made("two_folders", folder / "data"), folder / "run"
    words = ["--config", ROOT / "configs" / "two_folders.yaml", "--data", root, "--out", run, "--compare=[conv_ae]"]
    run_experiment(parse(TrainWithBaselines, [*map(str, words), *SMALL]))
    return root, run


@pytest.mark.parametrize("name", ["mvtec", "marble", "two_folders", "textile"])
def test_train_then_evaluate(name: str, script, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if name == "two_folders":
        root, run = request.getfixturevalue("trained_two_folders")
    else:
        root, run = made(name, tmp_path / "data"), tmp_path / "run"
        config = ROOT / "configs" / f"{name}.yaml"
        assert script("train_mnad", "--config", config, "--data", root, "--out", run, "--compare=[]", *SMALL) == 0
    split = json.loads((run / "split.json").read_text())
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["evaluations"]["test"]["scores"]["mnad"]["n_anomalous"] == len(split["test_anomalous"]) > 0
    rule = metrics["thresholds"]["mnad"]["rule"]
    assert rule == ("balanced_capped" if len(split["known"]) >= 10 else "normal_quantile")
    # The stored split gives the same verdicts on the same images, whatever the layout was.
    result = tmp_path / "result.json"
    options = ["--layout_options.description", run / "split.json", "--json", result]
    assert script("evaluate", "--checkpoint", run, "--data", root, *options) == 0
    stored, again = metrics["evaluations"]["test"]["scores"]["mnad"], json.loads(result.read_text())["scores"]["mnad"]
    assert again["auroc"] == stored["auroc"] and again["confusion"] == stored["confusion"]
    table = pd.read_csv(run / "scores.csv")  # one row for each image, named so that it can be found
    assert sorted(table["file"]) == sorted(split["test_normal"] + split["test_anomalous"])
    assert set(table["file"][table["label"] == 1]) == set(split["test_anomalous"])


def test_images_that_the_run_has_seen_are_not_tested(trained_two_folders, script, tmp_path: Path, capsys) -> None:
    root, run = trained_two_folders
    names = ["--layout_options.normal=no", "--layout_options.abnormal=yes"]
    for checkpoint in (run, run / "model.safetensors", run / "conv_ae", run / "conv_ae" / "model.safetensors"):
        capsys.readouterr()
        assert script("evaluate", "--checkpoint", checkpoint, "--data", root, *names) == 2
        error = capsys.readouterr().err
        assert "2 of 16 test images chose weights or threshold" in error and ", known)" in error
        assert f"--layout_options.description {run / 'split.json'}, its own split" in error and error.count("\n") == 1
        assert script("evaluate", "--checkpoint", checkpoint, "--data", root, *names, "--layout_options.seed=1") == 2
    moved = Path(shutil.move(root, tmp_path / "moved"))
    assert script("evaluate", "--checkpoint", run, "--data", moved, *names) == 2
    shutil.copytree(moved, root)  # which is there again
    assert script("evaluate", "--checkpoint", run, "--data", moved, *names) == 2  # a copy holds the same images
    others = tmp_path / "others"  # the same names, but other images
    fill(others / "no", 20, 1000)
    fill(others / "yes", 10, 1100, spot=True)
    assert script("evaluate", "--checkpoint", run, "--data", others, *names) == 0


def test_a_split_of_its_own_is_repeated_by_data_alone(script, tmp_path: Path, capsys) -> None:
    root, run = made("two_folders", tmp_path / "data"), tmp_path / "run"
    assert script("train_mnad", "--data", root, "--out", run, "--model.name=mnad", "--primary=mnad", *SMALL) == 0
    printed = capsys.readouterr().out
    assert "20 images of no/ taken as normal, 10 of yes/ as anomalous" in printed
    assert "two_folders.yaml (--config FILE takes another)" in printed
    stored = json.loads((run / "metrics.json").read_text())["evaluations"]["test"]["scores"]["mnad"]
    moved = shutil.copytree(root, tmp_path / "moved")
    for data in (root, moved):
        assert script("evaluate", "--checkpoint", run, "--data", data, "--json", tmp_path / "again.json") == 0
        assert f"split: {run / 'split.json'}, of the same images" in capsys.readouterr().out
        again = json.loads((tmp_path / "again.json").read_text())
        assert (again["auroc"], again["confusion"]) == (stored["auroc"], stored["confusion"])
    (moved / "no" / "003.png").unlink()  # other images: no split to repeat, and most of them were seen
    assert script("evaluate", "--checkpoint", run, "--data", moved) == 2
    assert "test images chose weights or threshold" in capsys.readouterr().err


def test_the_comparison_script(script, tmp_path: Path, capsys) -> None:
    root, out = made("mvtec", tmp_path / "data"), tmp_path / "out"
    arguments = ["--config", ROOT / "configs/mvtec.yaml", "--data", root, "--out", out, "--seeds=1", *SMALL]
    assert script("compare_baselines", *arguments, "--methods=[mnad,mean_image]") == 0
    table = pd.read_csv(out / "comparison.csv")
    assert table["method"].tolist() == ["mnad", "mnad", "mean_image"] and table["aupro_mean"].notna().all()
    assert table["auroc_sd"].isna().all()  # one seed
    capsys.readouterr()
    assert script("compare_baselines", *arguments, "--methods=[mnad]", "--optim.epochs=3") == 2
    assert "optim.epochs is 2, now 3; expected the same value" in capsys.readouterr().err
