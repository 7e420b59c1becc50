"""Figures of stored tables: the ablation and the comparison with baselines."""

from pathlib import Path

from baselines.figures import plot_table
from figures.entry import Drawn, Inputs, NotStoredError, origin
from mnad.report.caption import Caption
from mnad.report.plotting import FORMATS
from mnad.report.seeds import plot_ablation
from mnad.run.files import read_table
from mnad.study.sweep import WELLS_DEMAND


def draw_ablation(inputs: Inputs, folder: Path) -> Drawn:
    """Error rates of every step from plain MNAD to the shipped score."""
    path = inputs.stored("ablation/ablation.csv")
    columns = {"config", "model", "score", *(f"{m}_{s}" for m in ("tpr", "tnr") for s in ("mean", "std")), "seeds"}
    table = read_table(path, columns, text=("config", "model", "score"))
    plot_ablation(folder / "ablation" / "ablation.png", table, WELLS_DEMAND)
    shows = (
        "Share of the spills that are missed (dots) and of the normals that are flagged (squares) for every step from "
        f"the paper's score to ours, mean and standard deviation over {int(table['seeds'].min())} seeds, on an axis "
        "that is linear below 1 %. Dotted: 5 %, what the user allows. Two columns wide (6.9 in)."
    )
    source = f"{origin(path.parent)} Table: `ablation.csv`; test set and reading: `README.md` beside it."
    name = "ablation/ablation"
    return Drawn({name: Caption("From the paper's score to ours", shows, source, inputs.conclusion(name))})


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
        captions[stem] = Caption("Comparison with baselines", shows, source, inputs.conclusion(stem))
    return Drawn(captions)
