"""Where queries leave the bank, as a figure of numbers: one map of the positions for each kind of image."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mnad.latent.bank import Bank
from mnad.report.plotting import FORMATS, TWO_COLUMNS, save_figure, style

MOST = 12  # kinds shown; of more, those with the most queries beyond


def plot_bank(path: Path, bank: Bank, table: pd.DataFrame, kind: str, grid: tuple[int, int]) -> list[Path]:
    """Share of the queries of each kind that have left the bank, at each position (colour, one scale), and the mean.

    Args:
        table: N rows with ``group`` and the column ``kind``.
        grid: (H', W') of the positions.
    """
    left, kinds = bank.left(table["group"].to_numpy()), table[kind].astype(str).to_numpy()
    shares = {name: left[kinds == name].mean(axis=0) for name in np.unique(kinds)}
    names = sorted(shares, key=lambda name: shares[name].mean())[-MOST:]
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    most = max(float(shares[name].max()) for name in names) or 1.0
    with style():
        figure, axes = plt.subplots(
            rows, columns, figsize=(TWO_COLUMNS, 0.5 + 1.35 * rows), squeeze=False, layout="constrained"
        )
        for axis, name in zip(axes.flat, names, strict=False):
            image = axis.imshow(shares[name].reshape(grid), vmin=0, vmax=most, cmap="cividis")
            axis.set_title(f"{name}: {shares[name].mean():.1%}", fontsize=7)
        for axis in axes.flat:
            axis.set_axis_off()
        bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=30)
        bar.set_label("share beyond the limit")
        return save_figure(figure, path, FORMATS)
