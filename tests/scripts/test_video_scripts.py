"""The scripts on tiny videos, end to end: train, evaluate (folder and file), import an official checkpoint, plot."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import ROOT
from official_names import small_official
from safetensors.torch import save_file
from torch import nn
from video_data import walk, write_avi, write_dataset

from baselines.config import TrainWithBaselines
from mnad.config import mnad_score
from mnad.detector import Detector
from mnad.experiment import run_experiment
from mnad.run.cli import parse

SMALL = {"model.width": 2, "model.item_dim": 4, "model.items": 3, "images.height": 16, "images.width": 24}
TINY = [f"--config={ROOT}/configs/ped2_pred.yaml", *(f"--{key}={value}" for key, value in SMALL.items())]
TINY += ["--optim.epochs=1", "--optim.device=cpu", "--optim.threads=1"]
Script = Callable[..., int]
Line = Callable[[], str]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("video") / "data")


@pytest.fixture(scope="module")
def run_folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    argv = [*TINY, "--data", data, "--out", tmp_path_factory.mktemp("runs") / "pred", "--compare", "[conv_ae]"]
    return run_experiment(parse(TrainWithBaselines, list(map(str, argv))))


def test_train_leaves_a_run_folder(run_folder: Path) -> None:
    names = {path.name for path in run_folder.iterdir()}
    assert names >= {"model.safetensors", "config.json", "provenance.json", "table.txt", "loss.png", "curves.png"}
    metrics = json.loads((run_folder / "metrics.json").read_text())
    assert set(metrics["evaluations"]) == {"with test-time update", "no test-time update"}
    result = metrics["evaluations"]["no test-time update"]
    assert 0 <= result["scores"]["mnad"]["auroc"] <= 1 and result["memory_updates"] is None
    assert result["memory"]["perplexity"] <= 3
    assert metrics["thresholds"]["mnad"]["rule"] == "normal_quantile"
    plain = json.loads((run_folder / "conv_ae" / "metrics.json").read_text())
    assert (
        set(plain["evaluations"]) == {"no test-time update"}
        and plain["evaluations"]["no test-time update"]["memory"] is None
    )
    table = (run_folder / "table.txt").read_text().splitlines()
    rows = [line for line in table[1:] if "update" in line]
    scores = [re.search(r"update +(.*?) +[\d.]+ ", line)[1] for line in rows]  # without a memory two terms fewer
    ours = ["mnad", "peak", "window"]
    assert scores == [*ours, *ours, "PSNR only", "PSNR and peak error only", "window"]
    assert "causal AUROC" in table[0] and table[-1].startswith("causal AUROC, TPR, TNR: no frame needs a later one")
    roles = json.loads((run_folder / "split.json").read_text())
    assert sorted(roles["train"] | roles["validation"]) == ["1", "2", "3"] and len(roles["validation"]) == 1
    assert set((roles["train"] | roles["validation"]).values()) == {9} and roles["test"] == ["01", "02", "03"]
    detector = Detector.load(run_folder)
    assert detector.config.model.variant == "pred" and detector.thresholds


def test_reconstruction_trains_too(script: Script, data: Path, tmp_path: Path) -> None:
    argv = [word.replace("ped2_pred", "ped2_recon") for word in TINY]
    assert script("train_mnad", *argv, "--data", data, "--out", tmp_path / "recon") == 0
    table = pd.read_csv(tmp_path / "recon" / "scores_no_test-time_update.csv")
    assert len(table) == 27 and table["frame"].min() == 0


def test_the_variant_decides_what_is_not_given(script: Script, data: Path, tmp_path: Path) -> None:
    small = [f"--{key}={value}" for key, value in SMALL.items()]
    argv = [*small, "--model.variant=pred", "--compare=[]", "--optim.epochs=1", "--optim.threads=1"]
    assert script("train_mnad", *argv, "--data", data, "--out", tmp_path / "run") == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    weights = config["optim"]["loss_weights"]
    assert (weights["compactness"], weights["separateness"], config["primary"]) == (0.1, 0.1, "mnad")
    assert [(term["name"], term["weight"]) for term in config["scores"]["mnad"]["terms"]] == [
        ("psnr", 0.6),
        ("feature_distance", 0.4),
    ]
    stored = Detector.load(tmp_path / "run").config
    assert list(stored.scores) == ["mnad"] and stored.scores["mnad"].terms[0].weight == 0.6
    plain = parse(TrainWithBaselines, [])
    assert plain.optim.loss_weights["compactness"] == 0.01 and plain.primary == "wells"
    assert list(plain.scores) == ["wells", "mnad"] and plain.scores["mnad"].terms[0].weight == 0.7
    given = parse(
        TrainWithBaselines, ["--model.variant=pred", "--optim.loss_weights.compactness=0.5"]
    ).optim.loss_weights
    assert (given["compactness"], given["separateness"]) == (0.5, 0.1)


@pytest.mark.parametrize(("variant", "weight", "share"), [("pred", 0.1, 0.6), ("recon", 0.01, 0.7)])
def test_ped2_configurations_have_the_published_values(variant: str, weight: float, share: float) -> None:
    config = parse(TrainWithBaselines, ["--config", f"{ROOT}/configs/ped2_{variant}.yaml"])
    assert config.optim.loss_weights == {"compactness": weight, "separateness": weight}
    assert config.scores["mnad"] == mnad_score(variant) and config.scores["mnad"].terms[0].weight == share
    primary = {"pred": "window", "recon": "mnad"}[variant]
    assert list(config.scores)[:2] == ["mnad", "peak"] and config.primary == primary
    assert all(score.causal is None for name, score in config.scores.items() if name != "window")


def test_evaluate_folder_repeats_the_training_run(script: Script, run_folder: Path, data: Path, tmp_path: Path) -> None:
    for update, name in (("true", "with test-time update"), ("false", "no test-time update")):
        path, table = tmp_path / f"{update}.json", tmp_path / f"{update}.csv"
        figure = tmp_path / f"{update}.png"
        argv = ["--json", path, "--csv", table, f"--video.update={update}", f"--video.figure={figure}", "--device=cpu"]
        assert script("evaluate", "--checkpoint", run_folder, "--data", data, *argv) == 0
        expected = json.loads((run_folder / "metrics.json").read_text())["evaluations"][name]
        found = json.loads(path.read_text())
        assert found["auroc"] == expected["scores"]["window"]["auroc"] and found["memory"] == expected["memory"]
        assert found["verdict_auroc"] == expected["scores"]["window"]["verdict_auroc"]
        stored = pd.read_csv(run_folder / f"scores_{name.replace(' ', '_')}.csv")
        pd.testing.assert_frame_equal(pd.read_csv(table), stored)
        assert figure.stat().st_size > 1000


def test_gamma_and_maps(
    script: Script,
    run_folder: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    error_line: Line,
) -> None:
    base = ("--checkpoint", run_folder, "--data", data, "--device=cpu")
    folder = tmp_path / "maps"
    maps = ["--video.maps=['02:5','03:8']", f"--video.maps_folder={folder}"]
    assert script("evaluate", *base, "--video.gamma=10", *maps) == 0
    printed = capsys.readouterr().out
    assert "test-time update: 15 of 15 frames" in printed
    assert "most anomalous" not in printed  # the scores of each of the three videos have their own scale
    assert sorted(path.name for path in folder.iterdir()) == ["02_5.npy", "02_5.png", "03_8.npy", "03_8.png"]
    assert np.load(folder / "02_5.npy").shape == (16, 24)
    assert script("evaluate", *base, *maps) == 2
    assert "02_5.npy: exists already" in error_line()
    assert script("evaluate", *base, "--video.maps=['02:99']") == 2
    assert "frame 99: has no map; expected a frame from 4 to 8" in error_line()
    assert script("evaluate", *base, "--video.maps=['7:5']") == 2
    assert "VIDEO:FRAME with VIDEO of 01, 02, 03" in error_line()
    assert script("evaluate", *base, "--video.gamma=0") == 2
    assert "video.gamma: expected a number above 0, got 0.0" in error_line()
    assert script("evaluate", *base, "--video.gamma=1", "--video.update=false") == 2
    assert "video.gamma: given with video.update false" in error_line()
    assert script("evaluate", *base, "--video.figure=curve.pdf") == 2
    assert "video.figure: expected a file ending in .png, got curve.pdf" in error_line()


def test_a_map_appears_whole_or_not_at_all(
    script: Script,
    run_folder: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error_line: Line,
) -> None:
    def broken(file: object, values: np.ndarray) -> None:
        with open(file, "wb") if isinstance(file, Path) else file as target:
            target.write(values.tobytes()[:10])
        raise OSError("disk full")

    monkeypatch.setattr("mnad.evaluation.frames.np.save", broken)
    argv = ["--video.maps=['02:5']", f"--video.maps_folder={tmp_path}", "--device=cpu"]
    assert script("evaluate", "--checkpoint", run_folder, "--data", data, *argv) == 2
    assert "02_5.npy: cannot be written (disk full)" in error_line()
    assert [path.name for path in tmp_path.iterdir()] == ["02_5.png"]


def test_evaluate_a_video_file(
    script: Script,
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error_line: Line,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_avi(tmp_path / "street.avi", walk(12, 1, 5))
    assert script("evaluate", "--checkpoint", run_folder, "--data", path, "--device=cpu") == 0
    (folder,) = (tmp_path / "runs").iterdir()
    table = pd.read_csv(folder / "scores.csv")
    assert table["frame"].tolist() == list(range(4, 12)) and "label" not in table
    assert (folder / "curves.png").stat().st_size > 1000
    printed = capsys.readouterr().out
    top = table["frame"][table["causal_window"].idxmax()]
    assert "AUC" not in printed and f"most anomalous frame: {top} of video street\n" in printed
    assert script("train_mnad", *TINY, "--data", path, "--out=x") == 2
    assert "is one video; expected a folder with training/frames/" in error_line()
    assert not Path("x").exists()


def test_nothing_of_the_users_is_replaced(
    script: Script, run_folder: Path, data: Path, tmp_path: Path, error_line: Line
) -> None:
    mine = tmp_path / "mine.png"
    mine.write_text("letters")
    for option in ("--json", "--csv", "--video.figure"):
        assert script("evaluate", "--checkpoint", run_folder, "--data", data, option, mine) == 2
        assert "mine.png: exists already" in error_line()
    assert mine.read_text() == "letters"


def test_a_run_folder_is_refused_before_frames_are_read(
    script: Script, run_folder: Path, data: Path, tmp_path: Path, error_line: Line
) -> None:
    broken = shutil.copytree(data, tmp_path / "data")
    next((broken / "training" / "frames" / "1").iterdir()).write_bytes(b"")
    assert script("train_mnad", *TINY, "--data", broken, "--out", run_folder) == 2
    assert f"{run_folder}: exists already; expected a new folder, --overwrite or --resume" in error_line()
    before = (run_folder / "config.json").read_bytes()
    assert script("train_mnad", *TINY, "--data", broken, "--out", run_folder, "--overwrite", "--compare=[conv_ae]") == 2
    assert "is empty (zero bytes)" in error_line()
    assert (run_folder / "config.json").read_bytes() == before


def test_plot_from_stored_scores(script: Script, run_folder: Path, tmp_path: Path, error_line: Line) -> None:
    table = run_folder / "scores_no_test-time_update.csv"
    assert script("plot_video_scores", "--scores", table, "--out", tmp_path / "figures" / "curves.png") == 0
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"curves.png", "curves.pdf"}
    call = ("plot_video_scores", "--scores", table, "--out", tmp_path / "both.png")
    assert script(*call, "--columns=[score_mnad, score_peak]") == 0
    assert script(*call, "--columns=[score_none]") == 2
    assert "update.csv: no column score_none; expected frame, score_none, video" in error_line()
    assert script("plot_video_scores", "--scores", tmp_path / "none.csv", "--out", tmp_path / "c.png") == 2
    assert "none.csv: cannot be read" in error_line()
    before = (tmp_path / "both.png").read_bytes()
    assert script(*call) == 2
    assert "both.png: exists already; expected another --out or --overwrite" in error_line()
    assert (tmp_path / "both.png").read_bytes() == before
    assert script(*call, "--overwrite=true") == 0
    assert (tmp_path / "both.png").read_bytes() != before


def test_collect_runs(script: Script, run_folder: Path, tiny_run: Path, tmp_path: Path, error_line: Line) -> None:
    out = tmp_path / "figures"
    assert script("collect_video_runs", f"--runs=[{run_folder}]", "--out", out) == 0
    (found,) = json.loads((out / "results.json").read_text())["runs"]
    metrics = json.loads((run_folder / "metrics.json").read_text())["evaluations"]
    for name, test in found["test"].items():
        for key in ("auroc", "verdict_auroc", "tpr", "tnr"):
            assert test["scores"]["window"][key] == metrics[name]["scores"]["window"][key]
    record = json.loads((out / "run.json").read_text())["scores_pred"]
    assert record["primary"] == "window" and record["threshold"] == found["test"][name]["scores"]["window"]["threshold"]
    assert {"score_mnad", "causal_window"} <= set(pd.read_csv(out / "scores_pred.csv"))
    assert found["date"] and found["command"] and found["model"]["variant"] == "pred"
    assert {path.name for path in out.iterdir()} == {"results.json", "run.json", "scores_pred.csv"}
    assert script("collect_video_runs", f"--runs=[{run_folder}]", "--out", out) == 2
    assert "figures: already there; expected another --out or --overwrite" in error_line()
    assert script("collect_video_runs", f"--runs=[{run_folder}]", "--out", out, "--overwrite=true") == 0
    assert script("collect_video_runs", f"--runs=[{tiny_run}]", "--out", out) == 2
    assert "judged photographs; expected a run on videos" in error_line()
    assert script("collect_video_runs", f"--runs=[{tmp_path}]", "--out", out) == 2
    line = error_line()
    assert "metrics.json: cannot be read (" in line and "; expected a finished video run" in line


def test_prediction_needs_videos(
    script: Script, run_folder: Path, tiny_wells: Path, tmp_path: Path, error_line: Line
) -> None:
    assert script("train_mnad", *TINY, "--data", tiny_wells, "--out", tmp_path / "x") == 2
    assert "model.variant: expected recon for photographs, got pred" in error_line()
    assert script("evaluate", "--checkpoint", run_folder, "--data", tiny_wells) == 2
    assert f"{run_folder}: predicts frames of videos; expected a detector of photographs" in error_line()


# Official checkpoints ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["torch", "safetensors"])
def test_import_and_evaluate(
    script: Script,
    kind: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    error_line: Line,
) -> None:
    weights, items = small_official("pred")
    if kind == "torch":
        paths = tmp_path / "state.pth", tmp_path / "keys.pt"
        torch.save(weights, paths[0])
        torch.save(items, paths[1])
    else:
        paths = tmp_path / "state.safetensors", tmp_path / "keys.safetensors"
        save_file({name: value.contiguous() for name, value in weights.items()}, paths[0])
        save_file({"keys": items}, paths[1])
    out = tmp_path / "imported.safetensors"
    argv = ("--weights", paths[0], "--items", paths[1], "--out", out, "--height=16", "--width=24")
    assert script("import_official", *argv) == 0
    detector = Detector.load(out)
    assert torch.equal(detector.model.memory.items, items) and not detector.thresholds
    assert detector.config.scores["mnad"].terms[0].weight == 0.6
    assert torch.equal(detector.model.encoder.stage1[0].weight, weights["encoder.moduleConv1.0.weight"])
    # without a threshold a video has its AUC, but no verdicts
    assert script("evaluate", "--checkpoint", out, "--data", data, "--csv", tmp_path / "s.csv", "--device=cpu") == 0
    assert "verdict_mnad" not in pd.read_csv(tmp_path / "s.csv")
    capsys.readouterr()
    assert script("import_official", *argv) == 2
    assert "imported.safetensors: exists already" in error_line()


def test_import_refuses_pickles_and_mixed_up_files(script: Script, tmp_path: Path, error_line: Line) -> None:
    weights, items = small_official("recon")
    state, keys, module, out = (tmp_path / name for name in ("state.pth", "keys.pt", "model.pth", "o.safetensors"))
    torch.save(weights, state)
    torch.save(items, keys)
    torch.save(nn.Linear(2, 2), module)
    (tmp_path / "cut.pth").write_bytes(state.read_bytes()[:500])
    for chosen, memory, message in (
        (module, keys, "model.pth: holds more than tensors (a pickled module?); expected a state dict"),
        (keys, keys, "keys.pt: is no state dict; expected parameter names and tensors"),
        (state, state, "state.pth: holds"),
        (tmp_path / "cut.pth", keys, "cut.pth: cannot be read; expected a torch file or .safetensors"),
        (tmp_path / "none.pth", keys, "none.pth: missing"),
    ):
        argv = ("--weights", chosen, "--items", memory, "--out", out, "--variant=recon", "--height=16", "--width=24")
        assert script("import_official", *argv) == 2
        assert message in error_line()
        assert not out.exists()
