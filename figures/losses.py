"""Training curves of the stored run."""

from pathlib import Path

from figures.entry import Drawn, Inputs
from figures.stored_run import FOLDER, run_origin
from mnad.report.caption import Caption
from mnad.report.plots import plot_losses
from mnad.report.plotting import FORMATS
from mnad.run.files import read_log


def draw_training(inputs: Inputs, folder: Path) -> Drawn:
    """Loss terms over epochs."""
    log = read_log(inputs.stored(f"{FOLDER}/log.jsonl"))
    plot_losses(folder / "synthetic" / "training.png", log, FORMATS)
    shows = (
        "Loss terms of MNAD over the epochs, unweighted, on a logarithmic axis: pixel error in training (solid, dots) "
        "and on the validation normals (dashed, squares), compactness (triangles up) and separateness (triangles "
        "down) of the memory. One column wide (3.3 in)."
    )
    name = "synthetic/training"
    return Drawn({name: Caption("Training curves", shows, run_origin(inputs), inputs.conclusion(name))})
