"""How the cost of scoring grows, from a stored result of ``scripts/benchmark.py growth``."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from figures.entry import Drawn, Inputs, origin
from mnad.report.caption import Caption
from mnad.report.plotting import FORMATS, PALETTE, TWO_COLUMNS, save_figure, style
from mnad.run.files import read_json

FIGURE = "scale/growth"
PANELS = {"images": "photographs", "pixels": "pixels of an image", "width": "width", "items": "memory items"}


def plot_growth(path: Path, growth: dict[str, Any]) -> None:
    """One panel for each quantity, both axes logarithmic; dots: measured, line: ``a x^k``."""
    with style():
        figure, panels = plt.subplots(1, len(PANELS), figsize=(TWO_COLUMNS, 2.1))
        for axes, (name, label), colour in zip(panels, PANELS.items(), PALETTE, strict=False):
            row = growth[name]
            x, y = np.array(row["x"]), np.array(row["y"])
            line = np.exp(np.log(y).mean() + row["exponent"] * (np.log(x) - np.log(x).mean()))
            axes.plot(x, line, "-", color="#999999")
            axes.plot(x, y, "o", color=colour, markersize=4)
            axes.set(xscale="log", yscale="log", xlabel=label, ylabel=row["unit"].replace(" of", "\nof"))
            axes.set_title(f"exponent {row['exponent']:.2f}")
            axes.set_ylim(y.min() / 2, y.max() * 2)
            axes.minorticks_off()
            axes.set_xticks(x, [f"{value:,.0f}" for value in x], rotation=30)
            axes.set_yticks([y[0], y[-1]], [f"{value:.2g}" for value in (y[0], y[-1])])
        figure.tight_layout()
        save_figure(figure, path, FORMATS)


def draw_growth(inputs: Inputs, folder: Path) -> Drawn:
    """The stored ``scale/growth.json``."""
    source = inputs.stored(f"{FIGURE}.json")
    found = read_json(source, "a result of scripts/benchmark.py growth")
    plot_growth(folder / f"{FIGURE}.png", found["growth"])
    shows = (
        "Cost of scoring with the shipped detector `wells` (32 x 48 pixels, width 8, 10 items) when one of these "
        "grows: seconds of the processor for so many photographs from file to verdict, then its milliseconds for one "
        "image from pixels to verdict. Dots: measured; line: the power law with the exponent above. Both axes are "
        "logarithmic. Two columns wide (6.9 in)."
    )
    told = f"{origin(source.parent)} Processor: {found['processor']}, {found['threads']} threads."
    return Drawn({FIGURE: Caption("How the cost of scoring grows", shows, told, inputs.conclusion(FIGURE))})
