"""Pictures beside what a model makes of them."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from mnad.report.plotting import TWO_COLUMNS, save_figure, style


@dataclass
class Rebuilt:
    """One picture as a detector sees it.

    Attributes:
        photograph: H x W x 3 uint8, of any size.
        output: h x w x 3 uint8, what the model rebuilds; None for features, which cannot be shown.
        error: h x w anomaly map.
        group: what it is, over the columns of its group.
        text: over its column.
    """

    photograph: np.ndarray
    output: np.ndarray | None
    error: np.ndarray
    group: str
    text: str


def plot_reconstructions(path: Path, panels: list[Rebuilt]) -> list[Path]:
    """A column for each of ``panels`` (at least one): input, reconstruction where there is one, anomaly map. Two
    columns wide."""
    top = max(float(np.quantile(np.stack([panel.error for panel in panels]), 0.995)), 1e-12)
    scale = Normalize(0, top)
    shape = panels[0].error.shape
    names = ["input", "anomaly map"] if panels[0].output is None else ["input", "rebuilt", "anomaly map"]
    rows = len(names)
    width = TWO_COLUMNS * 0.9 / max(len(panels), 4)
    with style():
        figure, axes = plt.subplots(
            rows, len(panels), figsize=(TWO_COLUMNS, rows * width * shape[0] / shape[1] + 0.75), squeeze=False,
            layout="constrained",
        )  # fmt: skip
        figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0.02, hspace=0.02)
        for column, panel in zip(axes.T, panels, strict=True):
            pictures = [panel.photograph] if panel.output is None else [panel.photograph, panel.output]
            for place, picture in zip(column[:-1], pictures, strict=True):
                place.imshow(picture, interpolation="none", aspect="auto")
            column[-1].imshow(panel.error, cmap="cividis", norm=scale, interpolation="none", aspect="auto")
            for place in column:
                place.set(xticks=[], yticks=[])
                place.spines[:].set_visible(False)
                place.set_box_aspect(shape[0] / shape[1])
            column[0].set_title(f"{panel.group}\n{panel.text}", fontsize=6.5)
        for place, name in zip(axes[:, 0], names, strict=True):
            place.set_ylabel(name, fontsize=7)
        bar = figure.colorbar(ScalarMappable(scale, "cividis"), ax=axes, aspect=25, pad=0.01, extend="max")
        bar.ax.tick_params(labelsize=6)
        return save_figure(figure, path)
