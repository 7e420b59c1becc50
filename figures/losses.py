"""Training curves of the stored run."""

from pathlib import Path

import pandas as pd

from figures.entry import Caption, Drawn, Inputs
from figures.stored_run import FOLDER, run_origin
from mnad.report.plots import plot_losses
from mnad.report.plotting import FORMATS
from mnad.run.files import read_log


def conclusion(log: pd.DataFrame) -> str:
    """What the curves say, from their last epoch."""
    first, last = log.iloc[0], log.iloc[-1]
    text = (
        f"After {len(log)} epochs the pixel error is {last['pixel']:.4f} in training and "
        f"{last['validation_pixel']:.4f} on validation normals ({last['validation_pixel'] / last['pixel']:.2f} times "
        f"as much); validation went from {first['validation_pixel']:.4f} to its lowest, "
        f"{log['validation_pixel'].min():.4f}, in epoch {log.loc[log['validation_pixel'].idxmin(), 'epoch']:.0f}."
    )
    if "dead_items" in log:
        text += (
            f" The memory is in use: {last['perplexity']:.1f} effective items, {last['dead_items']:.0f} never nearest."
        )
    return text


def draw_training(inputs: Inputs, folder: Path) -> Drawn:
    """Loss terms over epochs."""
    log = read_log(inputs.stored(f"{FOLDER}/log.jsonl"))
    plot_losses(folder / "synthetic" / "training.png", log, FORMATS)
    shows = (
        "Loss terms of MNAD over the epochs, unweighted, on a logarithmic axis: pixel error in training (solid, dots) "
        "and on the validation normals (dashed, squares), compactness (triangles up) and separateness (triangles "
        "down) of the memory. One column wide (3.3 in)."
    )
    return Drawn({"synthetic/training": Caption("Training curves", shows, run_origin(inputs), conclusion(log))})
