"""Judge a detector on a dataset: every score against the labels, per pixel where there are masks, memory, speed."""

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from mnad.config import PUBLISHED
from mnad.data.dataset import Photographs, Videos
from mnad.data.images import Images, content, to_input
from mnad.data.source import index_batches
from mnad.detector import Detector
from mnad.evaluation.frames import VideoTerms, kept_items, score_video, video_scores
from mnad.evaluation.result import Evaluation, judge_scores
from mnad.model.health import memory_health
from mnad.run import UserError
from mnad.scoring.metrics import auroc
from mnad.scoring.pixel_metrics import pixel_metrics
from mnad.scoring.threshold import Threshold

TEST, WITH_UPDATE, NO_UPDATE = "test", "with test-time update", "no test-time update"  # names of the evaluations

Rows = dict[tuple[str, str], Mapping]  # (model, score) -> metrics, for the table


class Scorer(Protocol):
    """What judges photographs: a :class:`mnad.detector.Detector`, or a method of the comparison."""

    thresholds: dict[str, Threshold]

    def score_all(self, images: Any, name: str = "images", counts: Tensor | None = None) -> dict[str, np.ndarray]:
        """Every score by name, N float64 each."""
        ...

    def anomaly_map(self, images: np.ndarray) -> np.ndarray | None:
        """N x H x W x 3 uint8 -> N x H x W float32; None where there is no map."""
        ...


def pixel_quality(scorer: Scorer, images: Images, masks: np.ndarray) -> dict[str, float] | None:
    """Pixel AUROC and AUPRO of the anomaly maps; None for a scorer without maps."""
    maps, inside = [], []
    for indices in index_batches(len(images), 32, "anomaly maps"):
        pixels = images.batch(indices)
        part = scorer.anomaly_map(pixels)
        if part is None:
            return None
        maps.append(part)
        if images.fit == "letterbox":
            inside.append(content(to_input(pixels)).numpy())
    return pixel_metrics(np.concatenate(maps), masks, np.concatenate(inside) if inside else None)


def scores_table(names: list[str], labels: np.ndarray, scores: Mapping, thresholds: Mapping) -> pd.DataFrame:
    """One row for each test image: ``file``, ``label``, every score and its verdict (1 = anomalous)."""
    columns: dict[str, object] = {"file": names, "label": labels}
    for name, values in scores.items():
        columns[f"score_{name}"] = values
        columns[f"verdict_{name}"] = (values >= thresholds[name].value).astype(int)
    return pd.DataFrame(columns)


def warn_of_grey(images: Images) -> None:
    """Warn, with their number, of the images without colour that were met."""
    if images.colourless:
        warnings.warn(
            f"{len(images.colourless)} of {len(images)} test images have no colour, by which this detector judges "
            f"(first: {images.sources[min(images.colourless)]}); in use they are refused",
            stacklevel=2,
        )


def evaluate_photographs(scorer: Scorer, data: Photographs) -> Evaluation:
    """Score the test photographs of ``data`` and compare with its labels.

    Raises:
        UserError: an uncalibrated scorer, one that predicts videos, no test images, or a score that is not finite.
    """
    model = getattr(scorer, "model", None)
    if model is not None and model.variant != "recon":
        raise UserError("checkpoint: predicts frames of videos; expected one of the variant recon for photographs")
    images, memory = data.test, getattr(model, "memory", None)
    images.colourless = [] if getattr(scorer, "needs_colour", False) else None
    counts = None if memory is None else torch.zeros(len(memory.items), dtype=torch.long)
    read, started = images.seconds, time.perf_counter()
    scores = scorer.score_all(images, "test", counts)
    seconds = time.perf_counter() - started + (read if images.cache is not None else 0)
    warn_of_grey(images)
    images.colourless = None
    for name, values in scores.items():
        if not np.isfinite(values).all():
            raise UserError(f"score {name!r}: not finite for {(~np.isfinite(values)).sum()} test images")
    return Evaluation(
        scores=judge_scores(scores, data.labels, scorer.thresholds),
        table=scores_table(data.test_names, data.labels, scores, scorer.thresholds),
        images_per_second=len(images) / seconds,
        pixels=None if data.masks is None else pixel_quality(scorer, images, data.masks),
        memory=None if counts is None else memory_health(counts, memory.items.detach().cpu()),
        left_out=data.skipped.get("test", []),
    )


