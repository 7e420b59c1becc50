"""What an evaluation on videos shows: a table, memory health and the anomaly-score curve of every video."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mnad.errors import UserError
from mnad.plotting import COLUMN, PALETTE, SPILL, TWO_COLUMNS, save_figure, style

COLLAPSED = 1.1  # effective items; below it one item takes at least 98 % of the queries
# One style for each curve of a panel, told apart in grey too.
CURVES = (
    {"color": PALETTE[0], "linestyle": "-", "linewidth": 0.8},
    {"color": "#000000", "linestyle": ":", "linewidth": 1.2},
    {"color": PALETTE[2], "linestyle": "--", "linewidth": 1.0},
)


def percent_number(value: float | None) -> str:
    """A share in percent without the sign, for columns that say so: ``0.9412`` -> ``94.12``; ``-`` for None."""
    return "-" if value is None else f"{100 * value:.2f}"


def video_table(results: Mapping[tuple[str, str], Mapping]) -> str:
    """(row name, score) -> metrics of :func:`mnad.video_evaluation.frame_metrics`, as aligned text; AUC in percent."""
    rows = []
    for (model, score), r in results.items():
        row = {"model": model, "score": score, "frame AUC": percent_number(r["auroc"])}
        row["mean over videos"] = percent_number(r["auroc_video_mean"])
        if "online" in r:
            row["online AUC"] = percent_number(r["online"]["auroc"])
            row["online TPR"], row["online TNR"] = (
                percent_number(r["online"]["tpr"]),
                percent_number(r["online"]["tnr"]),
            )
        rows.append(row)
    return pd.DataFrame(rows).fillna("-").to_string(index=False)


def health_line(health: Mapping[str, float | int]) -> str:
    """One line on how the memory is used (see :func:`mnad.health.memory_health`); says so when it has collapsed."""
    line = (
        f"memory: {health['perplexity']:.2f} effective items (entropy {health['usage_entropy']:.2f} nats), "
        f"{health['dead_items']} dead, similarity of items {health['item_similarity_mean']:.3f} on average, "
        f"{health['item_similarity_max']:.3f} at most"
    )
    if health["perplexity"] < COLLAPSED:
        line += "; collapsed: one item takes nearly all queries"
    return line


def runs_of_ones(labels: np.ndarray) -> list[tuple[int, int]]:
    """[start, end) of each run of ones in a 1-D array of 0 and 1."""
    edges = np.flatnonzero(np.diff(np.r_[0, labels, 0]))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def plot_curves(
    path: Path, frame: pd.DataFrame, scores: Sequence[str], formats: tuple[str, ...] = ("png",)
) -> list[Path]:
    """Anomaly-score curve of every video, labelled frames shaded, from the rows of a score table (one panel each).

    Args:
        frame: columns ``video``, ``frame``, ``scores`` and, for shading, ``label``.
        scores: names of the columns to draw, such as ``score_mnad``; several are drawn over each other.

    Raises:
        UserError: a column is missing.
    """
    missing = {"video", "frame", *scores} - set(frame.columns)
    if missing:
        expected = ", ".join(("video", "frame", *scores))
        raise UserError(f"score table: no column {', '.join(sorted(missing))}; {expected} were expected")
    videos = list(frame.groupby("video", sort=False))
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
                    numbers[start] - 0.5, numbers[end - 1] + 0.5, color=SPILL, alpha=0.25, lw=0
                )
            for i, score in enumerate(scores):
                name = score.removeprefix("score_") if len(scores) > 1 else "score"
                (handles[name],) = panel.plot(numbers, part[score], **CURVES[i % len(CURVES)])
            panel.set_title(f"video {video}", pad=2)
            panel.set_xlim(numbers[0] - 1, numbers[-1] + 1)
        for panel in list(axes.flat)[len(videos) :]:
            panel.set_axis_off()
        figure.supxlabel("frame", fontsize=8)
        figure.supylabel("anomaly score", fontsize=8)
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))
        return save_figure(figure, path, formats)


def plot_map(path: Path, values: np.ndarray) -> list[Path]:
    """Anomaly map (H x W, squared error on [0, 1]) as a picture with its colour scale."""
    with style():
        figure, axes = plt.subplots(figsize=(COLUMN, 0.4 + COLUMN * 0.8 * values.shape[0] / values.shape[1]))
        image = axes.imshow(values, interpolation="nearest")
        axes.set_axis_off()
        figure.colorbar(image, ax=axes, label="squared error", shrink=0.9)
        return save_figure(figure, path)
