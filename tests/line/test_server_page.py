"""The server's page in a real browser: verdicts, boxes drawn and saved, keyboard, narrow screen, token."""

import csv
import io
import time

import chromium
import cv2
import numpy as np
import pytest
from serving import TOKEN, build, running

from mnad.data.reading import read_image, resize
from mnad.detector import Detector

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    return tmp_path_factory.mktemp("boxes")


@pytest.fixture(scope="module")
def address(boxes):
    with running(build(boxes)) as started:
        yield started


@pytest.fixture(scope="module")
def browser(address, tmp_path_factory):
    with chromium.Chromium(tmp_path_factory.mktemp("profile")) as started:
        started.open(address)
        started.wait(lambda: started.run("document.getElementById('state').textContent") == "ready", "the server")
        yield started


@pytest.fixture(scope="module")
def photographs(tiny_wells):
    return sorted((tiny_wells / "test" / "imgs").iterdir())


def texts(browser, selector):
    return browser.run(f"[...document.querySelectorAll({selector!r})].map(e => e.innerText)")


def quiet(browser, address):
    assert browser.errors == []
    assert all(url.startswith(address) for url in browser.requests)


def fits(browser):
    return browser.run("document.documentElement.scrollWidth <= window.innerWidth")


def beyond(browser):
    """Names of the elements that reach beyond the screen."""
    code = "e => e.getBoundingClientRect().right > document.documentElement.clientWidth"
    return browser.run(f"[...document.querySelectorAll('*')].filter({code}).map(e => e.id || e.className || e.tagName)")


def test_verdicts_worst_first_with_their_maps(browser, address, photographs, tmp_path):
    (tmp_path / "<b>bad.jpg").write_bytes(b"no image")
    browser.give_files("#files", [*photographs, tmp_path / "<b>bad.jpg"])
    browser.wait(lambda: len(texts(browser, ".result")) == len(photographs) + 1, "a row for each")
    verdicts = list(Detector.load("synthetic").predict(photographs))
    worst = sorted(verdicts, key=lambda v: -v.margin)
    names = [v.path.rpartition("/")[2] for v in worst]
    assert texts(browser, ".result .name") == [*names, "<b>bad.jpg"]
    assert f"{worst[0].margin:+.2f}"[:4] in texts(browser, ".result .number")[0]
    anomalous = sum(v.anomalous for v in verdicts)
    assert [int(text) for text in texts(browser, ".count b")] == [anomalous, len(verdicts) - anomalous, 1]
    assert browser.run("[...document.querySelectorAll('.result img')].filter(e => e.naturalWidth > 0).length") == len(
        verdicts
    )
    browser.run("document.querySelector('.result button').click()")
    browser.wait(lambda: browser.run("document.querySelector('.map')?.naturalWidth > 0"), "the map")
    quiet(browser, address)
    browser.run("document.getElementById('clear').click()")
    assert texts(browser, ".result") == []


