"""Tables over seeds: mean and standard deviation of each row, as Markdown and as a figure."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from mnad.report.plotting import FORMATS, PALETTE, TWO_COLUMNS, literal, save_figure, style
from mnad.run import UserError

METRICS = ("auroc", "tpr", "tnr")


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation (n - 1; NaN for one seed) over seeds, rows in the order they were run.

    Raises:
        UserError: no rows.
    """
    if runs.empty:
        raise UserError("ablation: no runs; expected at least one configuration and one seed")
    grouped = runs.groupby(["config", "model", "score"], sort=False)[list(METRICS)]
    table = grouped.agg(["mean", "std"])
    table.columns = [f"{metric}_{statistic}" for metric, statistic in table.columns]
    return table.assign(seeds=grouped.size()).reset_index()


def to_markdown(table: pd.DataFrame) -> str:
    """The table of :func:`summarise` as Markdown, ``mean ± sd`` in each cell (one seed: the value alone)."""
    lines = ["| config | model | score | AUROC | TPR | TNR | seeds |", "|---|---|---|---|---|---|---|"]
    for row in table.itertuples():
        several = row.seeds > 1  # one seed has no deviation
        cells = [
            f"{getattr(row, m + '_mean'):.4f}" + (f" ± {getattr(row, m + '_std'):.4f}" if several else "")
            for m in METRICS
        ]
        lines.append(f"| {row.config} | {row.model} | {row.score} | {' | '.join(cells)} | {row.seeds} |")
    return "\n".join(lines) + "\n"


def plot_ablation(path: Path, table: pd.DataFrame, demand: float | None = None) -> list[Path]:
    """Error rates 1 - TPR and 1 - TNR of every row: the lower the better; ``demand``, if any, is marked."""
    with style():
        figure, axes = plt.subplots(figsize=(TWO_COLUMNS, 0.9 + 0.2 * len(table)))
        varied = [key for key in ("score", "model", "config") if key == "score" or table[key].nunique() > 1]
        labels = table[varied].agg(", ".join, axis=1).map(literal)
        for offset, metric, colour, marker in ((-0.17, "tpr", PALETTE[5], "o"), (0.17, "tnr", PALETTE[0], "s")):
            y = [i + offset for i in range(len(table))]
            name = "missed anomalies, 1 - TPR" if metric == "tpr" else "false alarms, 1 - TNR"
            error = table[f"{metric}_std"].fillna(0)
            axes.errorbar(
                1 - table[f"{metric}_mean"], y, xerr=error, fmt=marker, color=colour, markersize=4, label=name
            )
        if demand is not None:
            axes.axvline(demand, color=PALETTE[-1], linestyle=":", label=f"the user's demand, {100 * demand:g} %")
        axes.set(
            xlabel="share of the test images, mean and sd over seeds", yticks=range(len(table)), yticklabels=labels
        )
        axes.set_xscale("symlog", linthresh=0.01)
        axes.set_xlim(left=-0.001)
        axes.invert_yaxis()
        axes.grid(axis="y", alpha=0.3)
        axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3)
        return save_figure(figure, path, FORMATS)
