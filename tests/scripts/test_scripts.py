"""Every script from its command line, on tiny data; every mistake of a user in one line."""

import json
import re
import runpy
import shutil

import cv2
import pandas as pd
import pytest
from helpers import ROOT, TINY
from video_data import write_dataset

from baselines.config import TrainWithBaselines
from mnad.config import ModelConfig
from mnad.data.layouts import DEMO
from mnad.run.cli import parse
from mnad.scoring.metrics import wilson


def scores(run):
    return json.loads((run / "metrics.json").read_text())["evaluations"]["test"]["scores"]


def test_without_data_it_is_the_demo(tiny_wells):
    """What `make demo` runs: one model on drawn wells; with data of one's own, or for videos, something else."""
    find = runpy.run_path(str(ROOT / "scripts" / "train_mnad.py"))["configuration"]
    assert find(TrainWithBaselines()) == DEMO
    assert find(TrainWithBaselines(data=tiny_wells)) is None
    assert find(TrainWithBaselines(model=ModelConfig(variant="pred"))) is None
    assert parse(TrainWithBaselines, ["--config", str(DEMO)]).compare == []


def test_train_then_evaluate(script, wells, tmp_path, capsys, error_line):
    run = tmp_path / "run"
    assert script("train_mnad", "--data", wells, "--out", run, *TINY) == 0
    printed = capsys.readouterr().out
    assert "mnad" in printed and "conv_ae" in printed and "1.00% quantile of 8 known anomalies" in printed
    for name in ("config.json", "model.safetensors", "metrics.json", "log.jsonl", "scores.csv", "loss.png"):
        assert (run / name).stat().st_size > 0
        assert (run / "conv_ae" / name).is_file() or name == "config.json"
    assert (run / "histogram_wells.png").stat().st_size > 1000
    for part in ("train", "proliv"):
        (wells / part).rename(tmp_path / part)  # evaluation needs only test/
    result, table = tmp_path / "result.json", tmp_path / "scores.csv"
    assert script("evaluate", "--checkpoint", run, "--data", wells, "--json", result, "--csv", table) == 0
    found = json.loads(result.read_text())
    trained = json.loads((run / "metrics.json").read_text())["evaluations"]["test"]["scores"]["wells"]
    assert {key: found[key] for key in trained} == trained
    assert (found["n_anomalous"], found["n_normal"]) == (8, 20) and found["images_per_second"] > 0
    assert found["tpr_ci95"] == pytest.approx(wilson(found["confusion"]["tp"], 8))
    frame = pd.read_csv(table)
    assert len(frame) == 28 and ((frame.score_wells >= found["threshold"]) == frame.verdict_wells).all()
    assert frame[frame.label == 1].verdict_wells.mean() == found["tpr"]
    again = ("evaluate", "--checkpoint", run, "--data", wells, "--csv", table, "--json")
    assert script(*again, result) == 0  # an earlier result may be replaced
    (tmp_path / "notes.json").write_text("{}")
    capsys.readouterr()
    assert script(*again, tmp_path / "notes.json") == 2
    assert "notes.json: exists already and is no earlier result" in error_line()
    assert (tmp_path / "notes.json").read_text() == "{}"


def test_same_command_same_metrics(script, tiny_wells, tmp_path):
    for name in ("a", "b"):
        assert script("train_mnad", "--data", tiny_wells, "--out", tmp_path / name, "--compare=[]", *TINY) == 0
        assert not (tmp_path / name / "conv_ae").exists()
    assert scores(tmp_path / "a") == scores(tmp_path / "b")


def test_run_folder_is_never_overwritten_unasked(script, tiny_wells, tmp_path, capsys, error_line):
    run = tmp_path / "run"
    arguments = ("train_mnad", "--data", tiny_wells, "--out", run, "--compare=[]", *TINY)
    assert script(*arguments) == 0
    before = (run / "metrics.json").read_text()
    assert script(*arguments) == 2
    assert f"{run}: exists already; expected a new folder, --overwrite or --resume" in error_line()
    assert (run / "metrics.json").read_text() == before
    assert script(*arguments, "--resume") == 0
    assert scores(run) == json.loads(before)["evaluations"]["test"]["scores"]
    capsys.readouterr()
    assert script(*arguments, "--resume", "--seed=5") == 2
    assert "seed is 0, now 5" in error_line()
    assert script(*arguments, "--resume", "--threshold.rule=midpoint") == 0  # scored anew, not trained anew
    after = json.loads((run / "metrics.json").read_text())
    assert after["thresholds"]["wells"]["rule"] == "midpoint"
    assert scores(run)["wells"]["auroc"] == json.loads(before)["evaluations"]["test"]["scores"]["wells"]["auroc"]
    assert script(*arguments, "--overwrite", "--seed=5") == 0
    assert json.loads((run / "config.json").read_text())["seed"] == 5


