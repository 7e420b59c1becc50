"""Static figures, two columns wide, PNG and PDF."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mnad.latent import scatter
from mnad.latent.collect import Latent, Level
from mnad.latent.embed import METHODS
from mnad.report.plotting import FORMATS, TWO_COLUMNS, literal, save_figure, style

MAX_ITEMS = 12  # panels of attention side by side
MAX_KINDS = 23  # entries of a legend
MAX_CLUSTERS = 12  # columns of the table of kinds


def item_bar(figure: Figure, place: Axes, count: int) -> None:
    """Colour key of ``count`` items, numbered as far as there is room."""
    step = -(-count // 10)
    bar = figure.colorbar(scatter.item_scale(count).mappable, cax=place, orientation="horizontal")
    bar.set_ticks(np.arange(0, count, step), labels=[str(i) for i in range(0, count, step)])
    bar.ax.tick_params(length=0, labelsize=6)
    bar.ax.minorticks_off()


def scale_bar(figure: Figure, place: Axes, scale: scatter.Scale) -> None:
    """Colour key of numbers."""
    bar = figure.colorbar(scale.mappable, cax=place, orientation="horizontal", extend=scale.extend)
    bar.ax.tick_params(labelsize=6)
    bar.ax.locator_params(nbins=4)


def position_key(place: Axes, grid: tuple[int, int]) -> None:
    """A small well whose cells have the colours of the positions."""
    rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    place.imshow(scatter.position_colours(rows, columns, grid).reshape(*grid, 3), aspect="equal")
    place.axis("off")


def legend(place: Axes, handles: list[Line2D], columns: int) -> None:
    """Legend in an axes of its own."""
    place.axis("off")
    place.legend(
        handles=handles, loc="upper center", ncols=columns, fontsize=5.5, handletextpad=0.1, columnspacing=0.6,
        borderaxespad=0, labelspacing=0.3,
    )  # fmt: skip


def split_axes(place: Axes, height: float, y: float) -> Axes:
    """A flat axes inside ``place``, for a colour key."""
    place.axis("off")
    return place.inset_axes([0.05, y, 0.9, height])


@dataclass
class Column:
    """One way to colour the points: title, how to draw them in a panel, how to draw the key below."""

    title: str
    draw: Callable[[Axes, np.ndarray], None]
    key: Callable[[Axes], None]


def item_column(figure: Figure, table: pd.DataFrame, count: int) -> Column:
    """Nearest item of ``count``."""
    colours = scatter.item_scale(count)(table["item"].to_numpy())
    return Column(
        "nearest item",
        lambda panel, xy: scatter.points(panel, xy, colours),
        lambda place: item_bar(figure, split_axes(place, 0.14, 0.8), count),
    )


def group_column(table: pd.DataFrame, latent: Latent, anomaly: str) -> Column:
    """Training, normal, anomalous; the key also tells what the marks of the memory are."""
    groups = table["group"].to_numpy()
    handles = scatter.group_handles(anomaly, set(groups))
    handles += scatter.memory_handles() if latent.items is not None else []
    return Column(
        f"train, normal, {anomaly}",
        lambda panel, xy: scatter.draw_groups(panel, xy, groups),
        lambda place: legend(place, handles, 2),
    )


def score_column(figure: Figure, table: pd.DataFrame) -> Column:
    """Anomaly score of the image."""
    scale = scatter.score_scale(table["score"].to_numpy())
    colours = scale(table["score"].to_numpy())
    return Column(
        "anomaly score",
        lambda panel, xy: scatter.points(panel, xy, colours),
        lambda place: scale_bar(figure, split_axes(place, 0.14, 0.8), scale),
    )


def cluster_column(table: pd.DataFrame, anomaly: str) -> Column:
    """HDBSCAN cluster; the key reads each as its share of anomalies."""
    clusters = table["cluster"].to_numpy()
    styles = scatter.cluster_styles(clusters)
    handles = scatter.cluster_handles(clusters, table["label"].to_numpy(), anomaly, styles)
    return Column(
        "HDBSCAN cluster",
        lambda panel, xy: scatter.draw_clusters(panel, xy, clusters, styles),
        lambda place: legend(place, handles, 1),
    )


def position_column(table: pd.DataFrame, grid: tuple[int, int]) -> Column:
    """Where in the image the query is."""
    colours = scatter.position_colours(table["row"].to_numpy(), table["column"].to_numpy(), grid)
    return Column(
        "position in the image",
        lambda panel, xy: scatter.points(panel, xy, colours),
        lambda place: position_key(split_axes(place, 0.9, 0.1), grid),
    )


def kind_column(table: pd.DataFrame, name: str) -> Column:
    """Kind or video."""
    kinds = table[name].to_numpy()
    styles = scatter.kind_styles(kinds)
    shown = list(styles.items())[:MAX_KINDS]
    handles = [
        Line2D([], [], linestyle="", color=colour, marker=marker, markersize=3, label=literal(kind))
        for kind, (colour, marker) in shown
    ]
    if len(shown) < len(styles):
        handles.append(Line2D([], [], linestyle="", label=f"and {len(styles) - len(shown)} more"))
    wide = max(len(kind) for kind, _ in shown) > 9
    return Column(
        name,
        lambda panel, xy: scatter.draw_kinds(panel, xy, kinds, styles),
        lambda place: legend(place, handles, 1 if wide and len(handles) <= 10 else 2),
    )


def plot_level(path: Path, latent: Latent, level: Level, last: str, anomaly: str, seed: int) -> list[Path]:
    """One row for each method; columns: nearest item (with a memory), group, score, cluster and ``last``.

    Args:
        last: column of the table for the last panel: ``position``, ``kind`` or ``video``.
    """
    order = scatter.shuffled(level, seed)
    table = level.table.iloc[order].reset_index(drop=True)
    with style():
        figure = plt.figure(figsize=(TWO_COLUMNS, 5.7), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
        columns = [] if latent.items is None else [item_column(figure, table, len(latent.items))]
        columns += [
            group_column(table, latent, anomaly),
            score_column(figure, table),
            cluster_column(table, anomaly),
            position_column(table, latent.grid) if last == "position" else kind_column(table, last),
        ]
        axes = figure.subplots(4, len(columns), height_ratios=[1, 1, 1, 0.55])
        for row, (method, name) in enumerate(METHODS.items()):
            maps = level.maps[method]
            axes[row, 0].set_ylabel(name)
            for number, (panel, column) in enumerate(zip(axes[row], columns, strict=True)):
                scatter.frame(panel, maps)
                column.draw(panel, maps["queries"][order])
                scatter.draw_memory(panel, latent, maps, labels=number == 0)
        for number, column in enumerate(columns):
            axes[0, number].set_title(column.title, fontsize=7)
            column.key(axes[3, number])
        return save_figure(figure, path, FORMATS)


def plot_items(path: Path, latent: Latent, anomaly: str) -> list[Path]:
    """Where in the image each item is read: attention averaged over normals, over anomalies, and the difference.

    Normals are those of the test set if there are any, else the training images. Lighter is more in every row, so
    the difference reads in grey too.
    """
    base = "normal" if "normal" in latent.attention else "train"
    order = np.argsort(-latent.counts, kind="stable")
    shown = np.sort(order[:MAX_ITEMS])
    rows = {name: latent.attention.get(group) for name, group in ((base, base), (anomaly, "anomaly"))}
    rows = {name: maps[shown] for name, maps in rows.items() if maps is not None}
    usage = latent.counts / max(latent.counts.sum(), 1)
    both = np.stack(list(rows.values()))
    high = min(TWO_COLUMNS * 0.86 / len(shown) * latent.grid[0] / latent.grid[1], 1.6) + 0.12  # inches of a row
    count = len(rows) + (len(rows) == 2)
    with style():
        figure, axes = plt.subplots(
            count, len(shown), figsize=(TWO_COLUMNS, max(count * high, 0.62 * count) + 0.4),
            squeeze=False, layout="constrained",
        )  # fmt: skip
        figure.get_layout_engine().set(w_pad=0.01, h_pad=0.02, wspace=0.03, hspace=0.02)
        level = ScalarMappable(Normalize(both.min(), max(both.max(), both.min() + 1e-9)), "cividis")
        scales = {name: (maps, level) for name, maps in rows.items()}
        if len(rows) == 2:
            change = both[1] - both[0]
            most = max(float(np.abs(change).max()), 1e-9)
            scales["difference"] = (change, ScalarMappable(Normalize(-most, most), "cividis"))
        for row, (name, (maps, scale)) in enumerate(scales.items()):
            axes[row, 0].set_ylabel(f"{anomaly} − {base}" if name == "difference" else name)
            for column, one in enumerate(maps):
                axes[row, column].imshow(one, cmap=scale.cmap, norm=scale.norm)
                axes[row, column].set(xticks=[], yticks=[])
                axes[row, column].spines[:].set_visible(False)
        for column, item in enumerate(shown):
            axes[0, column].set_title(f"item {item}\n{usage[item]:.1%}", fontsize=6.5)
        bar = figure.colorbar(level, ax=axes[: len(rows)], label="attention", aspect=14, pad=0.01)
        bar.ax.tick_params(labelsize=6)
        if len(rows) == 2:
            bar = figure.colorbar(scales["difference"][1], ax=axes[2:], label="change", aspect=7, pad=0.01)
            bar.ax.tick_params(labelsize=6)
            bar.ax.locator_params(nbins=3)
        if len(shown) < len(usage):
            figure.supxlabel(f"the {len(shown)} most used of {len(usage)} items", fontsize=7)
        return save_figure(figure, path, FORMATS)


def shares(table: pd.DataFrame, kind: str, by: str) -> pd.DataFrame:
    """Share of each kind's points in each group of ``by``; rows sum to 1."""
    return pd.crosstab(table[kind], table[by], normalize="index")


