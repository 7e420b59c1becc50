"""Finished video runs side by side: numbers, dates and commands of all, and the scores of their test frames."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from figures.config import CollectConfig
from mnad.evaluation.judge import NO_UPDATE
from mnad.evaluation.result import read_evaluations
from mnad.report.tables import percent_number
from mnad.run import UserError
from mnad.run.files import read_json, read_log, read_table, write_csv, write_json
from mnad.run.folders import output_folder
from mnad.run.provenance import neutral_record

KEYS = ("auroc", "auroc_video_mean", "auroc_videos", "verdict_auroc", "tpr", "tnr", "threshold")


def read_run(folder: Path) -> dict[str, Any]:
    """What ``results.json`` says of one run.

    Raises:
        UserError: not a finished video run.
    """
    metrics, config, record = (
        read_json(folder / f"{name}.json", "a finished video run") for name in ("metrics", "config", "provenance")
    )
    record = neutral_record(record)
    evaluations = read_evaluations(folder)
    if NO_UPDATE not in evaluations:
        raise UserError(f"{folder}: judged photographs; expected a run on videos")
    log = read_log(folder / "log.jsonl")
    tests = {
        name: {
            "scores": {score: {key: values[key] for key in KEYS} for score, values in test["scores"].items()},
            "memory": test["memory"],
            "memory_updates": test["memory_updates"],
        }
        for name, test in evaluations.items()
    }
    return {
        "run": folder.name,
        "date": record["date"],
        "command": record.get("command"),
        "git_revision": record["git_revision"],
        "model": config["model"],
        "images": config["images"],
        "optim": config["optim"],
        "seed": config["seed"],
        "primary": metrics["primary"],
        "test": tests,
        "parameters": metrics["parameters"],
        "train_seconds": metrics["train_seconds"],
        "last_epoch": log.iloc[-1].to_dict(),
    }


def frame_auc(results: Sequence[Mapping]) -> pd.DataFrame:
    """One row for each run, test and score of :func:`read_run`, in percent: frame AUC by the paper's protocol, its mean
    over videos, and frame AUC, TPR and TNR of the causal score."""
    rows = [
        {
            "run": result["run"],
            "test": name,
            "score": score,
            "frame AUC": percent_number(values["auroc"]),
            "mean over videos": percent_number(values["auroc_video_mean"]),
            "causal AUC": percent_number(values["verdict_auroc"]),
            "TPR": percent_number(values["tpr"]),
            "TNR": percent_number(values["tnr"]),
        }
        for result in results
        for name, test in result["test"].items()
        for score, values in test["scores"].items()
    ]
    return pd.DataFrame(rows)


def first_scores(run: Path, result: Mapping) -> pd.DataFrame:
    """Scores of every frame in the first test of ``run``: ``video``, ``frame``, ``label``, ``score_NAME`` (the paper's
    protocol) and ``causal_NAME``.

    Raises:
        UserError: the run's table is missing or lacks a column.
    """
    name, test = next(iter(result["test"].items()))
    kinds = [f"{kind}_{score}" for kind in ("score", "causal") for score in test["scores"]]
    columns = ["video", "frame", "label", *kinds]
    return read_table(run / f"scores_{name.replace(' ', '_')}.csv", set(columns), text=("video",))[columns].round(5)


def collect_runs(config: CollectConfig) -> None:
    """Everything that ``scripts/collect_video_runs.py`` does: read, print, write.

    Raises:
        UserError: no run, one that is not finished, or a folder that holds something and may not be written to.
    """
    if not config.runs:
        raise UserError("--runs: is empty; expected at least one run folder")
    results = [read_run(run) for run in config.runs]
    folder = output_folder(config.out, config.overwrite)
    print(frame_auc(results).to_string(index=False))
    write_json(folder / "results.json", {"runs": results})
    record: dict[str, Any] = {}
    for run, result in zip(config.runs, results, strict=True):
        part = f"scores_{result['model']['variant']}"
        if part not in record:  # the first run of its variant
            record[part] = {key: result[key] for key in ("command", "date", "git_revision", "primary")}
            scores = next(iter(result["test"].values()))["scores"]
            record[part]["threshold"] = scores[result["primary"]]["threshold"]
            write_csv(folder / f"{part}.csv", first_scores(run, result))
    write_json(folder / "run.json", record)
