"""What a run shows: tables, score histogram, loss curves, per-image scores."""

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mnad.config import LOSS_WEIGHTS
from mnad.data.layout import Layout
from mnad.data.split_file import relative
from mnad.plotting import COLUMN, NORMAL, PALETTE, SPILL, save_figure, style
from mnad.threshold import Threshold


def rate(value: float | None, interval: tuple[float, float] | None) -> str:
    """``0.984 [0.917, 0.997]``; ``-`` when there was nothing to count."""
    return "-" if value is None else f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def results_table(results: Mapping[tuple[str, str], Mapping]) -> str:
    """(model, score) -> :func:`mnad.metrics.judge`, as aligned text."""
    rows = [
        {
            "model": model,
            "score": score,
            "AUROC": "-" if r["auroc"] is None else f"{r['auroc']:.4f}",
            "TPR [95 % CI]": rate(r["tpr"], r["tpr_ci95"]),
            "TNR [95 % CI]": rate(r["tnr"], r["tnr_ci95"]),
            "threshold": f"{r['threshold']:.4g}",
            "missed": f"{r['confusion']['fn']}/{r['n_spill']}",
            "false alarms": f"{r['confusion']['fp']}/{r['n_normal']}",
        }
        for (model, score), r in results.items()
    ]
    return pd.DataFrame(rows).to_string(index=False)


def plot_histogram(path: Path, normal: np.ndarray, spill: np.ndarray, threshold: Threshold, name: str) -> list[Path]:
    """Scores of validation normals and known spills with the threshold: how it was chosen. One column wide.

    Args:
        path: of the PNG.
        normal: N scores of validation normals, at least one.
        spill: K scores of known spills, perhaps none.
        threshold: in the unit of the scores.
        name: of the score.

    Raises:
        UserError: ``path`` cannot be written.
    """
    with style():
        figure, axes = plt.subplots(figsize=(COLUMN, 2.2))
        pooled = np.concatenate((normal, spill))
        bins = np.linspace(*np.quantile(pooled, [0, 1]), 50) if np.ptp(pooled) else 10
        axes.hist(normal, bins, density=True, color=NORMAL, label=f"validation normals ({len(normal)})")
        if len(spill):
            axes.hist(
                spill,
                bins,
                density=True,
                histtype="step",
                color=SPILL,
                hatch="///",
                label=f"known spills ({len(spill)})",
            )
        axes.axvline(threshold.value, color=PALETTE[-1], linestyle="--", label=f"threshold {threshold.value:.3g}")
        axes.set(xlabel=f"score '{name}' (higher is more anomalous)", ylabel="density", yscale="log")
        axes.set_title(threshold.rule.replace("_", " "))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.1))
        return save_figure(figure, path)


def plot_losses(path: Path, log: pd.DataFrame, formats: tuple[str, ...] = ("png",)) -> list[Path]:
    """Loss terms over epochs, from ``log.jsonl``."""
    with style():
        figure, axes = plt.subplots(figsize=(COLUMN, 2.2))
        lines = ("-o", "--s", "-.^", ":v", "-x", "--d")
        terms = [name for name in ("pixel", "validation_pixel", *LOSS_WEIGHTS) if name in log and (log[name] > 0).any()]
        for name, line in zip(terms, cycle(lines)):
            label = "pixel, validation" if name == "validation_pixel" else name
            axes.plot(log["epoch"], log[name].where(log[name] > 0), line, markersize=3, label=label)
        axes.set(xlabel="epoch", ylabel="loss (unweighted)", yscale="log")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        return save_figure(figure, path, formats)


def scores_frame(layout: Layout, scores: Mapping[str, np.ndarray], thresholds: Mapping[str, Threshold]) -> pd.DataFrame:
    """One row for each test image: file (from the folder of the data), label, every score and its verdict (1 = spill).

    Args:
        scores: N values each, in the order of ``layout.test``.
    """
    frame = pd.DataFrame({"file": [relative(path, layout.root) for path in layout.test], "label": layout.labels})
    for name, values in scores.items():
        frame[f"score_{name}"] = values
        frame[f"verdict_{name}"] = (values >= thresholds[name].value).astype(int)
    return frame