def frame_table(detector: Detector, terms: VideoTerms, labels: np.ndarray | None) -> pd.DataFrame:
    """One row for each scored frame of one video.

    Columns: ``video``; ``frame`` (counted from 0); ``label`` if there are ``labels`` (one for each frame of the
    video; official: prediction drops the first four); for each score ``score_NAME`` (over this video's own minimum and
    maximum, which needs all of it), ``NAME_TERM`` (raw terms) and, if calibrated, ``causal_NAME`` (needs no later
    frame: on the scale of the validation videos, of a score with ``causal`` by way of this video's own past) and
    ``verdict_NAME``, 1 where that reaches the threshold; ``regular_score`` (E_t); ``updated`` (0 or 1).
    """
    count = len(terms.regular)
    table: dict[str, object] = {"video": [terms.name] * count, "frame": np.arange(terms.first, terms.first + count)}
    if labels is not None:
        table["label"] = labels[terms.first :]
    causal = detector.combine(terms.raw, detector.new_pasts())
    for name, score in detector.scores.items():
        if not np.isfinite(terms.raw[name]).all() or not np.isfinite(causal[name]).all():
            raise UserError(f"score {name!r}: not finite for video {terms.name}; expected an undamaged detector")
        table[f"score_{name}"] = video_scores(score, terms.raw[name])
        if name in detector.thresholds:
            table[f"causal_{name}"] = causal[name]
            table[f"verdict_{name}"] = (causal[name] >= detector.thresholds[name].value).astype(int)
        table |= {f"{name}_{term}": terms.raw[name][:, i] for i, term in enumerate(score.names)}
    table |= {"regular_score": terms.regular, "updated": terms.updated.astype(int)}
    return pd.DataFrame(table)


def auroc_by_video(table: pd.DataFrame, column: str) -> dict[str, float | None]:
    """AUROC of each video, from rows with ``video``, ``label`` and ``column``; None where a class is absent."""
    return {
        str(video): auroc(rows["label"].to_numpy(), rows[column].to_numpy())
        for video, rows in table.groupby("video", sort=False)
    }


def frame_metrics(detector: Detector, table: pd.DataFrame) -> dict[str, dict[str, object]]:
    """Metrics of each score from the rows of :func:`frame_table`: those of
    :func:`mnad.evaluation.result.judge_scores`, and

    ``auroc``: frame-level AUC of the paper's score over all frames together (micro), the number the paper reports;
    ``auroc_videos``: by video, None where a class is absent; ``auroc_video_mean``: mean over the others (macro).
    The verdict is that of ``causal_NAME``, the only one that a live camera can have.
    """
    names = list(detector.scores)
    reported = {name: table[f"score_{name}"].to_numpy() for name in names}
    causal = {name: table[f"causal_{name}"].to_numpy() for name in names if name in detector.thresholds}
    found = judge_scores(reported, table["label"].to_numpy(), detector.thresholds, causal)
    for name in names:
        videos = auroc_by_video(table, f"score_{name}")
        present = [value for value in videos.values() if value is not None]
        found[name] |= {"auroc_video_mean": float(np.mean(present)) if present else None, "auroc_videos": videos}
    return found


def advancing(frames: Iterable[np.ndarray], bar: tqdm) -> Iterator[np.ndarray]:
    """``frames``, each of which moves ``bar`` on; one bar for all videos."""
    for frame in frames:
        yield frame
        bar.update()


