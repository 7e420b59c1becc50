"""Scatter panels of a map: points coloured by one column, reads as crosses, items as stars with usage as size."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Normalize
from matplotlib.lines import Line2D

from mnad.latent.clusters import reading
from mnad.latent.collect import Latent, Level
from mnad.report.plotting import ANOMALOUS, EMPTY, NORMAL, PALETTE, TRAIN

# Light, middle and dark, each with its own marker: told apart in grey.
GROUP_STYLES = {"train": (TRAIN, "."), "normal": (NORMAL, "."), "anomaly": (ANOMALOUS, "x")}
MARKERS = "osv^D<>Ph*Xd"
READ, FURTHER, NO_CLUSTER = "#444444", "#777777", "#D8D8D8"


@dataclass
class Scale:
    """Colour of a numeric column: one colour map whose lightness rises, so that it reads in grey."""

    mappable: ScalarMappable
    extend: str = "neither"

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """N numbers -> N x 4 colours, RGBA from 0 to 1."""
        return self.mappable.to_rgba(values)


def score_scale(values: np.ndarray) -> Scale:
    """From the 1 % to the 99 % quantile; what lies beyond has the end colour."""
    low, high = np.quantile(values, [0.01, 0.99])
    return Scale(ScalarMappable(Normalize(low, high if high > low else low + 1), "cividis"), "both")


def item_scale(count: int) -> Scale:
    """One step of the colour map for each of ``count`` items."""
    return Scale(ScalarMappable(BoundaryNorm(np.arange(count + 1) - 0.5, 256), "viridis"))


def position_colours(rows: np.ndarray, columns: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """RGB of positions in an image: lighter from top to bottom, from blue on the left to orange on the right."""
    down = (np.asarray(rows) + 0.5) / grid[0]
    across = ((np.asarray(columns) + 0.5) / grid[1])[:, None]
    blue, orange = np.array([0.0, 0.35, 0.85]), np.array([0.85, 0.40, 0.0])
    hue = blue + (orange - blue) * across
    light = (0.4 + 0.8 * down)[:, None]
    return np.clip(np.where(light < 1, hue * light, hue + (1 - hue) * (light - 1) * 3), 0, 1)


def kind_styles(kinds: np.ndarray) -> dict[str, tuple[str, str]]:
    """Kind -> (colour, marker), both different for the first eight or so, by falling frequency."""
    names, sizes = np.unique(kinds.astype(str), return_counts=True)
    order = names[np.argsort(-sizes, kind="stable")]
    return {str(k): (PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]) for i, k in enumerate(order)}


def cluster_styles(clusters: np.ndarray) -> dict[int, tuple[str, str]]:
    """Cluster -> (colour, marker) of the first eight, which are the largest; further ones share a dark grey, and -1,
    no cluster, is light grey."""
    return {
        int(c): (NO_CLUSTER, ".") if c < 0 else (PALETTE[c], MARKERS[c]) if c < len(PALETTE) else (FURTHER, ".")
        for c in np.unique(clusters)
    }


def limits(maps: dict[str, np.ndarray]) -> np.ndarray:
    """[[x low, y low], [x high, y high]] around the 0.1 % to 99.9 % quantiles of the queries and every item."""
    low, high = np.quantile(maps["queries"], [0.001, 0.999], axis=0)
    if "items" in maps:
        low, high = np.minimum(low, maps["items"].min(axis=0)), np.maximum(high, maps["items"].max(axis=0))
        # reads lie between the items or on an island of their own: their bulk is shown
        reads = np.quantile(maps["reads"], [0.05, 0.95], axis=0)
        low, high = np.minimum(low, reads[0]), np.maximum(high, reads[1])
    margin = 0.06 * np.maximum(high - low, 1e-9)
    return np.stack([low - margin, high + margin])


def frame(axes: Axes, maps: dict[str, np.ndarray]) -> None:
    """Limits of the map, no ticks: distances on the axes of t-SNE and UMAP have no unit."""
    low, high = limits(maps)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
    axes.spines[["top", "right"]].set_visible(True)
    axes.spines[:].set_linewidth(0.5)


def points(axes: Axes, xy: np.ndarray, colours: object, marker: str = ".", size: float = 3) -> None:
    """Small markers, kept as pixels inside a PDF so that it stays small."""
    axes.scatter(
        *xy.T, s=size * (2 if marker == "." else 1), c=colours, marker=marker, linewidths=0.4 if marker == "x" else 0,
        rasterized=True,
    )  # fmt: skip


def draw_groups(axes: Axes, xy: np.ndarray, groups: np.ndarray) -> None:
    """Training below, normals above it, anomalies on top."""
    for group, (colour, marker) in GROUP_STYLES.items():
        points(axes, xy[groups == group], colour, marker, 3 if marker == "." else 7)


def draw_kinds(axes: Axes, xy: np.ndarray, kinds: np.ndarray, styles: dict[str, tuple[str, str]]) -> None:
    """Each kind with its colour and marker, the rarest on top."""
    for kind, (colour, marker) in styles.items():
        points(axes, xy[kinds == kind], colour, marker, 5)


def draw_clusters(axes: Axes, xy: np.ndarray, clusters: np.ndarray, styles: dict[int, tuple[str, str]]) -> None:
    """Each cluster with its colour and marker; what is in none lies below."""
    for cluster, (colour, marker) in styles.items():
        points(axes, xy[clusters == cluster], colour, marker, 5 if cluster >= 0 else 3)


def cluster_handles(
    clusters: np.ndarray, labels: np.ndarray, anomaly: str, styles: dict[int, tuple[str, str]]
) -> list[Line2D]:
    """Legend entries of the clusters, each with its share of anomalies, see :func:`mnad.latent.clusters.reading`."""
    shown = [c for c in styles if 0 <= c < len(PALETTE)]
    texts = {c: reading(c, float(labels[clusters == c].mean()), anomaly) for c in shown}
    if max(styles) >= len(PALETTE):
        texts[len(PALETTE)] = f"{max(styles) + 1 - len(PALETTE)} smaller ones"
    if -1 in styles:
        texts[-1] = "in no cluster"
    return [
        Line2D([], [], linestyle="", color=styles[c][0], marker=styles[c][1], markersize=3, label=text)
        for c, text in texts.items()
    ]


def draw_memory(axes: Axes, latent: Latent, maps: dict[str, np.ndarray], labels: bool = True) -> None:
    """Reads as small crosses; items as stars, area by usage, hollow when dead; numbers where there is room."""
    if latent.items is None:
        return
    axes.scatter(*maps["reads"].T, s=4, c=READ, marker="+", linewidths=0.3, rasterized=True)
    usage = latent.counts / max(latent.counts.sum(), 1)
    colours = item_scale(len(usage))(np.arange(len(usage)))
    colours[usage == 0] = 1  # hollow
    axes.scatter(*maps["items"].T, s=20 + 150 * usage, c=colours, marker="*", edgecolors="k", linewidths=0.6, zorder=3)
    if labels:
        number_items(axes, maps["items"], usage)


def number_items(axes: Axes, xy: np.ndarray, usage: np.ndarray) -> None:
    """Number the items, the most used first; one that would cover another number stays without."""
    size = np.diff([axes.get_xlim(), axes.get_ylim()], axis=1)[:, 0]
    placed: list[np.ndarray] = []
    for item in np.argsort(-usage, kind="stable"):
        spot = (xy[item] - [axes.get_xlim()[0], axes.get_ylim()[0]]) / size
        if all(np.any(np.abs(spot - other) > (0.11, 0.1)) for other in placed):
            placed.append(spot)
            right = spot[0] < 0.88
            axes.annotate(
                str(item), xy[item], (4 if right else -4, 2), textcoords="offset points", fontsize=6,
                ha="left" if right else "right", zorder=4,
                bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75},
            )  # fmt: skip


def group_handles(anomaly: str, present: set[str]) -> list[Line2D]:
    """Legend entries of the groups."""
    names = {"train": "train", "normal": "normal", "anomaly": anomaly}
    return [
        Line2D([], [], linestyle="", color=colour, marker=marker, markersize=5, label=names[group])
        for group, (colour, marker) in GROUP_STYLES.items()
        if group in present
    ]


def memory_handles() -> list[Line2D]:
    """Legend entries of items and reads."""
    star = Line2D([], [], linestyle="", color="white", marker="*", markeredgecolor=EMPTY, markersize=8, label="item")
    return [star, Line2D([], [], linestyle="", color=READ, marker="+", markersize=5, label="read")]


def shuffled(level: Level, seed: int) -> np.ndarray:
    """An order in which no group always lies on top."""
    return np.random.default_rng(seed).permutation(len(level.table))