def plot_kinds(path: Path, levels: dict[str, Level], kind: str, by: str) -> list[Path]:
    """Which ``by`` (nearest item, or cluster) the points of each kind are in: images left, positions right."""
    with style():
        figure, axes = plt.subplots(1, len(levels), figsize=(TWO_COLUMNS, 3.0), layout="constrained", sharey=True)
        for panel, (name, level) in zip(axes, levels.items(), strict=True):
            table = shares(level.table, kind, by)
            table = table[table.sum().sort_values(ascending=False, kind="stable").index[:MAX_CLUSTERS]].sort_index(
                axis=1
            )
            percent = 100 * table.rename(columns={-1: "none"})
            seaborn.heatmap(
                percent, vmin=0, vmax=100, cmap="cividis", cbar=False, ax=panel, xticklabels=True, yticklabels=True,
                annot=percent.map("{:.0f}".format).replace("0", ""), fmt="", annot_kws={"fontsize": 5.5},
            )  # fmt: skip
            panel.set(title=name, xlabel="nearest item" if by == "item" else "HDBSCAN cluster", ylabel="")
        bar = figure.colorbar(panel.collections[0], ax=axes, pad=0.01, aspect=25)
        bar.set_label(f"share of the {kind}'s points, percent")
        return save_figure(figure, path, FORMATS)