def evaluate_videos(detector: Detector, data: Videos, gamma: float | None) -> Evaluation:
    """Score the test videos of ``data`` one frame at a time and compare with its labels if there are any.

    Args:
        gamma: of the test-time update, None for none; the detector has its trained items back afterwards.

    Raises:
        UserError: a video shorter than a clip, or an unreadable one.
    """
    started = time.perf_counter()
    tables, counts, updates = [], None, 0
    total = None if data.labels is None else sum(len(labels) for labels in data.labels)
    with kept_items(detector.model), tqdm(desc="score frames", total=total, mininterval=1, leave=False) as bar:
        videos: list[Any] = list(data.test)  # folders or files
        for i, video in enumerate(videos):
            terms = score_video(detector, video.name, advancing(video.frames(data.images.size), bar), gamma)
            tables.append(frame_table(detector, terms, None if data.labels is None else data.labels[i]))
            counts = terms.counts if counts is None else counts + terms.counts
            updates += int(terms.updated.sum())
    table = pd.concat(tables, ignore_index=True)
    seconds = time.perf_counter() - started
    memory = detector.model.memory
    return Evaluation(
        scores={} if data.labels is None else frame_metrics(detector, table),
        table=table,
        images_per_second=len(table) / seconds,
        memory=None if memory is None else memory_health(counts, memory.items.detach().cpu()),
        memory_updates=updates if memory is not None and gamma is not None else None,
        gamma=None if memory is None else gamma,
    )


def evaluate(
    detector: Detector, data: Photographs | Videos, update: bool | None = None, gamma: float | None = None
) -> dict[str, Evaluation]:
    """Judge ``detector`` on ``data``: name of the evaluation -> what came out.

    Photographs have one, ``test``. Videos have one with the paper's test-time update of the memory (official) and
    one without; models without a memory, and ensembles, only the latter.

    Args:
        update: of videos: only the evaluation with it, or only that without; None both.
        gamma: update with frames whose regular score E_t is below; None is the official value of the variant.

    Raises:
        UserError: see :func:`evaluate_photographs` and :func:`evaluate_videos`.
    """
    if isinstance(data, Photographs):
        return {TEST: evaluate_photographs(detector, data)}
    found = {}
    if detector.model.memory is not None and detector.config.members == 1 and update in (None, True):
        found[WITH_UPDATE] = evaluate_videos(detector, data, gamma or PUBLISHED[detector.model.variant].gamma)
    if update in (None, False) or not found:
        found[NO_UPDATE] = evaluate_videos(detector, data, None)
    return found


def made_for_other(detector: Detector, data: Photographs | Videos) -> str | None:
    """Why the scores of ``detector`` are not made for ``data``, in one line; None if they are, or if nobody can know
    (a description may be of any images)."""
    layout = data.layout_name
    for name, score in detector.scores.items():
        foreign = [term for term in score.terms if term.made_for not in (None, layout)]
        if foreign and layout != "generic":
            kind = type(foreign[0]).__name__
            return f"score {name!r}: its term {kind} is made for {foreign[0].made_for}, but the data is {layout}"
    return None


def table_rows(detector: Detector, model: str, evaluations: Mapping[str, Evaluation]) -> Rows:
    """Rows of :func:`mnad.report.tables.results_table`; of videos the model's name says which evaluation."""
    return {
        (model if name == TEST else f"{model}, {name}", detector.label(score)): {**metrics, "pixels": result.pixels}
        for name, result in evaluations.items()
        for score, metrics in result.scores.items()
    }


def primary_curve(detector: Detector) -> tuple[list[str], tuple[str, ...], float | None]:
    """What :func:`mnad.report.plots.plot_curves` draws of the primary score: the causal score with its threshold where
    a past scales it, else the score of the paper's protocol, which has no threshold."""
    name = detector.primary
    if detector.scores[name].causal is None or name not in detector.thresholds:
        return [f"score_{name}"], ("png",), None
    return [f"causal_{name}"], ("png",), detector.thresholds[name].value
