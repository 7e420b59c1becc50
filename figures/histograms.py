"""Test scores of the stored run by group of wells, with the threshold."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from figures.entry import Drawn, Inputs
from figures.stored_run import metrics, run_origin, scored_wells
from mnad.report.caption import Caption
from mnad.report.plotting import ANOMALOUS, COLUMN, EMPTY, FORMATS, NORMAL, PALETTE, save_figure, style

SCORES = {"wells": "score 'wells' (ours)", "mnad": "score 'mnad' (the paper's)"}
LOOKS: dict[str, dict[str, Any]] = {  # filled light, open, hatched, solid black: told apart in grey
    "plain normal": {"color": NORMAL},
    "nuisance": {"histtype": "step", "color": PALETTE[0], "linewidth": 1.2},
    "overflow": {"histtype": "step", "color": ANOMALOUS, "hatch": "////", "linewidth": 1.0},
    "empty": {"color": EMPTY, "rwidth": 0.45},
}


def draw_panel(axes: Axes, frame: pd.DataFrame, score: str, threshold: float) -> None:
    """One histogram for each group, counts on a logarithmic axis."""
    values = frame[f"score_{score}"]
    bins = np.linspace(values.min(), values.max(), 31) if np.ptp(values) else 10
    for group, look in LOOKS.items():
        chosen = values[frame["group"] == group]
        if len(chosen):
            axes.hist(chosen, bins, label=f"{group} ({len(chosen)})", **look)
    axes.axvline(threshold, color="#000000", linestyle="--", label="threshold")
    axes.set(xlabel=f"{SCORES[score]}, higher is more anomalous", ylabel="test images", yscale="log")
    axes.set_ylim(bottom=0.7)


def draw_histograms(inputs: Inputs, folder: Path) -> Drawn:
    """Both scores, one panel each."""
    frame, judged = scored_wells(inputs), metrics(inputs)
    thresholds = {score: judged["thresholds"][score]["value"] for score in SCORES}
    with style():
        figure, panels = plt.subplots(2, 1, figsize=(COLUMN, 3.9), layout="constrained")
        for axes, score in zip(panels, SCORES, strict=True):
            draw_panel(axes, frame, score, thresholds[score])
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
        save_figure(figure, folder / "synthetic" / "histograms.png", FORMATS)
    shows = (
        "Scores of the test images by what they show, on a logarithmic count axis, and the threshold (dashed): "
        f"{judged['thresholds']['wells']['note']}. Filled light: plain normals; open: nuisances (clamp, hand, bar, "
        "off centre, dim), which are normal too; hatched: overflow; black: empty wells. One column wide (3.3 in)."
    )
    caption = Caption("Scores of the test images", shows, run_origin(inputs), inputs.conclusion("synthetic/histograms"))
    return Drawn({"synthetic/histograms": caption})
