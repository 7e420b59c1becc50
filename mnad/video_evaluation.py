"""Judge a detector on test videos: frame-level AUC over all frames and per video, memory health, scores per frame."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from mnad.data.videos import FrameFolder, VideoFile
from mnad.detector import Detector
from mnad.health import memory_health
from mnad.metrics import judge
from mnad.video import VideoTerms, kept_items, score_video, video_scores


@dataclass
class VideoEvaluation:
    """What came out.

    Attributes:
        metrics: score name -> metrics, see :func:`frame_metrics`; empty without labels.
        frame: one row for each scored frame, see :func:`frame_table`.
        health: :func:`mnad.health.memory_health` over all queries of the test; empty without a memory.
        updates: frames that changed the memory.
        frames_per_second: decoding and every score.
    """

    metrics: dict[str, dict[str, object]]
    frame: pd.DataFrame
    health: dict[str, float | int]
    updates: int
    frames_per_second: float


def summary(result: VideoEvaluation) -> dict[str, object]:
    """What ``metrics.json`` says of one evaluation."""
    return {
        "scores": result.metrics,
        "memory": result.health,
        "memory_updates": result.updates,
        "frames_per_second": result.frames_per_second,
    }


def auc(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """Area under the ROC curve, 0 to 1, of N scores against N labels (0 or 1); None when a class is absent."""
    return float(roc_auc_score(labels, scores)) if len(np.unique(labels)) == 2 else None


def auc_by_video(frame: pd.DataFrame, column: str) -> dict[str, float | None]:
    """AUC of each video, from rows with ``video``, ``label`` and the scores in ``column``; None: a class is absent."""
    return {
        str(video): auc(rows["label"].to_numpy(), rows[column].to_numpy())
        for video, rows in frame.groupby("video", sort=False)
    }


def frame_table(detector: Detector, terms: VideoTerms, labels: np.ndarray | None) -> pd.DataFrame:
    """One row for each scored frame of one video.

    Columns: ``video``; ``frame`` (counted from 0); ``label`` if there are ``labels`` (one for each frame of the
    video; official: prediction drops the first four); for each score ``score_NAME`` (over this
    video's own minimum and maximum), ``NAME_TERM`` (raw terms) and, if calibrated, ``online_NAME`` (on the scale of
    the validation videos: needs no future frame) and ``verdict_NAME``; ``regular_score`` (E_t); ``updated`` (0 or 1).
    """
    count = len(terms.regular)
    table: dict[str, object] = {"video": [terms.name] * count, "frame": np.arange(terms.first, terms.first + count)}
    if labels is not None:
        table["label"] = labels[terms.first :]
    online = detector.combine(terms.raw)
    for name, score in detector.scores.items():
        table[f"score_{name}"] = video_scores(score, terms.raw[name])
        if name in detector.thresholds:
            table[f"online_{name}"] = online[name]
            table[f"verdict_{name}"] = (online[name] >= detector.thresholds[name].value).astype(int)
        table |= {f"{name}_{term}": terms.raw[name][:, i] for i, term in enumerate(score.names)}
    table |= {"regular_score": terms.regular, "updated": terms.updated.astype(int)}
    return pd.DataFrame(table)


def frame_metrics(detector: Detector, frame: pd.DataFrame) -> dict[str, dict[str, object]]:
    """Metrics of each score from the rows of :func:`frame_table`.

    ``auroc``: frame-level AUC of the paper's score over all frames together (micro), the number the paper reports.
    ``auroc_videos``: by video, None where a class is absent; ``auroc_video_mean``: mean over the others (macro).
    ``online``: :func:`mnad.metrics.judge` of the score on the scale of the validation videos, if calibrated.
    """
    labels = frame["label"].to_numpy()
    metrics: dict[str, dict[str, object]] = {}
    for name in detector.scores:
        values = frame[f"score_{name}"].to_numpy()
        videos = auc_by_video(frame, f"score_{name}")
        present = [value for value in videos.values() if value is not None]
        metrics[name] = {
            "auroc": auc(labels, values),
            "auroc_video_mean": float(np.mean(present)) if present else None,
            "auroc_videos": videos,
            "n_abnormal": int(labels.sum()),
            "n_normal": int((labels == 0).sum()),
        }
        if name in detector.thresholds:
            threshold = detector.thresholds[name].value
            metrics[name]["online"] = judge(frame[f"online_{name}"].to_numpy(), labels, threshold)
    return metrics


def advancing(frames: Iterable[np.ndarray], bar: tqdm) -> Iterator[np.ndarray]:
    """``frames``, each of which moves ``bar`` on; one bar for all videos."""
    for frame in frames:
        yield frame
        bar.update()


def evaluate_videos(
    detector: Detector,
    videos: Sequence[FrameFolder] | Sequence[VideoFile],
    labels: Sequence[np.ndarray] | None,
    gamma: float | None,
) -> VideoEvaluation:
    """Score ``videos`` one frame at a time and compare with ``labels`` (one array for each video) if there are any.

    Args:
        gamma: of the test-time update, None for none; the detector has its trained items back afterwards.

    Raises:
        UserError: a video shorter than a clip, or an unreadable one.
    """
    started = time.perf_counter()
    tables, counts, updates = [], None, 0
    total = sum(len(video) for video in videos) if labels is not None else None
    with kept_items(detector.model), tqdm(desc="score frames", total=total, mininterval=1, leave=False) as bar:
        for i, video in enumerate(videos):
            terms = score_video(detector, video.name, advancing(video.frames(detector.config.images.size), bar), gamma)
            tables.append(frame_table(detector, terms, None if labels is None else labels[i]))
            counts = terms.counts if counts is None else counts + terms.counts
            updates += int(terms.updated.sum())
    frame = pd.concat(tables, ignore_index=True)
    seconds = time.perf_counter() - started
    with torch.inference_mode():
        health = memory_health(counts, detector.model.memory.items.cpu()) if counts is not None and len(counts) else {}
    metrics = {} if labels is None else frame_metrics(detector, frame)
    return VideoEvaluation(metrics, frame, health, updates, len(frame) / seconds)
