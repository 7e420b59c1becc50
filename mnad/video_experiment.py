"""One run on videos: train, calibrate on held-out normal videos, judge on the test videos, leave a run folder."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from mnad.config import DetectorConfig, TrainConfig
from mnad.data.clips import Clips, past_frames, split_videos
from mnad.data.videos import VideoLayout, read_videos
from mnad.detector import Detector
from mnad.errors import UserError
from mnad.experiment import check_same_run, fit_detector, plain
from mnad.files import atomic_path, open_run_folder, stamped, write_json
from mnad.provenance import provenance
from mnad.report import plot_losses
from mnad.video import GAMMA, frame_map
from mnad.video_evaluation import VideoEvaluation, evaluate_videos
from mnad.video_report import health_line, plot_curves, plot_map, video_table


def summary(result: VideoEvaluation) -> dict[str, object]:
    """What ``metrics.json`` says of one evaluation."""
    return {
        "scores": result.metrics,
        "memory": result.health,
        "memory_updates": result.updates,
        "frames_per_second": result.frames_per_second,
    }


def train_one(
    config: TrainConfig, layout: VideoLayout, sets: dict[str, Clips], folder: Path
) -> dict[str, VideoEvaluation]:
    """Train, calibrate and judge one model into ``folder``; with a memory both with and without its test-time update.

    Returns:
        ``with test-time update`` (official; absent without a memory) and ``no test-time update`` -> evaluation.
    """
    detector, _ = fit_detector(config, sets, folder)
    results = {}
    if hasattr(detector.model, "memory"):
        gamma = GAMMA[config.model.variant]
        results["with test-time update"] = evaluate_videos(detector, layout.test, layout.labels, gamma)
    results["no test-time update"] = evaluate_videos(detector, layout.test, layout.labels, None)
    log = pd.read_json(folder / "log.jsonl", lines=True)
    plot_losses(folder / "loss.png", log)
    first = next(iter(results.values()))
    plot_curves(folder / "curves.png", first.frame, f"score_{detector.primary}")
    for name, result in results.items():
        result.frame.to_csv(folder / f"scores_{name.replace(' ', '_')}.csv", index=False)
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
    names = dict.fromkeys((config.model.name, *config.compare))
    for name in names:
        Detector(DetectorConfig(replace(config.model, name=name), config.images, config.scores, config.primary))
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
    write_json(folder / "provenance.json", provenance())
    rows = {}
    for name in names:
        one = replace(config, model=replace(config.model, name=name))
        results = train_one(one, layout, sets, folder if name == config.model.name else folder / name)
        for update, result in results.items():
            rows |= {(f"{name}, {update}", score): metrics for score, metrics in result.metrics.items()}
        health = next(iter(results.values())).health
        if health:
            print(health_line(health))
    table = video_table(rows)
    (folder / "table.txt").write_text(table + "\n")
    print(f"\n{table}\n\nrun folder: {folder}")
    return folder


@dataclass
class VideoOptions:
    """How videos are scored.

    Args:
        update: change the memory at test time (official); false leaves it as trained.
        gamma: update only with frames whose regular score E_t is below; none is the official 0.01 (prediction) or
            0.015 (reconstruction).
        figure: new file for the anomaly-score curves (.png).
        maps: frames to write anomaly maps of, each ``VIDEO:FRAME``, counted from 0; ``*.npy`` and a picture.
        maps_folder: where they go, files there are not replaced; none makes ``runs/<video>-<date>-<time>``.
    """

    update: bool = True
    gamma: float | None = None
    figure: Path | None = None
    maps: list[str] = field(default_factory=list)
    maps_folder: Path | None = None


def write_maps(detector: Detector, layout: VideoLayout, maps: list[str], folder: Path) -> None:
    """Anomaly maps of the frames ``maps`` (H x W float32 of the model's size, squared error on [0, 1]).

    Raises:
        UserError: no such video or frame, or a file that is already there.
    """
    videos = {video.name: video for video in layout.test}
    for wanted in maps:
        name, _, number = wanted.rpartition(":")
        if name not in videos or not number.isdecimal():
            raise UserError(f"video.maps: {wanted!r}; VIDEO:FRAME with VIDEO of {', '.join(videos)} was expected")
        target = free(folder / f"{name}_{number}.npy")
        values = frame_map(detector, videos[name].frames(detector.config.images.size), int(number), name)
        plot_map(target, values)
        np.save(target, values)


def evaluate_checkpoint(
    detector: Detector, data: Path, options: VideoOptions, json: Path | None, csv: Path | None
) -> VideoEvaluation:
    """What ``scripts/evaluate.py`` does with videos: print, and write what was asked for.

    A video file has no labels, so it gets no metrics, but always a table of scores and their curve: without ``csv``
    or ``options.figure`` they go to ``runs/<name>-<date>-<time>/``.

    Raises:
        UserError: bad data, a bad gamma, or a figure or map that is already there.
    """
    if options.gamma is not None and not options.gamma > 0:
        raise UserError(f"video.gamma: {options.gamma}; a number above 0 was expected")
    gamma = (options.gamma or GAMMA[detector.config.model.variant]) if options.update else None
    layout = read_videos(data, train=False)
    figure = free(options.figure) if options.figure else None
    folder = stamped(data.stem)
    if layout.labels is None:
        csv, figure = csv or folder / "scores.csv", figure or folder / "curves.png"
    write_maps(detector, layout, options.maps, options.maps_folder or folder)
    result = evaluate_videos(detector, layout.test, layout.labels, gamma)
    name = detector.config.model.name
    if result.metrics:
        print(video_table({(name, score): metrics for score, metrics in result.metrics.items()}))
    if result.health:
        print(health_line(result.health))
        print(f"test-time update: {'off' if gamma is None else f'{result.updates} of {len(result.frame)} frames'}")
    values = result.frame[f"score_{detector.primary}"].to_numpy()
    top = result.frame.iloc[int(np.argmax(values))]
    print(f"most anomalous frame: {top['frame']} of video {top['video']}")
    print(f"{result.frames_per_second:.0f} frames per second, decoding included")
    if json:
        primary = result.metrics.get(detector.primary, {})
        write_json(json, {"score": detector.primary, "gamma": gamma, **primary, **summary(result)})
    if csv:
        with atomic_path(csv) as temporary:
            result.frame.to_csv(temporary, index=False)
    if figure:
        plot_curves(figure, result.frame, f"score_{detector.primary}")
    for path in filter(None, (csv, figure)):
        print(path)
    return result


def free(path: Path) -> Path:
    """``path`` if nothing is there.

    Raises:
        UserError: something is.
    """
    if path.exists():
        raise UserError(f"{path}: exists already; a new file was expected")
    return path