def test_foreign_folder_is_not_emptied(script, tiny_wells, tmp_path, error_line):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("precious")
    arguments = ("--data", tiny_wells, "--out", tmp_path / "photos", "--overwrite", *TINY)
    assert script("train_mnad", *arguments) == 2
    assert "holds other files than a run" in error_line()
    assert (tmp_path / "photos" / "holiday.jpg").read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--optim.epoch=3"], "optim.epoch"),
        (["--optim.epochs=many"], "optim.epochs"),
        (["--data", "nowhere"], "nowhere: missing"),
        (["--threshold.rule=luck"], "threshold.rule"),
        (["--config", f"{ROOT}/configs/ped2_pred.yaml"], "data: none; expected a folder of videos"),
        (["--layout=video"], "data: none; expected a folder of videos"),
        (["--config", f"{ROOT}/configs/mvtec.yaml"], "data: none; expected a folder of the layout mvtec"),
        (["--layout_options.description=a.yaml"], "data: none; expected a folder of the layout generic"),
        (["--config", "no.yaml"], "no.yaml"),
        (["--model.variant=pred", "--model.name=vae"], "model.variant: "),
    ],
)
def test_bad_arguments(script, tmp_path, error_line, arguments, message):
    assert script("train_mnad", "--out", tmp_path / "run", *arguments) == 2
    assert message in error_line()
    assert not (tmp_path / "run").exists()


def test_unknown_key_in_a_config_file(script, tmp_path, error_line):
    path = tmp_path / "my.yaml"
    path.write_text("optim:\n  epochz: 3\n")
    assert script("train_mnad", "--config", path, "--out", tmp_path / "run") == 2
    assert "epochz" in error_line()


def test_no_known_anomalies_is_said(script, wells, tmp_path, capsys):
    (wells / "proliv").rename(tmp_path / "proliv")
    assert script("train_mnad", "--data", wells, "--out", tmp_path / "run", "--compare=[]", *TINY) == 0
    assert "no known anomalies for rule anomalous_quantile: fell back to the 99.50% quantile" in capsys.readouterr().out


def test_bad_image_is_named_and_costs_no_earlier_run(script, wells, tmp_path, error_line):
    bad = wells / "train" / "0001.jpg"
    bad.write_bytes(b"")
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text('{"compare": []}')
    assert script("train_mnad", "--data", wells, "--out", run, "--overwrite", *TINY) == 2
    assert f"{bad}: is empty (zero bytes)" in error_line()
    assert (run / "config.json").read_text() == '{"compare": []}'
    assert script("train_mnad", "--data", wells, "--out", run, *TINY) == 2  # said before anything is read
    assert f"{run}: exists already" in error_line()


def test_reconstructions_of_ones_own_run(script, tiny_run, tiny_wells, tmp_path, error_line):
    assert (tiny_run / "reconstructions.png").stat().st_size > 1000
    assert "is hand-picked" in (tiny_run / "reconstructions.caption.md").read_text()
    picture = tmp_path / "mine.png"
    arguments = ("evaluate", "--checkpoint", tiny_run, "--data", tiny_wells, "--reconstructions", picture)
    assert script(*arguments) == 0
    assert cv2.imread(str(picture)).shape[1] > 1000
    told = (tmp_path / "mine.caption.md").read_text()
    assert len(re.findall(r"test/imgs/\d+\.jpg", told)) == 8
    assert script(*arguments) == 2
    assert f"{picture}: exists already" in error_line()
    assert script(*arguments[:-1], tmp_path / "mine.pdf") == 2
    assert "expected a file ending in .png" in error_line()


