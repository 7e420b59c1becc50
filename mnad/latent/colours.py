"""Colours of the interactive page: for each column one colour per point, and a key in HTML."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex

from mnad.latent.clusters import reading
from mnad.latent.scatter import GROUP_STYLES
from mnad.report.plotting import PALETTE

TITLES = {
    "group": "group", "item": "nearest item", "cluster": "HDBSCAN cluster", "kind": "kind", "set": "set",
    "video": "video", "frame": "frame", "score": "anomaly score", "error": "squared error",
    "distance": "distance to the item", "row": "row in the image", "column": "column in the image",
}  # fmt: skip
NUMBERED = ("item", "cluster")  # numbers that are names
MAX_KEYS = 30  # entries of a key; further categories have a colour but no entry


@dataclass
class Colouring:
    """One choice of the colour-by selector."""

    name: str  # column
    title: str
    colours: np.ndarray  # N strings, #rrggbb
    key: str  # HTML


def sampled(name: str, count: int) -> list[str]:
    """``count`` colours along a colour map."""
    return [to_hex(c) for c in colormaps[name](np.linspace(0, 1, max(count, 2)))]


def by_category(
    values: np.ndarray, name: str, anomaly: str, readings: Mapping[int, str] | None = None
) -> tuple[np.ndarray, str]:
    """Colours and key of names or numbered categories; -1 is ``none``, in grey. ``readings`` say more of some."""
    names = sorted(set(values.tolist()))
    chosen: dict[object, str]
    if name == "group":
        chosen = {g: GROUP_STYLES[g][0] for g in names}
    elif name in NUMBERED or len(names) > len(PALETTE):
        chosen = dict(zip(names, sampled("viridis" if name in NUMBERED else "turbo", len(names)), strict=False))
    else:
        chosen = dict(zip(names, PALETTE, strict=False))
    if -1 in chosen:
        chosen[-1] = "#cccccc"
    readings = readings or {}
    shown: dict[object, str] = {"anomaly": anomaly, -1: "none"}
    entries = [
        f'<span style="white-space:nowrap"><span style="color:{chosen[n]}">&#9679;</span> {text}</span>'
        for n, text in ((n, escape(str(readings.get(n, shown.get(n, n))))) for n in names[:MAX_KEYS])
    ]
    if len(names) > MAX_KEYS:
        entries.append(f"and {len(names) - MAX_KEYS} more")
    return np.array([chosen[v] for v in values.tolist()]), " &nbsp; ".join(entries)


def by_number(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Colours and key of numbers, from the 1 % to the 99 % quantile."""
    low, high = np.quantile(values, [0.01, 0.99])
    steps = np.clip((values - low) / (high - low if high > low else 1), 0, 1)
    palette = np.array(sampled("cividis", 256))
    gradient = ", ".join(palette[::32])
    bar = f'<span style="display:inline-block;width:120px;height:10px;background:linear-gradient(90deg,{gradient})">'
    return palette[np.rint(steps * 255).astype(int)], f"{low:.3g} {bar}</span> {high:.3g}"


def colourings(table: pd.DataFrame, anomaly: str) -> list[Colouring]:
    """Every choice that ``table`` has a column for."""
    choices = []
    for name, title in TITLES.items():
        if name not in table:
            continue
        values = table[name].to_numpy()
        numeric = name not in NUMBERED and np.issubdtype(values.dtype, np.number)
        shares = table.groupby("cluster")["label"].mean() if name == "cluster" else {}
        readings = {c: reading(c, share, anomaly) for c, share in shares.items() if c >= 0}
        colours, key = by_number(values.astype(float)) if numeric else by_category(values, name, anomaly, readings)
        choices.append(Colouring(name, title, colours, key))
    return choices
