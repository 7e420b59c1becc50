"""Scoring a video frame by frame (sections 3.3 and 4.1), with the paper's update of the memory at test time.

Nothing but a few numbers is kept of a frame, so the memory of the process does not grow with the video (the official
code keeps tensors of every frame on the GPU).

Official and ours alike: the items that the test-time update changes are carried from one video to the next in the
order of the videos; the evaluation puts the trained items back when it is done.
"""

import copy
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d
from torch import Tensor

from mnad.config import past_frames
from mnad.data.clips import check_length, clip_input
from mnad.data.dataset import Videos
from mnad.data.images import to_input
from mnad.detector import Detector
from mnad.model.network import Network
from mnad.report.plots import plot_map
from mnad.run import UserError
from mnad.run.files import atomic_path, free
from mnad.scoring.scores import Score


@dataclass
class VideoTerms:
    """Numbers of each scored frame of one video; N = frames - past frames."""

    name: str
    first: int  # index of the first scored frame: 4 for prediction, 0 for reconstruction
    raw: dict[str, np.ndarray]  # score name -> N x T raw terms
    regular: np.ndarray  # N, E_t of eq. 14
    updated: np.ndarray  # N bool, whether the frame changed the memory
    counts: Tensor  # M, how many queries have each item as their nearest; empty without a memory


def regular_score(output: Tensor, target: Tensor) -> Tensor:
    """Weighted regular score E_t of each frame (eq. 14-15): B x 3 x H x W in [-1, 1] twice -> B, 0 or more.

    ``e = ((output - target) / 2)^2`` per element, ``E_t = sum(w e) / sum(w)`` with ``w = 1 - exp(-e)``: the mean
    error, but of the badly predicted elements above all. A perfect frame has E_t = 0. (Official: the first frame of
    the batch only, which is the only one, since it tests with batches of one.)
    """
    error = ((output - target) / 2).square().flatten(1)
    weight = -torch.expm1(-error)  # 1 - exp(-e), exact for small e
    total = weight.sum(dim=1)
    return (weight * error).sum(dim=1) / torch.where(total > 0, total, torch.ones_like(total))


@contextmanager
def kept_items(model: Network) -> Iterator[None]:
    """Whatever happens to the memory inside, the trained items are back afterwards."""
    memory = model.memory
    before = None if memory is None else memory.items.clone()
    try:
        yield
    finally:
        if before is not None:
            memory.update(before)


@torch.inference_mode()
def score_video(detector: Detector, name: str, frames: Iterable[np.ndarray], gamma: float | None = None) -> VideoTerms:
    """Raw terms of every frame of one video.

    Args:
        detector: its model is put into eval mode.
        name: of the video.
        frames: H x W x 3 uint8 of the detector's size, in order; at most a clip of them is held.
        gamma: update the memory with each frame whose E_t is below it (eq. 14); None never does. The frame itself
            is scored with the items from before. Models without a memory ignore it.

    Raises:
        UserError: fewer frames than a clip.
    """
    model = detector.model.eval()
    memory = model.memory
    past = past_frames(detector.config.model.variant)
    window: deque[Tensor] = deque(maxlen=past + 1)
    raw: dict[str, list[np.ndarray]] = {key: [] for key in detector.scores}
    regular: list[float] = []
    updated: list[bool] = []
    counts = torch.zeros(0 if memory is None else len(memory.items), dtype=torch.long)
    seen = 0
    for frame in frames:
        seen += 1
        window.append(to_input(frame[None])[0].to(detector.device))
        if len(window) <= past:
            continue
        x, target = clip_input(torch.stack(tuple(window))[None])
        target, out, terms = detector.measure(x, target)
        for key, values in terms.items():
            raw[key].append(values[0].cpu().numpy())
        regular.append(regular_score(out.output, target).item())
        updated.append(memory is not None and gamma is not None and regular[-1] < gamma)
        if memory is None:
            continue
        counts += torch.bincount(out.nearest.cpu(), minlength=len(counts))
        if updated[-1]:
            queries = out.queries.flatten(0, 2)  # K x C
            memory.update(memory.updated(queries, memory.compare(queries)))
    check_length(seen, past, name)
    stacked = {key: np.stack(values) for key, values in raw.items()}
    return VideoTerms(name, past, stacked, np.array(regular), np.array(updated), counts)


def video_scores(score: Score, raw: np.ndarray) -> np.ndarray:
    """Scores of the frames of one video in the paper's manner, N x T raw terms -> N, higher is more anomalous.

    The scale of the terms is taken from this very video, as ``score.normalise`` says; with the paper's min-max,
    ``S = lambda (1 - norm(P)) + (1 - lambda) norm(D)``. It needs the whole video, its test frames included; a term
    that never changes counts 0 instead of dividing by zero.
    Official: the complement 1 - S, with the labels inverted. Ours: ``score.smooth`` above 1 averages neighbours.
    """
    own = copy.deepcopy(score).cpu()
    values = torch.from_numpy(raw)
    return uniform_filter1d(own.fit(values)(values).numpy(), score.smooth, mode="nearest")


def frame_map(detector: Detector, frames: Iterable[np.ndarray], index: int, name: str = "video") -> np.ndarray:
    """Anomaly map of frame ``index`` (counted from 0): squared error on [0, 1], mean over channels; H x W float32.

    Only the frames of its clip are decoded to a tensor; the model sees the trained items.

    Raises:
        UserError: the video is too short, or prediction cannot reach the frame (the first four).
    """
    past = past_frames(detector.config.model.variant)
    window: deque[np.ndarray] = deque(maxlen=past + 1)
    seen = 0
    for frame in frames:
        window.append(frame)
        seen += 1
        if seen > index:
            break
    if index < past or seen <= index:
        last = f"{seen - 1}" if seen <= index else "the last"
        raise UserError(f"{name}, frame {index}: has no map; expected a frame from {past} to {last}")
    x, target = clip_input(to_input(np.stack(window))[None])
    with torch.inference_mode():
        output = detector.model.eval()(x.to(detector.device)).output.cpu()
    return ((output - target) / 2).square().mean(dim=1)[0].numpy()


def write_maps(detector: Detector, data: Videos, maps: Sequence[str], folder: Path) -> None:
    """Anomaly maps of the frames ``maps`` (``VIDEO:FRAME``) as ``*.npy`` and a picture in ``folder``.

    H x W float32 of the model's size, squared error on [0, 1] images.

    Raises:
        UserError: photographs, no such video or frame, or a file that is already there.
    """
    videos = {video.name: video for video in data.test}
    for wanted in maps:
        name, _, number = wanted.rpartition(":")
        if name not in videos or not number.isdecimal():
            raise UserError(f"video.maps: expected VIDEO:FRAME with VIDEO of {', '.join(videos)}, got {wanted!r}")
        target, picture = (free(folder / f"{name}_{number}{suffix}") for suffix in (".npy", ".png"))
        values = frame_map(detector, videos[name].frames(detector.config.images.size), int(number), name)
        plot_map(picture, values)
        with atomic_path(target) as temporary, temporary.open("wb") as file:
            np.save(file, values)
