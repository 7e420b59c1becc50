"""The comparison as a figure: ROC curves and AUROC bars with intervals."""

from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from baselines.summary import Runs
from mnad.report.plotting import FORMATS, PALETTE, TWO_COLUMNS, save_figure, style
from mnad.scoring.metrics import tpr_at

GRID = np.linspace(0, 1, 501)  # false positive rates at which the curves of the seeds are averaged
LINES = tuple(product(("-", "--", ":"), (PALETTE[0], PALETTE[1], PALETTE[2], PALETTE[3], PALETTE[7])))


def mean_roc(runs: Runs, score: str) -> np.ndarray:
    """True positive rate in [0, 1] at each of ``GRID``, mean over seeds: as many numbers as ``GRID`` has."""
    return np.mean([tpr_at(arrays["labels"], arrays[f"test/{score}"], GRID) for arrays in runs.arrays], axis=0)


def draw_roc(axes: Axes, frame: pd.DataFrame, found: dict[str, Runs], looks: dict[str, tuple[str, str]]) -> None:
    """One curve for each row of ``frame``."""
    for _, line in frame.iterrows():
        dash, colour = looks[line["method"]]
        axes.plot(GRID, mean_roc(found[line["method"]], line["score"]), dash, color=colour, label=line["method"])
    axes.plot([0, 1], [0, 1], color="#BBBBBB", linewidth=0.6, zorder=0)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.01), aspect="equal")


def draw_bars(axes: Axes, frame: pd.DataFrame) -> None:
    """AUROC of every row with its 95 % interval."""
    position = np.arange(len(frame))
    mean = frame["auroc_mean"].to_numpy(dtype=float)
    error = np.abs(frame[["auroc_low", "auroc_high"]].to_numpy(dtype=float).T - mean)
    scores = list(dict.fromkeys(frame["score"]))
    colours = [PALETTE[(4, 1, 2, 3, 0, 6)[scores.index(score) % 6]] for score in frame["score"]]
    hatches = ("", "///", "...", "\\\\\\", "xx", "++")
    bars = axes.barh(position, mean, xerr=error, color=colours, edgecolor="black", linewidth=0.5, capsize=1.5)
    for bar, score in zip(bars, frame["score"], strict=True):
        bar.set_hatch(hatches[scores.index(score) % len(hatches)])
    labels = [f"{line['method']}, {line['score']}" for _, line in frame.iterrows()]
    axes.set_yticks(position, labels)
    axes.invert_yaxis()
    low = min(0.5, float(np.nanmin(frame["auroc_low"])))
    axes.set(xlim=(max(0.0, low - 0.02), 1.0), xlabel="AUROC, mean over seeds (95 % interval over test images)")
    axes.axvline(0.5, color="#BBBBBB", linewidth=0.6)


def plot_comparison(path: Path, frame: pd.DataFrame, found: dict[str, Runs]) -> list[Path]:
    """ROC curves of each method's first score (the plain one) and of its last one, above the bars of all rows.

    Nothing is drawn for a test set of one class.
    """
    frame = frame[(frame["seeds"] > 0) & frame["auroc_mean"].notna()]
    if frame.empty:
        return []
    looks = {method: LINES[i % len(LINES)] for i, method in enumerate(dict.fromkeys(frame["method"]))}
    first = frame.drop_duplicates("method")
    others = frame[~frame.index.isin(first.index)]
    common = others["score"].mode().iloc[0] if len(others) else None  # the score that most models share
    second = frame[frame["score"] == common] if common is not None else None
    with style():
        figure = plt.figure(figsize=(TWO_COLUMNS, 3.0 + 0.17 * len(frame)), layout="constrained")
        top, bottom = figure.subfigures(2, 1, height_ratios=(3.0, 0.17 * len(frame) + 0.5))
        axes = top.subplots(1, 1 if second is None else 2, squeeze=False)[0]
        draw_roc(axes[0], first, found, looks)
        axes[0].set_title("plain score of each method")
        if second is not None:
            draw_roc(axes[1], second, found, looks)
            axes[1].set_title(f"score '{common}'")
        top.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
        draw_bars(bottom.subplots(), frame)
        return save_figure(figure, path, FORMATS)


def plot_table(path: Path, frame: pd.DataFrame, formats: tuple[str, ...] = ("png",)) -> list[Path]:
    """The bars of all rows of a stored table, with TPR and TNR at each score's own threshold written beside them."""
    with style():
        figure, axes = plt.subplots(figsize=(TWO_COLUMNS, 0.7 + 0.17 * len(frame)), layout="constrained")
        draw_bars(axes, frame)
        for column, (name, place) in enumerate((("tpr_mean", 1.03), ("tnr_mean", 1.11))):
            across = axes.get_yaxis_transform()
            axes.text(place, -0.75, ("TPR", "TNR")[column], transform=across, ha="left", va="bottom", fontsize=7)
            for row, value in enumerate(frame[name]):
                text = "–" if np.isnan(value) else f"{value:.3f}"
                axes.text(place, row, text, transform=across, ha="left", va="center", fontsize=6.5)
        return save_figure(figure, path, formats)
