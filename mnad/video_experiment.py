"""One run on videos: train, calibrate on held-out normal videos, judge on the test videos, leave a run folder."""

from dataclasses import asdict, replace
from pathlib import Path

from mnad.config import TrainConfig
from mnad.data.clips import Clips, past_frames, split_videos
from mnad.data.videos import VideoLayout, read_videos
from mnad.experiment import check_models, check_same_run, fit_detector, plain
from mnad.files import open_run_folder, read_log, stamped, write_csv, write_json, write_text
from mnad.provenance import run_record
from mnad.report import plot_losses
from mnad.video import GAMMA
from mnad.video_evaluation import VideoEvaluation, evaluate_videos, summary
from mnad.video_report import health_line, plot_curves, video_table

WITH_UPDATE, NO_UPDATE = "with test-time update", "no test-time update"  # names of the evaluations


def train_one(
    config: TrainConfig, layout: VideoLayout, sets: dict[str, Clips], folder: Path, record: dict[str, object]
) -> dict[str, VideoEvaluation]:
    """Train, calibrate and judge one model into ``folder``; with a memory both with and without its test-time update.

    Returns:
        ``with test-time update`` (official; absent without a memory) and ``no test-time update`` -> evaluation.
    """
    detector, _ = fit_detector(config, sets, folder, record)
    results = {}
    if hasattr(detector.model, "memory"):
        gamma = GAMMA[config.model.variant]
        results[WITH_UPDATE] = evaluate_videos(detector, layout.test, layout.labels, gamma)
    results[NO_UPDATE] = evaluate_videos(detector, layout.test, layout.labels, None)
    log = read_log(folder / "log.jsonl")
    plot_losses(folder / "loss.png", log)
    first = next(iter(results.values()))
    plot_curves(folder / "curves.png", first.frame, [f"score_{detector.primary}"])
    for name, result in results.items():
        write_csv(folder / f"scores_{name.replace(' ', '_')}.csv", result.frame)
    write_json(
        folder / "metrics.json",
        {
            "primary": detector.primary,
            "test": {name: summary(result) for name, result in results.items()},
            "thresholds": {name: asdict(threshold) for name, threshold in detector.thresholds.items()},
            "parameters": sum(p.numel() for p in detector.model.parameters()),
            "train_seconds": float(log["seconds"].sum()),
        },
    )
    return results


def run_video_experiment(config: TrainConfig) -> Path:
    """What ``scripts/train_mnad.py`` does with a folder of videos; returns the run folder.

    Raises:
        UserError: anything wrong with data, configuration or folder.
    """
    check_models(config)
    names = dict.fromkeys((config.model.name, *config.compare))
    layout = read_videos(config.data)
    past = past_frames(config.model.variant)
    train_videos, held_out = split_videos(layout.train, config.images.validation_fraction, config.seed)
    size, memory = config.images.size, config.images.memory_gb
    sets = {
        "train": Clips(train_videos, size, past, memory, "train"),
        "validation": Clips(held_out, size, past, memory, "validation"),
    }
    folder = open_run_folder(config.out or stamped("video"), config.overwrite, config.resume)
    check_same_run(folder, config)
    counts = ", ".join(f"{len(clips)} {name} clips" for name, clips in sets.items())
    print(f"{config.data}: {counts}, {len(layout.test)} test videos")
    write_json(folder / "config.json", plain(config))
    record = run_record(folder / "provenance.json")
    rows = {}
    for name in names:
        one = replace(config, model=replace(config.model, name=name))
        results = train_one(one, layout, sets, folder if name == config.model.name else folder / name, record)
        for update, result in results.items():
            rows |= {(f"{name}, {update}", score): metrics for score, metrics in result.metrics.items()}
        health = next(iter(results.values())).health
        if health:
            print(health_line(health))
    table = video_table(rows)
    write_text(folder / "table.txt", table + "\n")
    print(f"\n{table}\n\nrun folder: {folder}")
    return folder
