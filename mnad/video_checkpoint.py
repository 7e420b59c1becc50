"""Judge a stored checkpoint on videos: what ``scripts/evaluate.py`` does with them."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mnad.data.videos import VideoLayout, read_videos
from mnad.detector import Detector
from mnad.errors import UserError
from mnad.files import atomic_path, free, stamped, write_csv, write_json
from mnad.model import PUBLISHED
from mnad.video import frame_map
from mnad.video_evaluation import VideoEvaluation, evaluate_videos, summary
from mnad.video_report import health_line, plot_curves, plot_map, video_table


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
        target, picture = (free(folder / f"{name}_{number}{suffix}") for suffix in (".npy", ".png"))
        values = frame_map(detector, videos[name].frames(detector.config.images.size), int(number), name)
        plot_map(picture, values)
        with atomic_path(target) as temporary, temporary.open("wb") as file:
            np.save(file, values)


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
    if options.gamma is not None and not options.update:
        raise UserError("video.gamma: given with video.update false; one of them was expected")
    if options.figure is not None and options.figure.suffix != ".png":
        raise UserError(f"video.figure: {options.figure}; a file ending in .png was expected")
    gamma = (options.gamma or PUBLISHED[detector.config.model.variant].gamma) if options.update else None
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
    if len(layout.test) == 1:  # each video has its own scale, so frames of two cannot be compared
        top = result.frame.loc[result.frame[f"score_{detector.primary}"].idxmax()]
        print(f"most anomalous frame: {top['frame']} of video {top['video']}")
    print(f"{result.frames_per_second:.0f} frames per second, decoding included")
    if json:
        primary = result.metrics.get(detector.primary, {})
        write_json(json, {"score": detector.primary, "gamma": gamma, **primary, **summary(result)})
    if csv:
        write_csv(csv, result.frame)
    if figure:
        plot_curves(figure, result.frame, [f"score_{detector.primary}"])
    for path in filter(None, (csv, figure)):
        print(path)
    return result
