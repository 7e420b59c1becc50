"""Plots of a run: score histogram, loss curves, anomaly scores of videos, anomaly maps."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mnad.report.plotting import ANOMALOUS, COLUMN, NORMAL, PALETTE, TWO_COLUMNS, literal, save_figure, style
from mnad.run import UserError
from mnad.scoring.threshold import Threshold

MAX_PANELS = 900  # of one figure; a PNG knows no larger height
# One style for each curve of a panel, told apart in grey too.
CURVES = (
    {"color": PALETTE[0], "linestyle": "-", "linewidth": 0.8},
    {"color": "#000000", "linestyle": ":", "linewidth": 1.2},
    {"color": PALETTE[2], "linestyle": "--", "linewidth": 1.0},
)


def plot_histogram(
    path: Path, normal: np.ndarray, anomalous: np.ndarray, threshold: Threshold, name: str
) -> list[Path]:
    """Scores of validation normals and known anomalies with the threshold: how it was chosen. One column wide.

    Args:
        path: of the PNG.
        normal: N scores of validation normals, at least one.
        anomalous: K scores of known anomalies, perhaps none.
        threshold: in the unit of the scores.
        name: of the score.

    Raises:
        UserError: ``path`` cannot be written.
    """
    with style():
        figure, axes = plt.subplots(figsize=(COLUMN, 2.2))
        pooled = np.concatenate((normal, anomalous))
        bins = np.linspace(pooled.min(), pooled.max(), 50) if np.ptp(pooled) else 10
        axes.hist(normal, bins, density=True, color=NORMAL, label=f"validation normals ({len(normal)})")
        if len(anomalous):
            axes.hist(
                anomalous,
                bins,
                density=True,
                histtype="step",
                color=ANOMALOUS,
                hatch="///",
                label=f"known anomalies ({len(anomalous)})",
            )
        axes.axvline(threshold.value, color=PALETTE[-1], linestyle="--", label=f"threshold {threshold.value:.3g}")
        axes.set(xlabel=f"score '{literal(name)}' (higher is more anomalous)", ylabel="density", yscale="log")
        axes.set_title(threshold.rule.replace("_", " "))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.1))
        return save_figure(figure, path)


def plot_losses(path: Path, log: pd.DataFrame, formats: tuple[str, ...] = ("png",)) -> list[Path]:
    """Loss terms over epochs, from ``log.jsonl``."""
    with style():
        figure, axes = plt.subplots(figsize=(COLUMN, 2.2))
        lines = ("-o", "--s", "-.^", ":v", "-x", "--d")
        names = list(log.columns)
        own = names[names.index("pixel") + 1 : names.index("validation_pixel")]  # the model's terms besides the pixels
        terms = [name for name in ("pixel", "validation_pixel", *own) if (log[name] > 0).any()]
        for name, line in zip(terms, cycle(lines)):
            label = "pixel, validation" if name == "validation_pixel" else name
            axes.plot(log["epoch"], log[name].where(log[name] > 0), line, markersize=3, label=label)
        axes.set(xlabel="epoch", ylabel="loss (unweighted)", yscale="log")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        return save_figure(figure, path, formats)


def runs_of_ones(labels: np.ndarray) -> list[tuple[int, int]]:
    """[start, end) of each run of ones in a 1-D array of 0 and 1."""
    edges = np.flatnonzero(np.diff(np.r_[0, labels, 0]))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def plot_curves(
    path: Path,
    frame: pd.DataFrame,
    scores: Sequence[str],
    formats: tuple[str, ...] = ("png",),
    threshold: float | None = None,
) -> list[Path]:
    """Anomaly-score curve of every video, labelled frames shaded, from the rows of a score table (one panel each).

    Args:
        frame: columns ``video``, ``frame``, ``scores`` and, for shading, ``label``.
        scores: names of the columns to draw, such as ``score_mnad``; several are drawn over each other.
        threshold: of all of them, in their unit; None draws none.

    Raises:
        UserError: a column is missing, a label is not 0 or 1, no number, or no or too many videos.
    """
    missing = {"video", "frame", *scores} - set(frame.columns)
    if missing:
        expected = ", ".join(("video", "frame", *scores))
        raise UserError(f"score table: no column {', '.join(sorted(missing))}; expected {expected}")
    if "label" in frame and not frame["label"].isin((0, 1)).all():
        raise UserError(
            "score table: column label holds other values than 0 and 1; expected 0 (normal) or 1 (abnormal)"
        )
    for name in ("frame", *scores):
        finite = np.isfinite(frame[name].to_numpy(dtype=float))
        if not (finite.all() if name == "frame" else finite.any()):
            raise UserError(f"score table: column {name} holds no number where one is needed; expected numbers")
    videos = list(frame.groupby("video", sort=False))
    if not 0 < len(videos) <= MAX_PANELS:
        raise UserError(f"score table: {len(videos)} videos; expected 1 to {MAX_PANELS} in one figure")
    columns = min(3, len(videos))
    rows = -(-len(videos) // columns)
    with style():
        width = COLUMN if columns == 1 else TWO_COLUMNS
        figure, axes = plt.subplots(
            rows, columns, figsize=(width, 0.5 + 1.05 * rows), sharey=True, squeeze=False, layout="constrained"
        )
        handles: dict[str, object] = {}
        for panel, (video, part) in zip(axes.flat, videos, strict=False):
            numbers = part["frame"].to_numpy()
            for start, end in runs_of_ones(part["label"].to_numpy()) if "label" in part else []:
                handles["labelled abnormal"] = panel.axvspan(
                    numbers[start] - 0.5, numbers[end - 1] + 0.5, color=ANOMALOUS, alpha=0.25, lw=0
                )
            for i, score in enumerate(scores):
                name = literal(score.removeprefix("score_")) if len(scores) > 1 else "score"
                (handles[name],) = panel.plot(numbers, part[score], **CURVES[i % len(CURVES)])
            if threshold is not None:
                line = panel.axhline(threshold, color=PALETTE[-1], linestyle="--", linewidth=0.8)
                handles[f"threshold {threshold:.3g}"] = line
            panel.set_title(f"video {literal(video)}", pad=2)
            panel.set_xlim(numbers[0] - 1, numbers[-1] + 1)
        for panel in list(axes.flat)[len(videos) :]:
            panel.set_axis_off()
        figure.supxlabel("frame", fontsize=8)
        figure.supylabel("anomaly score", fontsize=8)
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))
        return save_figure(figure, path, formats)


def plot_film(path: Path, scores: np.ndarray, threshold: float, name: str, title: str) -> list[Path]:
    """Scores of one film with the threshold, frames from it on shaded. Two columns wide.

    Args:
        path: of the PNG.
        scores: N, one for each frame from 0 on; NaN where there is none.
        threshold: in the unit of the scores.
        name: of the score.
        title: what was scored.

    Raises:
        UserError: ``path`` cannot be written.
    """
    flagged = np.nan_to_num(scores, nan=-np.inf) >= threshold
    spans = runs_of_ones(flagged.astype(int))
    with style():
        figure, axes = plt.subplots(figsize=(TWO_COLUMNS, 2.2), layout="constrained")
        for i, (start, end) in enumerate(spans):
            label = f"anomalous: {flagged.sum():,} of {np.isfinite(scores).sum():,} frames, {len(spans):,} spans"
            axes.axvspan(start - 0.5, end - 0.5, color=ANOMALOUS, alpha=0.25, lw=0, label=None if i else label)
        axes.plot(np.arange(len(scores)), scores, color=PALETTE[0], linewidth=0.8, label=f"score '{literal(name)}'")
        axes.axhline(threshold, color=PALETTE[-1], linestyle="--", linewidth=0.8, label=f"threshold {threshold:.3g}")
        axes.set(xlabel="frame", ylabel="score (higher is more anomalous)", xlim=(-1, max(len(scores), 2)))
        axes.set_title(literal(title))
        figure.legend(loc="outside upper center", ncols=3)
        return save_figure(figure, path)


def plot_map(path: Path, values: np.ndarray) -> list[Path]:
    """Anomaly map (H x W, squared error on [0, 1]) as a picture with its colour scale."""
    with style():
        figure, axes = plt.subplots(figsize=(COLUMN, 0.4 + COLUMN * 0.8 * values.shape[0] / values.shape[1]))
        image = axes.imshow(values, interpolation="nearest")
        axes.set_axis_off()
        figure.colorbar(image, ax=axes, label="squared error", shrink=0.9)
        return save_figure(figure, path)
