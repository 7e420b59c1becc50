"""ROC and precision-recall curves of the stored run with bootstrap bands and the chosen threshold."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from sklearn.metrics import precision_recall_curve

from figures.entry import Drawn, Inputs
from figures.stored_run import metrics, run_origin, scored_wells
from mnad.report.caption import Caption
from mnad.report.plotting import FORMATS, PALETTE, TWO_COLUMNS, save_figure, style
from mnad.scoring.bootstrap import interval, resampled_counts
from mnad.scoring.metrics import tpr_at

GRID = np.linspace(0, 1, 201)
RESAMPLES = 500
# (model, score) -> label, colour, line, marker
CURVES = {
    ("", "wells"): ("MNAD, 'wells' (ours)", PALETTE[0], "-", "o"),
    ("conv_ae", "wells"): ("autoencoder, 'wells'", PALETTE[1], "--", "s"),
    ("", "mnad"): ("MNAD, 'mnad' (the paper's)", PALETTE[7], ":", "D"),
}


def precision_at(
    labels: np.ndarray, scores: np.ndarray, recall: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Precision at the highest threshold whose recall reaches each of ``recall`` (no interpolation)."""
    precision, reached, _ = precision_recall_curve(labels, scores, sample_weight=weights)
    # reached falls from 1 to 0 over rising thresholds; the last point (recall 0, precision 1) has no threshold
    precision, reached = precision[:-1][::-1], reached[:-1][::-1]
    return precision[np.minimum(np.searchsorted(reached, recall - 1e-12, side="left"), len(reached) - 1)]


def draw_curve(axes: Axes, curve: np.ndarray, resampled: np.ndarray, look: tuple[str, str, str, str]) -> None:
    """A curve over ``GRID`` with its band."""
    label, colour, line, _ = look
    axes.fill_between(GRID, *interval(resampled), color=colour, alpha=0.18, linewidth=0, step="post")
    axes.step(GRID, curve, line, color=colour, label=label, where="post")


def mark_threshold(axes: Axes, x: float, y: float, bars: dict[str, tuple[float, float] | None], look: tuple) -> None:
    """The chosen threshold as a marker; ``bars`` maps ``x`` and ``y`` to 95 % intervals."""
    value = {"x": x, "y": y}
    errors = {
        f"{axis}err": [[max(value[axis] - ends[0], 0)], [max(ends[1] - value[axis], 0)]]
        for axis, ends in bars.items()
        if ends
    }
    axes.errorbar(
        x, y, **errors, fmt=look[3], color=look[1], markersize=4, markeredgecolor="k", markeredgewidth=0.5,
        elinewidth=0.8, capsize=1.5, zorder=4,
    )  # fmt: skip


def draw_roc_and_pr(inputs: Inputs, folder: Path) -> Drawn:
    """ROC left, precision-recall right."""
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 3.2), layout="constrained")
        for (model, score), look in CURVES.items():
            frame = scored_wells(inputs, model)
            labels, scores = frame["label"].to_numpy(), frame[f"score_{score}"].to_numpy()
            judged = metrics(inputs, model)["evaluations"]["test"]["scores"][score]
            counts = resampled_counts(labels, RESAMPLES)
            roc = np.stack([tpr_at(labels, scores, GRID, row) for row in counts])
            recall = np.stack([precision_at(labels, scores, GRID, row) for row in counts])
            draw_curve(left, tpr_at(labels, scores, GRID), roc, look)
            draw_curve(right, precision_at(labels, scores, GRID), recall, look)
            low, high = judged["tnr_ci95"]
            false_alarms = 1 - high, 1 - low
            mark_threshold(left, 1 - judged["tnr"], judged["tpr"], {"x": false_alarms, "y": judged["tpr_ci95"]}, look)
            confusion = judged["confusion"]
            hits = confusion["tp"] / max(confusion["tp"] + confusion["fp"], 1)
            mark_threshold(right, judged["tpr"], hits, {"x": judged["tpr_ci95"]}, look)
        left.plot([0, 1], [0, 1], color="#999999", linewidth=0.6, zorder=0)
        share = labels.mean()
        right.axhline(share, color="#999999", linewidth=0.6, zorder=0)
        left.set(xlabel="false positive rate (1 − TNR)", ylabel="true positive rate (TPR)")
        right.set(xlabel="recall (TPR)", ylabel="precision")
        for axes in (left, right):
            axes.set(xlim=(0, 1), ylim=(0, 1.02))
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
        save_figure(figure, folder / "synthetic" / "roc_pr.png", FORMATS)
    shows = (
        "ROC (left) and precision-recall (right) on the drawn test wells "
        f"({int(labels.sum())} spills, {int((1 - labels).sum())} normals). Bands: pointwise 95 % of {RESAMPLES} "
        "bootstrap resamples of the test images, spills and normals drawn separately. Markers: each score's own "
        "threshold, chosen without any test image, with 95 % Wilson intervals of its rates. Grey lines: chance. Two "
        "columns wide (6.9 in)."
    )
    caption = Caption("ROC and precision-recall", shows, run_origin(inputs), inputs.conclusion("synthetic/roc_pr"))
    return Drawn({"synthetic/roc_pr": caption})