def test_ablation_table(script, tiny_wells, tmp_path, capsys, error_line, monkeypatch):
    config = tmp_path / "steps.yaml"
    config.write_text(
        "compare: []\nmodel: {width: 4, item_dim: 16}\noptim: {epochs: 1, threads: 1}\n"
        "scores:\n  wells: {terms: [{name: wall_hue}, {name: glitter}], normalise: spread, combine: max}\n"
        "  psnr: {terms: [{name: psnr}], threshold: {rule: normal_quantile}}\n"
    )
    arguments = ("ablate", "--data", tiny_wells, "--configs", f"[{config}]", "--seeds=2", "--out", tmp_path / "out")
    assert script(*arguments) == 0
    runs, table = (pd.read_csv(tmp_path / "out" / name) for name in ("ablation_runs.csv", "ablation.csv"))
    assert runs[["score", "seed"]].values.tolist() == [["wells", 0], ["psnr", 0], ["wells", 1], ["psnr", 1]]
    for row in table.itertuples():
        values = runs[runs.score == row.score].auroc
        assert row.auroc_mean == pytest.approx(values.mean()) and row.auroc_std == pytest.approx(values.std())
    metrics = json.loads((tmp_path / "out" / "steps" / "seed1" / "metrics.json").read_text())
    assert metrics["thresholds"]["psnr"]["rule"] == "normal_quantile"
    assert metrics["thresholds"]["wells"]["rule"] == "anomalous_quantile"
    assert (tmp_path / "out" / "ablation.png").stat().st_size > 1000
    assert " ± " in (tmp_path / "out" / "ablation.md").read_text()
    same = (tmp_path / "other").mkdir() or shutil.copy(config, tmp_path / "other")
    assert script("ablate", "--configs", f"[{config},{same}]", "--out", tmp_path / "two") == 2
    assert "--configs: expected files of different names, got " in error_line()
    assert script(*arguments) == 0  # finished runs are scored again
    assert pd.read_csv(tmp_path / "out" / "ablation_runs.csv").equals(runs)
    theirs = tmp_path / "figures"  # a table that was put there by hand
    theirs.mkdir()
    shutil.copy(tmp_path / "out" / "ablation.csv", theirs)
    before = (theirs / "ablation.csv").read_bytes()
    capsys.readouterr()
    assert script(*arguments[:-1], theirs, "--seeds=1") == 2
    assert f"{theirs}: holds other files than a run of this command" in error_line()
    assert [path.name for path in theirs.iterdir()] == ["ablation.csv"]
    assert (theirs / "ablation.csv").read_bytes() == before


def test_a_grid_adds_rows(script, tiny_wells, tmp_path, error_line):
    config = tmp_path / "small.yaml"
    config.write_text(
        "compare: []\nmodel: {width: 4, item_dim: 16}\noptim: {epochs: 1, threads: 1}\n"
        "scores: {psnr: {terms: [{name: psnr}]}}\nprimary: psnr\n"
    )
    arguments = ("ablate", "--data", tiny_wells, "--configs", config, "--seeds=1", "--out", tmp_path / "out")
    assert script(*arguments, "--grid", "model.items=[2,10]") == 0
    table = pd.read_csv(tmp_path / "out" / "ablation.csv")
    assert table["config"].tolist() == ["small", "small+model.items=2"]  # 10 is what the file has
    assert "±" not in (text := (tmp_path / "out" / "ablation.md").read_text()) and "nan" not in text  # one seed
    stored = json.loads((tmp_path / "out" / "small+model.items=2" / "seed0" / "config.json").read_text())
    assert stored["model"]["items"] == 2
    for wrong, message in (("model.items=2", "expected KEY=[VALUE,VALUE...]"), ("model.itemz=[2]", "itemz")):
        assert script(*arguments, "--grid", wrong) == 2
        assert message in error_line()


def test_ablation_of_videos(script, tmp_path):
    """Both evaluations of a video have their rows."""
    config = tmp_path / "film.yaml"
    config.write_text(
        "compare: []\nmodel: {variant: pred, width: 4, item_dim: 16}\nimages: {height: 16, width: 24}\n"
        "optim: {epochs: 1, threads: 1}\nthreshold: {rule: normal_quantile}\n"
    )
    data, out = write_dataset(tmp_path / "data"), tmp_path / "out"
    assert script("ablate", "--data", data, "--configs", f"[{config}]", "--seeds=1", "--out", out) == 0
    runs = pd.read_csv(out / "ablation_runs.csv")
    assert runs["model"].tolist() == ["mnad, with test-time update", "mnad, no test-time update"]
    stored = json.loads((out / "film" / "seed0" / "metrics.json").read_text())["evaluations"]
    expected = [stored[name]["scores"]["mnad"]["auroc"] for name in ("with test-time update", "no test-time update")]
    assert runs["auroc"].tolist() == pytest.approx(expected)
