"""The interactive page in a real browser: quiet, offline, with thumbnails, colours and selection that work."""

from collections.abc import Iterator
from pathlib import Path

import chromium
import numpy as np
import pytest
from made_up_latent import NASTY, made_up

from mnad.latent.page import tooltip, write_page

needs_chromium = pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed")

DOCUMENT = "Bokeh.documents[0]"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return write_page(folder / "latent.html", made_up(), "kind", "spill", "Wells <b>& others")


@pytest.fixture(scope="module")
def browser(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    with chromium.Chromium(tmp_path_factory.mktemp("profile")) as started:
        started.open(page)
        started.wait(lambda: started.run("Bokeh.documents.length == 1 && Bokeh.documents[0].is_idle"), "bokeh")
        yield started


def test_a_thumbnail_names_what_it_shows() -> None:
    both = tooltip(("image", "reconstruction", "error"), "score"), tooltip(("image", "error"), "score")
    assert "width:324px" in both[0] and "<span>reconstruction</span>" in both[0]
    assert "width:216px" in both[1] and "<span>image</span><span>error</span></div>" in both[1]


def set_widget(browser: chromium.Chromium, name: str, key: str, value: object) -> None:
    browser.run(f"{DOCUMENT}.get_model_by_name('{name}').{key} = {value!r}; null")


def points(browser: chromium.Chromium, level: str, column: str) -> list:
    return browser.run(f"Array.from({DOCUMENT}.get_model_by_name('points {level}').data_source.data.{column})")


def on_screen(browser: chromium.Chromium, level: str, index: int) -> tuple[float, float]:
    """Window coordinates of a point."""
    code = f"""(() => {{
      const plot = {DOCUMENT}.get_model_by_name('map'), view = Bokeh.index.find_one(plot)
      const data = {DOCUMENT}.get_model_by_name('points {level}').data_source.data
      const frame = view.frame, box = view.canvas_view.el.getBoundingClientRect()
      return [box.left + frame.x_scale.compute(data.x[{index}]), box.top + frame.y_scale.compute(data.y[{index}])]
    }})()"""
    return tuple(browser.run(code))


def in_shadows(selector: str) -> str:
    """JavaScript: every element that fits, through all shadow roots."""
    return f"""(function all(root) {{
      const found = [...root.querySelectorAll('{selector}')]
      for (const e of root.querySelectorAll('*')) if (e.shadowRoot) found.push(...all(e.shadowRoot))
      return found
    }})(document)"""


@needs_chromium
def test_loads_quietly_and_offline(browser: chromium.Chromium, page: Path) -> None:
    assert browser.requests == [page.resolve().as_uri()]
    assert browser.errors == []
    assert browser.run("document.title") == "Wells <b>& others"
    assert browser.run(f"{in_shadows('canvas')}.length") > 0


@needs_chromium
def test_hover_shows_the_thumbnail_of_the_point(browser: chromium.Chromium) -> None:
    x, y = on_screen(browser, "images", 0)
    browser.mouse("mouseMoved", x - 30, y)
    browser.mouse("mouseMoved", x, y)
    images = in_shadows("img.mnad-thumbnail")
    browser.wait(
        lambda: browser.run(f"{images}.some(e => e.naturalWidth == 144 && e.offsetWidth > 300)"), "a thumbnail"
    )
    sources = browser.run(f"{images}.map(e => e.src)")
    assert points(browser, "images", "thumbnail")[0] in sources
    assert browser.errors == []


@needs_chromium
def test_colour_switch_changes_the_colours(browser: chromium.Chromium) -> None:
    before, picture = points(browser, "images", "colour"), browser.screenshot()
    set_widget(browser, "colour", "value", "score")
    browser.wait(lambda: points(browser, "images", "colour") != before, "other colours")
    assert points(browser, "images", "colour") == points(browser, "images", "colour_score")
    browser.wait(lambda: browser.screenshot() != picture, "other pixels")
    set_widget(browser, "colour", "value", "group")
    assert points(browser, "images", "colour") == before


@needs_chromium
@pytest.mark.parametrize(("active", "method"), [(0, "pca"), (1, "tsne"), (2, "umap")])
def test_method_switch_moves_the_points(browser: chromium.Chromium, active: int, method: str) -> None:
    set_widget(browser, "method", "active", active)
    assert points(browser, "images", "x") == points(browser, "images", f"{method}_x")
    assert points(browser, "images", "y") == points(browser, "images", f"{method}_y")
    low, high = browser.run(f"(r => [r.start, r.end])({DOCUMENT}.get_model_by_name('map').x_range)")
    assert low < min(points(browser, "images", "x")) and high > max(points(browser, "images", "x"))


@needs_chromium
def test_level_switch_shows_positions(browser: chromium.Chromium) -> None:
    set_widget(browser, "level", "active", 1)
    visible = f"['images', 'positions'].map(n => {DOCUMENT}.get_model_by_name('points ' + n).visible)"
    assert browser.run(visible) == [False, True]
    set_widget(browser, "level", "active", 0)
    assert browser.run(visible) == [True, False]


@needs_chromium
@pytest.mark.parametrize("tool", ["BoxSelectTool", "LassoSelectTool"])
def test_selection_lists_images(browser: chromium.Chromium, tool: str) -> None:
    browser.run(f"{DOCUMENT}.get_model_by_name('map').toolbar.tools.find(t => t.type == '{tool}').active = true; null")
    corners = [on_screen(browser, "images", i) for i in range(40)]
    left, top = np.min(corners, axis=0) - 8
    right, bottom = np.max(corners, axis=0) + 8
    path = [(left, top), (right, bottom)]
    if tool == "LassoSelectTool":
        path = [(left, top), ((left + right) / 2, top), (right, top), (right, bottom), (left, bottom)]
    browser.mouse("mouseMoved", left, top)
    browser.mouse("mousePressed", left, top)
    for x, y in path:
        browser.mouse("mouseMoved", x, y, pressed=True)
    browser.mouse("mouseReleased", *path[-1])
    text = f"{DOCUMENT}.get_model_by_name('selected').text"
    browser.wait(lambda: "40 images selected, 20 spill (50 %)" in browser.run(text), "a list of all images")
    browser.wait(lambda: browser.run(f"{in_shadows('.mnad-selected')}.length") == 40, "a row for each image")
    assert NASTY in browser.run(f"{in_shadows('.mnad-selected')}.map(e => e.innerText).join(' ')")
    assert browser.errors == []
    browser.run(f"{DOCUMENT}.get_model_by_name('points images').data_source.selected.indices = []; null")


def test_page_holds_each_thumbnail_once(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == 40
    assert "<script src" not in text and "<link" not in text