def test_boxes_are_drawn_saved_and_used(browser, address, boxes, photographs, tmp_path):
    picture = np.full((360, 640, 3), 90, np.uint8)
    for x, path in ((100, photographs[0]), (400, photographs[-1])):
        picture[100:180, x : x + 120] = resize(read_image(path), (80, 120))
    path = tmp_path / "10_CAM_C_01-03-2023_05-39-27-929.png"
    cv2.imwrite(str(path), picture[..., ::-1])
    browser.run("document.getElementById('tab-cameras').click()")
    browser.give_files("#picture", [path])
    browser.wait(lambda: browser.run("document.getElementById('canvas').width") == 640, "the photograph")
    assert browser.run("document.getElementById('camera-name').value") == "10_CAM_C"
    left, top, scale = browser.run(
        "(r => [r.left, r.top, r.width / 640])(document.getElementById('canvas').getBoundingClientRect())"
    )
    for x in (100, 400):
        a, b = (left + x * scale, top + 100 * scale), (left + (x + 120) * scale, top + 180 * scale)
        browser.mouse("mousePressed", *a)
        browser.mouse("mouseMoved", (a[0] + b[0]) / 2, (a[1] + b[1]) / 2, pressed=True)
        browser.mouse("mouseMoved", *b, pressed=True)
        browser.mouse("mouseReleased", *b)
    # the second one is moved and made larger with the keyboard, a third one is added and removed
    browser.run("document.getElementById('canvas').focus()")
    before = browser.run("[...document.querySelectorAll('#boxes tr:nth-child(2) input')].slice(1).map(e => +e.value)")
    assert np.abs(np.subtract(before, [400, 100, 120, 80])).max() <= 2
    browser.key("ArrowRight")
    browser.key("ArrowDown", shift=True)
    step = max(1, round(4 / scale))
    browser.run("document.getElementById('add').click()")
    assert len(texts(browser, "#boxes tr")) == 3
    browser.key("Delete")
    browser.run("document.getElementById('save').click()")
    browser.wait(lambda: (boxes / "10_CAM_C.csv").is_file(), "the file")
    rows = list(csv.reader(io.StringIO((boxes / "10_CAM_C.csv").read_text())))
    assert rows[0] == ["id", "x", "y", "width", "height"] and [row[0] for row in rows[1:]] == ["well-01", "well-02"]
    assert [int(value) for value in rows[2][1:]] == [before[0] + step, before[1], before[2], before[3] + step]
    browser.wait(lambda: "10_CAM_C (2 wells)" in texts(browser, "#camera option"), "the camera in the list")
    browser.run(
        "document.getElementById('tab-photographs').click(); document.getElementById('camera').value = '10_CAM_C'"
    )
    browser.give_files("#files", [path])
    browser.wait(lambda: len(texts(browser, ".result")) == 2, "a row for each well")
    assert sorted(texts(browser, ".result .name")) == [f"{path.name}#well-01", f"{path.name}#well-02"]
    browser.run("document.getElementById('tab-wells').click()")
    browser.wait(
        lambda: {"10_CAM_C · well-01", "10_CAM_C · well-02"} <= set(texts(browser, ".well .name")), "the wells"
    )
    quiet(browser, address)


def test_what_cannot_be_saved_is_told(browser, address):
    browser.run("document.getElementById('tab-cameras').click(); document.getElementById('camera-name').value = ''")
    browser.run("document.getElementById('save').click()")
    browser.wait(lambda: texts(browser, "#camera-problem") == ["camera: no name; expected one"], "the reason")


def test_keyboard_reaches_all_views(browser, address):
    browser.run(
        "document.getElementById('tab-photographs').click(); document.getElementById('tab-photographs').focus()"
    )
    for view in ("wells", "cameras", "photographs"):
        browser.key("ArrowRight")
        assert browser.run("document.activeElement.id") == f"tab-{view}"
        assert browser.run(f"!document.getElementById('{view}').hidden")
    reached = []
    for _ in range(3):
        browser.key("Tab")
        reached.append(browser.run("document.activeElement.id"))
    assert reached[:2] == ["camera", "choose"]
    quiet(browser, address)


@pytest.mark.parametrize("width", [320, 390, 1320])
def test_every_view_fits_its_screen(browser, width):
    browser.resize(width, 800)
    for view in ("photographs", "wells", "cameras"):
        browser.run(f"document.getElementById('tab-{view}').click()")
        assert fits(browser), (width, view, beyond(browser))


def test_the_token_is_asked_for(photographs, tmp_path):
    with running(build(token=TOKEN)) as address, chromium.Chromium(tmp_path) as browser:
        browser.open(address)
        browser.wait(lambda: browser.run("!document.getElementById('key').hidden"), "the question")
        for token, state in (("wrong", "token needed"), (TOKEN, "ready")):
            browser.run(
                f"document.getElementById('token').value = '{token}'; document.querySelector('#key button').click()"
            )
            browser.wait(
                lambda state=state: browser.run("document.getElementById('state').textContent") == state, state
            )
            time.sleep(0.2)
        assert browser.run("document.getElementById('key').hidden && document.getElementById('tab-cameras').hidden")
        assert browser.run("document.cookie") == ""
        browser.give_files("#files", photographs[:2])
        browser.wait(lambda: len(texts(browser, ".result")) == 2, "verdicts")
