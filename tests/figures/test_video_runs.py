"""Collecting finished video runs, from run folders written by hand; the command itself: tests/test_video_scripts.py."""

import json
from pathlib import Path

import pandas as pd
import pytest

from figures.video_runs import CollectConfig, collect_runs, first_scores, frame_auc, read_run
from mnad.evaluation.judge import NO_UPDATE
from mnad.run import UserError

UPDATE = "with test-time update"


COSTS = {"primary": "mnad", "parameters": 3, "train_seconds": 1.5}


def write_run(folder: Path, auroc: float, variant: str = "pred") -> Path:
    """A finished run of two frames."""
    folder.mkdir()
    causal = {"verdict_auroc": 0.875, "tpr": 0.75, "tnr": 0.5, "threshold": 2.5}
    scores = {"mnad": {"auroc": auroc, "auroc_video_mean": None, "auroc_videos": {"01": auroc}, **causal, "fn": 1}}
    test = {"scores": scores, "memory": {"perplexity": 2.0}, "memory_updates": 1, "images_per_second": 9.0}
    files = {
        "metrics": {
            "evaluations": {UPDATE: test, NO_UPDATE: test},
            "primary": "mnad",
            "parameters": 3,
            "train_seconds": 1.5,
        },
        "config": {"model": {"variant": variant}, "images": {}, "optim": {}, "seed": 0},
        "provenance": {
            "date": "2026-11-23",
            "command": f"python {folder.name} --data {folder.resolve()}",
            "git_revision": "abc",
        },
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "log.jsonl").write_text('{"epoch": 1, "pixel": 2.0, "validation_pixel": 3.0}\n')
    frame = {"video": ["01", "01"], "frame": [4, 5], "label": [0, 1], "score_mnad": [auroc / 3, 1.0], "psnr": [0, 0]}
    frame["causal_mnad"] = [2, 3]
    pd.DataFrame(frame).to_csv(folder / "scores_with_test-time_update.csv", index=False)
    return folder


def test_a_run_in_numbers(tmp_path: Path) -> None:
    found = read_run(write_run(tmp_path / "a", 0.9412))
    assert found["test"][UPDATE]["scores"] == {
        "mnad": {
            "auroc": 0.9412, "auroc_video_mean": None, "auroc_videos": {"01": 0.9412},
            "verdict_auroc": 0.875, "tpr": 0.75, "tnr": 0.5, "threshold": 2.5,
        }
    }  # fmt: skip
    assert found["last_epoch"] == {"epoch": 1, "pixel": 2.0, "validation_pixel": 3.0}
    table = frame_auc([found])
    assert table["test"].tolist() == [UPDATE, NO_UPDATE]
    assert table.iloc[0][["run", "score", "frame AUC", "mean over videos"]].tolist() == ["a", "mnad", "94.12", "-"]
    assert table.iloc[0][["causal AUC", "TPR", "TNR"]].tolist() == ["87.50", "75.00", "50.00"]


def test_scores_of_the_first_test(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", 0.5)
    scores = first_scores(run, read_run(run))
    assert scores.to_dict("list") == {
        "video": ["01", "01"], "frame": [4, 5], "label": [0, 1], "score_mnad": [0.16667, 1.0],
        "causal_mnad": [2, 3],
    }  # fmt: skip
    (run / "scores_with_test-time_update.csv").write_text("video,frame\n01,4\n")
    with pytest.raises(UserError, match=r"update\.csv: no column causal_mnad, label, score_mnad"):
        first_scores(run, read_run(run))


def test_the_first_run_of_a_variant_gives_its_scores(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "a", 0.9), write_run(tmp_path / "b", 0.3), write_run(tmp_path / "c", 0.6, "recon")]
    collect_runs(CollectConfig(runs, tmp_path / "out"))
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert {part: one["command"] for part, one in record.items()} == {
        "scores_pred": "python a --data DIR", "scores_recon": "python c --data DIR",
    }  # fmt: skip
    assert (record["scores_pred"]["primary"], record["scores_pred"]["threshold"]) == ("mnad", 2.5)
    assert pd.read_csv(tmp_path / "out" / "scores_pred.csv")["score_mnad"].tolist() == [0.3, 1.0]
    assert [run["run"] for run in json.loads((tmp_path / "out" / "results.json").read_text())["runs"]] == [*"abc"]
    with pytest.raises(UserError, match="--runs: is empty"):
        collect_runs(CollectConfig([], tmp_path / "none"))
    assert not (tmp_path / "none").exists()
