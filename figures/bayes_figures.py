"""Figures of the two generators, in the project's style; each function returns the figure, unsaved."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayes.notation import scientific
from bayes.style_generator import StyleGenerator
from mnad.report.plotting import COLUMN, PALETTE, TWO_COLUMNS, style


def plot_styles(table: pd.DataFrame, pictures: Sequence[np.ndarray]) -> Figure:
    """One column per generated style: its picture (H, W, 4), its values and its probability.

    Args:
        table: rows of ``StyleGenerator.sample``.
        pictures: as many pictures from ``render``.
    """
    categories = table.columns.drop(["probability", "log_probability"])
    with style():
        figure, axes = plt.subplots(1, len(table), figsize=(TWO_COLUMNS, 2.5), squeeze=False, layout="constrained")
        for axis, picture, (_, row) in zip(axes[0], pictures, table.iterrows(), strict=True):
            axis.imshow(picture)
            caption(axis, [*row[categories], *probability_lines(row["log_probability"])])
    return figure


def plot_avatars(rows: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """One row per way of sampling: its title, its images and, below each, its probability.

    Args:
        rows: title to images (n, H, W, 3) and their log probabilities (n,); n is the same in all rows.
    """
    n = max(len(images) for images, _ in rows.values())
    with style():
        figure = plt.figure(figsize=(TWO_COLUMNS, 2.0 * len(rows)), layout="constrained")
        subfigures = np.atleast_1d(figure.subfigures(len(rows), 1))
        for subfigure, (title, (images, log_probabilities)) in zip(subfigures, rows.items(), strict=True):
            subfigure.suptitle(title, fontsize=8)
            axes = subfigure.subplots(1, n, squeeze=False)[0]
            for axis, image, log_probability in zip(axes, images, log_probabilities, strict=True):
                axis.imshow(image, interpolation="nearest" if image.shape[1] < 200 else "antialiased")
                caption(axis, probability_lines(log_probability))
    return figure


def plot_distributions(generator: StyleGenerator) -> Figure:
    """The estimated probability of every value, one panel per category, at column width."""
    sizes = [len(values) for values in generator.values_.values()]
    with style():
        figure, axes = plt.subplots(
            len(sizes), 1, figsize=(COLUMN, 5.4), height_ratios=sizes, sharex=True, layout="constrained"
        )
        for axis, (category, probabilities) in zip(axes, generator.probabilities_.items(), strict=True):
            bars = axis.barh(generator.values_[category], probabilities, color=PALETTE[0], height=0.7)
            axis.bar_label(bars, fmt="%.2f", padding=2, fontsize=7)
            axis.set_title(category, loc="left", fontweight="bold")
            axis.invert_yaxis()
            axis.margins(y=0.02)
            axis.tick_params(axis="y", length=0)
        axes[-1].set(xlim=(0, 0.56), xlabel="probability")
    return figure


def plot_entropy(entropy: np.ndarray, n: int) -> Figure:
    """The entropy (H, W, C) in bits, averaged over the channels, of ``n`` avatars; at column width."""
    with style():
        figure, axis = plt.subplots(figsize=(COLUMN, 2.9), layout="constrained")
        picture = axis.imshow(entropy.mean(axis=2), vmin=0, interpolation="antialiased")
        axis.axis("off")
        bar = figure.colorbar(picture, ax=axis, shrink=0.9)
        bar.set_label(f"entropy of {n} avatars, bits per channel")
        bar.outline.set_visible(False)
    return figure


def caption(axis: Axes, lines: Sequence[str]) -> None:
    """Leave only the picture of ``axis``, with ``lines`` below it."""
    axis.set(xticks=[], yticks=[], anchor="N")
    axis.spines[:].set_visible(False)
    axis.set_xlabel("\n".join(lines), fontsize=7)


def probability_lines(log_probability: float) -> list[str]:
    """ln P, and P as a power of ten such as 1.20 x 10^(-264670), in mathematical text."""
    mantissa, _, exponent = scientific(log_probability).partition("e")
    power = f" \\cdot 10^{{{int(exponent)}}}" if exponent else ""
    return [f"$\\ln P = {log_probability:.2f}$", f"$P = {mantissa}{power}$"]
