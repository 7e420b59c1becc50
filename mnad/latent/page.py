"""The interactive page: one self-contained HTML file, drawn by bokeh, that opens offline."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.embed import file_html
from bokeh.layouts import column, row
from bokeh.models import (
    BoxSelectTool,
    ColumnDataSource,
    CustomJS,
    Div,
    HoverTool,
    LassoSelectTool,
    RadioButtonGroup,
    Range1d,
    Select,
)
from bokeh.plotting import figure
from bokeh.resources import INLINE

from mnad.latent.collect import Latent, Level
from mnad.latent.colours import Colouring, colourings
from mnad.latent.embed import METHODS
from mnad.latent.scatter import limits
from mnad.run.files import write_text

START = "umap"  # the map shown first
LISTED = 60  # selected images shown with their thumbnail

TOOLTIP = """
<div style="max-width:330px">
<img class="mnad-thumbnail" src="@thumbnail{safe}" style="width:%dpx;image-rendering:pixelated"/>
<div style="font-size:10px;color:#666;display:flex;justify-content:space-around;width:%dpx">%s</div>
<div style="word-break:break-all"><b>@file</b></div>
<div>%s</div></div>
"""


def tooltip(panels: Sequence[str], lines: str) -> str:
    """HTML that names the ``panels`` of a thumbnail below it, and then has ``lines``."""
    width = 108 * len(panels)
    return TOOLTIP % (width, width, "".join(f"<span>{name}</span>" for name in panels), lines)


# Thumbnails stand in the file once, for each image; every point gets a reference to the one of its image.
FILL_THUMBNAILS = """
for (const points of sources)
  points.data.thumbnail = Array.from(points.data.image, (i) => strips.data.uri[i])
"""

SHOW = """
const level = names[levels.active], method = methods[maps.active]
names.forEach((name, i) => {
  for (const renderer of renderers[i]) renderer.visible = name == level
  for (const source of moving[i]) {
    source.data.x = source.data[method + "_x"]
    source.data.y = source.data[method + "_y"]
    source.change.emit()
  }
})
const [x0, y0, x1, y1] = limits[level][method]
Object.assign(x_range, {reset_start: x0, reset_end: x1})
Object.assign(y_range, {reset_start: y0, reset_end: y1})
x_range.setv({start: x0, end: x1})
y_range.setv({start: y0, end: y1})
const choices = options[level]
if (colour.options != choices) colour.options = choices
if (!choices.some(([name]) => name == colour.value)) colour.value = choices[0][0]
const points = moving[levels.active][0]
points.data.colour = points.data["colour_" + colour.value]
points.change.emit()
key.text = keys[level][colour.value]
list.text = hint
"""

LIST = """
const escaped = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
const images = [...new Set(Array.from(points.selected.indices, (i) => points.data.image[i]))]
if (images.length == 0) { list.text = hint; return }
const first = new Map()
for (const i of points.selected.indices)
  if (!first.has(points.data.image[i])) first.set(points.data.image[i], i)
