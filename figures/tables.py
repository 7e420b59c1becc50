"""Figures of stored tables: the ablation and the comparison with baselines."""

from pathlib import Path

import numpy as np
import pandas as pd

from baselines.figures import plot_table
from figures.entry import Caption, Drawn, Inputs, NotStoredError, origin, percent
from mnad.ablation import plot_ablation
from mnad.report.plotting import FORMATS
from mnad.run.files import read_table


def worse_error(table: pd.DataFrame) -> pd.Series:
    """The larger of 1 - TPR and 1 - TNR of each row (means over seeds)."""
    return 1 - table[["tpr_mean", "tnr_mean"]].min(axis=1)


def draw_ablation(inputs: Inputs, folder: Path) -> Drawn:
    """Error rates of every step from plain MNAD to the shipped score."""
    path = inputs.stored("ablation/ablation.csv")
    columns = {"config", "model", "score", *(f"{m}_{s}" for m in ("tpr", "tnr") for s in ("mean", "std")), "seeds"}
    table = read_table(path, columns, text=("config", "model", "score"))
    plot_ablation(folder / "ablation" / "ablation.png", table)
    worst = worse_error(table)
    best, within = table.loc[worst.idxmin()], table[worst <= 0.05]
    shows = (
        "Share of the spills that are missed (dots) and of the normals that are flagged (squares) for every step from "
        f"the paper's score to ours, mean and standard deviation over {int(table['seeds'].min())} seeds, on an axis "
        "that is linear below 1 %. Dotted: 5 %, what the user allows. Two columns wide (6.9 in)."
    )
    conclusion = (
        f"{len(within)} of {len(table)} steps keep both rates within 5 %: {', '.join(within['score']) or 'none'}. The "
        f"smallest larger rate is that of '{best['score']}': {percent(1 - best['tpr_mean'])} missed, "
        f"{percent(1 - best['tnr_mean'])} flagged."
    )
    paper = table[table["score"] == "mnad"]
    if len(paper):
        row = paper.iloc[0]
        conclusion += (
            f" The paper's score ('mnad') misses {percent(1 - row['tpr_mean'])} and flags "
            f"{percent(1 - row['tnr_mean'])}."
        )
    source = f"{origin(path.parent)} Table: `ablation.csv`; test set and reading: `README.md` beside it."
    return Drawn({"ablation/ablation": Caption("From the paper's score to ours", shows, source, conclusion)})


def conclude_comparison(table: pd.DataFrame) -> str:
    """Order, intervals that overlap with the best, and rates, in words."""
    table = table.sort_values("auroc_mean", ascending=False, kind="stable")
    best = table.iloc[0]
    text = (
        f"Highest AUROC: {best['method']} with '{best['score']}', {best['auroc_mean']:.4f} "
        f"[{best['auroc_low']:.4f}, {best['auroc_high']:.4f}]. "
    )
    close = table.iloc[1:][table.iloc[1:]["auroc_high"] >= best["auroc_low"]]
    text += f"Intervals of {len(close)} other rows reach into its own" + (
        f": {', '.join(close['method'] + ' ' + close['score'])}. " if len(close) else ". "
    )
    good = table[np.minimum(table["tpr_mean"], table["tnr_mean"]) > 0.95]
    names = ", ".join(good["method"] + " " + good["score"]) or "none"
    return text + f"TPR and TNR both above 0.95 with a threshold that saw no test image: {names}."


def draw_comparison(inputs: Inputs, folder: Path) -> Drawn:
    """Every stored ``baselines/**/comparison.csv``: AUROC bars with TPR and TNR written beside them."""
    paths = sorted(inputs.stored("baselines").rglob("comparison*.csv"))
    if not paths:
        raise NotStoredError(f"{inputs.results / 'baselines'}: no comparison.csv; expected the table of a comparison")
    captions = {}
    for path in paths:
        columns = {"method", "score", "seeds", "auroc_mean", "auroc_low", "auroc_high", "tpr_mean", "tnr_mean"}
        frame = read_table(path, columns, text=("method", "score"))
        frame = frame[(frame["seeds"] > 0) & frame["auroc_mean"].notna()].reset_index(drop=True)
        if frame.empty:
            raise NotStoredError(f"{path}: no finished method; expected rows with seeds and AUROC")
        stem = str((path.parent / f"{path.stem}_auroc").relative_to(inputs.results))
        plot_table(folder / f"{stem}.png", frame, FORMATS)
        seeds = sorted({int(n) for n in frame["seeds"]})
        shows = (
            "AUROC of every method and score with its 95 % bootstrap interval over test images, and beside it TPR and "
            f"TNR at the score's own threshold, means over {' or '.join(map(str, seeds))} seeds. Colour and hatching "
            "tell the scores apart. Two columns wide (6.9 in)."
        )
        source = f"{origin(path.parent)} Table: `{path.name}`."
        captions[stem] = Caption("Comparison with baselines", shows, source, conclude_comparison(frame))
    return Drawn(captions)
