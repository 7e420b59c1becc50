"""Put finished video runs side by side: results.json (numbers, dates, commands) and the scores of their test frames.

    python scripts/collect_video_runs.py --runs '[runs/pred_0, runs/pred_1]' --out figures/ped2

Numbers only: nothing of a frame is copied. scripts/make_figures.py --only ped2 draws the curves.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mnad.cli import run
from mnad.errors import UserError
from mnad.files import output_folder, read_json, read_log, read_table, write_csv, write_json
from mnad.video_experiment import NO_UPDATE
from mnad.video_report import percent_number

KEYS = ("auroc", "auroc_video_mean", "auroc_videos")


@dataclass
class CollectConfig:
    """Which runs.

    Args:
        runs: run folders of scripts/train_mnad.py. The score table of a variant is that of its first run.
        out: folder for results.json, run.json and scores_VARIANT.csv.
        overwrite: write into a folder that is not empty.
    """

    runs: list[Path]
    out: Path
    overwrite: bool = False


def read_run(folder: Path) -> dict[str, object]:
    """What ``results.json`` says of one run.

    Raises:
        UserError: not a finished video run.
    """
    metrics, config, record = (
        read_json(folder / f"{name}.json", "a finished video run") for name in ("metrics", "config", "provenance")
    )
    if NO_UPDATE not in metrics.get("test", {}):
        raise UserError(f"{folder}: judged photographs; a run on videos was expected")
    log = read_log(folder / "log.jsonl")
    tests = {
        name: {
            "scores": {score: {key: values[key] for key in KEYS} for score, values in test["scores"].items()},
            "memory": test["memory"],
            "memory_updates": test["memory_updates"],
        }
        for name, test in metrics["test"].items()
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


def main(config: CollectConfig) -> None:
    """Read, print, write."""
    if not config.runs:
        raise UserError("--runs: is empty; at least one run folder was expected")
    results = [read_run(folder) for folder in config.runs]
    folder = output_folder(config.out, config.overwrite)
    rows = [
        {
            "run": result["run"],
            "test": name,
            "score": score,
            "frame AUC": percent_number(values["auroc"]),
            "mean over videos": percent_number(values["auroc_video_mean"]),
        }
        for result in results
        for name, test in result["test"].items()
        for score, values in test["scores"].items()
    ]
    print(pd.DataFrame(rows).to_string(index=False))
    write_json(folder / "results.json", {"runs": results})
    record = {}
    for source, result in zip(config.runs, results, strict=True):
        part = f"scores_{result['model']['variant']}"
        if part in record:
            continue
        record[part] = {"command": result["command"], "date": result["date"], "git_revision": result["git_revision"]}
        test = next(iter(result["test"]))
        columns = ["video", "frame", "label", *(f"score_{name}" for name in result["test"][test]["scores"])]
        table = read_table(source / f"scores_{test.replace(' ', '_')}.csv", set(columns), text=("video",))
        write_csv(folder / f"{part}.csv", table[columns].round(5))
    write_json(folder / "run.json", record)


if __name__ == "__main__":
    run(main, CollectConfig, __doc__)