const anomalies = images.filter((image) => points.data.label[first.get(image)] == 1).length
const rows = images.slice(0, listed).map((image) => {
  const i = first.get(image)
  const told = `${escaped(points.data.file[i])}<br>${escaped(points.data.kind[i])}, ` +
    `score ${points.data.score[i].toPrecision(3)}`
  return `<div class="mnad-selected" style="display:flex;gap:6px;margin:3px 0">` +
    `<img src="${strips.data.uri[image]}" style="width:${width}px;image-rendering:pixelated">` +
    `<span style="font-size:11px;word-break:break-all">${told}</span></div>`
})
const more = images.length > listed ? `<p>the first ${listed} are shown</p>` : ""
const share = `${anomalies} ${anomaly} (${(100 * anomalies / images.length).toFixed(0)} %)`
list.text = `<b>${images.length} images selected, ${share}</b>${more}${rows.join("")}`
"""

HINT = "Select points with the lasso or the box: their images are listed here."


def coordinates(level: Level, part: str) -> dict[str, np.ndarray]:
    """Columns ``<method>_x`` and ``<method>_y`` for every method; ``x`` and ``y`` are those of the first shown."""
    found = {}
    for method in METHODS:
        found[f"{method}_x"], found[f"{method}_y"] = level.maps[method][part].astype(np.float32).T
    return found | {"x": found[f"{START}_x"], "y": found[f"{START}_y"]}


def points_source(level: Level, choices: list[Colouring], kind: str) -> ColumnDataSource:
    """Points with all that the hover, the list and the colours need."""
    table = level.table
    data: dict[str, Any] = coordinates(level, "queries")
    for name in table:
        values = table[name].to_numpy()
        if np.issubdtype(values.dtype, np.number):
            data[name] = values.astype(np.float32 if values.dtype.kind == "f" else np.int32)
        else:
            data[name] = list(map(str, values))
    data["kind"] = list(map(str, table[kind]))
    data |= {f"colour_{choice.name}": list(choice.colours) for choice in choices}
    data |= {"colour": data[f"colour_{choices[0].name}"], "thumbnail": [""] * len(table)}
    return ColumnDataSource(data)


def memory_sources(latent: Latent, level: Level) -> list[ColumnDataSource]:
    """Reads and items, in this order; empty without a memory."""
    if latent.items is None:
        return []
    usage = latent.counts / max(latent.counts.sum(), 1)
    about = {"item": np.arange(len(usage)), "usage": usage, "size": 12 + 40 * np.sqrt(usage)}
    return [
        ColumnDataSource(coordinates(level, "reads")),
        ColumnDataSource(coordinates(level, "items") | about | {"name": [str(i) for i in range(len(usage))]}),
    ]


def hover_lines(choices: list[Colouring]) -> str:
    """Text under the thumbnail: every column on offer with its value."""
    formats = {"score": "{0.000}", "error": "{0.0000}", "distance": "{0.000}"}
    return "<br>".join(f"{choice.title}: @{choice.name}{formats.get(choice.name, '')}" for choice in choices)


def write_page(path: Path, latent: Latent, kind: str, anomaly: str, title: str) -> Path:
    """Write the page.

    Args:
        kind: column of the table that the list of selected images names.
        anomaly: what an anomaly is called.
        title: of the page; any text.

    Raises:
        UserError: ``path`` cannot be written.
    """
    uris = ["data:image/jpeg;base64," + base64.b64encode(strip).decode() for strip in latent.strips]
    strips = ColumnDataSource({"uri": uris})
    names = list(latent.levels)
    choices = {name: colourings(level.table, anomaly) for name, level in latent.levels.items()}
    bounds = {n: {m: limits(level.maps[m]).ravel().tolist() for m in METHODS} for n, level in latent.levels.items()}
    x0, y0, x1, y1 = bounds[names[0]][START]
    plot = figure(
        width=860, height=680, x_range=Range1d(x0, x1), y_range=Range1d(y0, y1), name="map",
        tools="pan,wheel_zoom,box_zoom,reset,save", active_scroll="wheel_zoom",
    )  # fmt: skip
    plot.axis.visible = plot.grid.visible = False
    plot.toolbar.logo = None
    renderers, moving = [], []
    for index, (name, level) in enumerate(latent.levels.items()):
        points = points_source(level, choices[name], kind)
        cloud = plot.scatter(
            "x", "y", source=points, size=6, color="colour", alpha=0.8, nonselection_alpha=0.12, name=f"points {name}"
        )
        plot.add_tools(
            HoverTool(renderers=[cloud], tooltips=tooltip(latent.panels, hover_lines(choices[name])), limit=1)
        )
        drawn, sources = [cloud], [points]
        if memory := memory_sources(latent, level):
            reads, items = memory
            drawn.append(plot.scatter("x", "y", source=reads, marker="cross", size=5, color="#444444", alpha=0.5))
            stars = plot.scatter(
                "x",
                "y",
                source=items,
                marker="star",
                size="size",
                fill_color="white",
                fill_alpha=0.35,
                line_color="black",
                line_width=1.5,
            )
            drawn += [stars, plot.text("x", "y", "name", source=items, text_font_size="12px", x_offset=9)]
            plot.add_tools(HoverTool(renderers=[stars], tooltips="item @item, usage @usage{0.0%}"))
            sources += memory
        for renderer in drawn:
            renderer.visible = index == 0
        for extra in drawn[1:]:  # a lasso selects points only
            extra.nonselection_glyph = extra.selection_glyph = None
        renderers.append(drawn)
        moving.append(sources)
    clouds = [drawn[0] for drawn in renderers]
    plot.add_tools(LassoSelectTool(renderers=clouds), BoxSelectTool(renderers=clouds))
    levels = RadioButtonGroup(labels=[f"{n} ({len(latent.levels[n].table)})" for n in names], active=0, name="level")
    maps = RadioButtonGroup(labels=list(METHODS.values()), active=list(METHODS).index(START), name="method")
    first = choices[names[0]]
    options = {n: [(c.name, c.title) for c in chosen] for n, chosen in choices.items()}
    colour = Select(title="colour by", value=first[0].name, options=options[names[0]], name="colour", width=220)
    key = Div(text=first[0].key, width=860, disable_math=True)
    listing = Div(text=HINT, width=380, height=640, styles={"overflow-y": "auto"}, name="selected", disable_math=True)
    show = CustomJS(
        args={
            "names": names, "methods": list(METHODS), "levels": levels, "maps": maps, "colour": colour, "key": key,
            "keys": {n: {c.name: c.key for c in chosen} for n, chosen in choices.items()}, "options": options,
            "limits": bounds, "renderers": renderers, "moving": moving, "x_range": plot.x_range,
            "y_range": plot.y_range, "list": listing, "hint": HINT,
        },
        code=SHOW,
    )  # fmt: skip
    levels.js_on_change("active", show)
    maps.js_on_change("active", show)
    colour.js_on_change("value", show)
    for sources in moving:
        arguments = {"points": sources[0], "strips": strips, "list": listing, "hint": HINT}
        arguments |= {"width": 50 * len(latent.panels)}
        listen = CustomJS(args=arguments | {"listed": LISTED, "anomaly": anomaly}, code=LIST)
        sources[0].selected.js_on_change("indices", listen)
    heading = Div(text=f"<h2 style='margin:0'>{escape(title)}</h2>", disable_math=True)
    whole = column(heading, row(levels, maps, colour), key, row(plot, listing))
    fill = CustomJS(args={"sources": [sources[0] for sources in moving], "strips": strips}, code=FILL_THUMBNAILS)
    document = Document()
    document.add_root(whole)
    document.js_on_event("document_ready", fill)
    write_text(path, file_html(document, INLINE, title))
    return path
