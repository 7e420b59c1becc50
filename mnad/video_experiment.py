"""One run on videos: train, calibrate on held-out normal videos, judge on the test videos, leave a run folder."""

from dataclasses import asdict, replace
from pathlib import Path

from mnad.config import TrainConfig
from mnad.data.clips import Clips, past_frames, split_videos
from mnad.data.videos import VideoLayout, read_videos
from mnad.files import check_run_folder, open_run_folder, read_log, stamped, write_csv, write_json, write_text
from mnad.fitting import fit_detector
from mnad.model import PUBLISHED
from mnad.provenance import run_record
from mnad.report import plot_losses
from mnad.settings import check_same_run, plain
from mnad.video_evaluation import VideoEvaluation, evaluate_videos, summary
from mnad.video_report import health_line, plot_curves, video_table

WITH_UPDATE, NO_UPDATE = "with test-time update", "no test-time update"  # names of the evaluations


def train_one(
    config: TrainConfig, layout: VideoLayout, sets: dict[str, Clips], folder: Path, record: dict[str, object]
) -> dict[tuple[str, str], dict[str, float]]:
    """Train, calibrate and judge one model into ``folder``; with a memory both with its test-time update (official) and
    without. Prints how the memory was used.

    Returns:
        (model and update, score) -> metrics, for the table.
    """
    detector, _ = fit_detector(config, sets, folder, record)
    results: dict[str, VideoEvaluation] = {}
    if hasattr(detector.model, "memory"):
        gamma = PUBLISHED[config.model.variant].gamma
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
    if first.health:
        print(health_line(first.health))
    return {
        (f"{config.model.name}, {update}", detector.scores[score].label(score)): metrics
        for update, result in results.items()
        for score, metrics in result.metrics.items()
    }


def run_video_experiment(config: TrainConfig) -> Path:
    """What :func:`mnad.experiment.run_experiment` does with a folder of videos; returns the run folder.

    Raises:
        UserError: anything wrong with data, configuration or folder.
    """
    out = check_run_folder(config.out or stamped("video"), config.overwrite, config.resume)
    names = dict.fromkeys((config.model.name, *config.compare))
    layout = read_videos(config.data)
    past = past_frames(config.model.variant)
    train_videos, held_out = split_videos(layout.train, config.images.validation_fraction, config.seed)
    size, memory = config.images.size, config.images.memory_gb
    sets = {
        "train": Clips(train_videos, size, past, memory, "train"),
        "validation": Clips(held_out, size, past, memory, "validation"),
    }
    folder = open_run_folder(out, config.overwrite, config.resume)
    check_same_run(folder, config)
    counts = ", ".join(f"{len(clips)} {name} clips" for name, clips in sets.items())
    print(f"{config.data}: {counts}, {len(layout.test)} test videos")
    write_json(folder / "config.json", plain(config))
    record = run_record(folder / "provenance.json")
    roles = {"train": train_videos, "validation": held_out}
    write_json(  # video -> number of frames, since a single video is cut in two
        folder / "split.json",
        {role: {video.name: len(video) for video in videos} for role, videos in roles.items()}
        | {"test": [video.name for video in layout.test]},
    )
    rows = {}
    for name in names:
        one = replace(config, model=replace(config.model, name=name))
        rows |= train_one(one, layout, sets, folder if name == config.model.name else folder / name, record)
    table = video_table(rows)
    write_text(folder / "table.txt", table + "\n")
    print(f"\n{table}\n\nrun folder: {folder}")
    return folder