def number(value: float | None) -> str:
    """Two decimals, or ``–`` for a number that is not defined."""
    return "–" if value is None else f"{value:.2f}"


def plot_compare(path: Path, models: dict[str, tuple[Latent, dict]], anomaly: str) -> list[Path]:
    """Images of several models side by side: a row for each, a column for each method, coloured by group.

    Args:
        models: name -> (latent, its numbers of the level ``images``).
    """
    with style():
        figure, axes = plt.subplots(
            len(models), len(METHODS), figsize=(TWO_COLUMNS, 2.2 * len(models) + 0.4), layout="constrained",
            squeeze=False,
        )  # fmt: skip
        present: set[str] = set()
        for row, (name, (latent, numbers)) in enumerate(models.items()):
            level = latent.levels["images"]
            present |= set(level.table["group"])
            silhouette, purity = number(numbers["silhouette"]["label"]), number(numbers["anomaly_purity"])
            axes[row, 0].set_ylabel(f"{name}\nsilhouette {silhouette}, purity {purity}")
            for panel, (method, title) in zip(axes[row], METHODS.items(), strict=True):
                scatter.frame(panel, level.maps[method])
                scatter.draw_groups(panel, level.maps[method]["queries"], level.table["group"].to_numpy())
                scatter.draw_memory(panel, latent, level.maps[method])
                panel.set_title(f"{title}, trustworthiness {number(numbers['trustworthiness'][method])}")
        handles = scatter.group_handles(anomaly, present)
        if any(latent.items is not None for latent, _ in models.values()):
            handles += scatter.memory_handles()
        figure.legend(handles=handles, loc="outside lower center", ncols=5)
        return save_figure(figure, path, FORMATS)
