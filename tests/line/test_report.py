"""The report page in a real browser: quiet, offline, filter, sort, narrow screen; and what stands in it."""

import base64
import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import chromium
import numpy as np
import pytest
from helpers import tiny_config
from video_data import write_dataset

from mnad.config import ImageConfig, ModelConfig, mnad_score
from mnad.detector import Detector
from mnad.experiment import run_experiment
from mnad.line.report import Standing, write_report
from mnad.line.summary import Summary
from mnad.run.verdict import Verdict

needs_chromium = pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed")

NASTY = "</script><img src=x onerror=alert(1)>.jpg"


def summary(detector: Detector, rows: int = 20_000) -> Summary:
    """120 verdicts of three cameras, every tenth anomalous, one with a nasty name, one error."""
    made, rng = Summary(pictures=8, rows=rows), np.random.default_rng(0)
    height, width = detector.config.images.size
    for i in range(120):
        name = f"{i}_CAM_{'ABC'[i % 3]}_01-03-2023_05-{i // 60:02d}-{i % 60:02d}-000.jpg" if i else NASTY
        camera_name = re.sub(r"^\d+_", "", name)
        score = 2 + i / 100 if i % 10 == 0 else 0.5 + i / 1000
        pixels = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        verdict = Verdict(camera_name, score, 1.0, {"wall_hue": 0.1, "glitter": score})
        made.add(verdict, lambda pixels=pixels: (pixels, pixels[None]))
    made.add(Verdict("broken.jpg", error="broken.jpg: is empty"))
    return made


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load("wells")


@pytest.fixture(scope="module")
def page(detector, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return write_report(folder / "report.html", summary(detector), detector, "Line 3 <b>& others", ["passed over: 1"])


@pytest.fixture(scope="module")
def browser(page, tmp_path_factory) -> Iterator[chromium.Chromium]:
    with chromium.Chromium(tmp_path_factory.mktemp("profile")) as started:
        started.open(page)
        yield started


def table(browser: chromium.Chromium) -> list[list[str]]:
    return browser.run("[...document.querySelectorAll('#rows tr')].map(r => [...r.cells].map(c => c.innerText))")


def put(browser: chromium.Chromium, name: str, value: str) -> None:
    code = f"(e => {{ e.value = {value!r}; e.dispatchEvent(new Event('input')) }})"
    browser.run(f"{code}(document.getElementById('{name}'))")


@needs_chromium
def test_quiet_and_offline(browser, page):
    assert browser.requests == [page.resolve().as_uri()] and browser.errors == []
    assert browser.run("document.title") == "Line 3 <b>& others"
    assert browser.run("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert browser.run("document.images.length") == 3 * 8
    assert browser.run("document.querySelectorAll('.chart.time').length") == 3
    assert browser.run("document.querySelectorAll('.dot').length") == 119  # the nasty name has no time


@needs_chromium
def test_filter_and_sort(browser):
    assert len(table(browser)) == 100 and table(browser)[0][0] == "3.100"
    browser.run("document.getElementById('more').click()")
    assert len(table(browser)) == 121
    put(browser, "verdict", "anomalous")
    assert len(table(browser)) == 12 and {row[1] for row in table(browser)} == {"anomalous"}
    put(browser, "camera", "CAM_B")
    assert {row[3] for row in table(browser)} == {"CAM_B"} and len(table(browser)) == 4
    shown = "[...document.querySelectorAll('#cards li')].filter(e => e.offsetHeight).length"
    assert 0 < browser.run(shown) < 8
    put(browser, "camera", "")
    put(browser, "text", "SCRIPT")
    assert [row[2] for row in table(browser)] == [NASTY]
    put(browser, "text", "")
    put(browser, "verdict", "error")
    assert [row[2] for row in table(browser)] == ["broken.jpg: is empty"]
    put(browser, "verdict", "")
    score = "document.querySelector('th[data-column=\"2\"] button').click()"
    browser.run(score)
    assert table(browser)[0][0] == "0.5010"
    assert browser.run("document.querySelector('th[data-column=\"2\"]').ariaSort") == "ascending"
    browser.run(score)
    assert table(browser)[0][0] == "3.100" and browser.errors == []


@needs_chromium
def test_keyboard_reaches_everything(browser):
    reached = set()
    browser.run("document.activeElement.blur(); window.scrollTo(0, 0)")
    for _ in range(14):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.add(browser.run("(e => e.className || e.id || e.innerText)(document.activeElement)"))
    expected = {"skip", "text", "verdict", "camera", "button", "scroll", "Verdict", "Picture", "more"}
    assert expected <= {word.split(" ▼")[0] for word in reached}


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_screen_needs_no_sideways_scrolling(page, tmp_path, scheme):
    with chromium.Chromium(tmp_path) as narrow:
        narrow.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
        narrow.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        narrow.open(page)
        assert narrow.run("document.documentElement.scrollWidth") == 360 and narrow.errors == []
        light = narrow.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(v => v > 128)")
        assert light == (scheme == "light")


def test_csv_inside_has_every_row(page):
    text = page.read_text(encoding="utf-8")
    encoded = re.search(r'href="data:text/csv;charset=utf-8;base64,([^"]+)"', text)[1]
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(encoded).decode())))
    assert len(rows) == 121 and sum(row["verdict"] == "anomalous" for row in rows) == 12
    assert NASTY not in text and '<link rel="stylesheet' not in text and 'src="http' not in text


def test_what_is_left_out_is_said_and_the_standing_only_shown_if_there_is_one(detector, tmp_path):
    page = write_report(tmp_path / "r.html", summary(detector, rows=50), detector, "x")
    text = page.read_text()
    assert "hold the 50 highest scores of 120" in text and "8 highest scores of 12 anomalous" in text
    assert "Promise and drift" not in text
    standing = Standing(["At most 2 % are missed."], drifted=True)
    text = write_report(tmp_path / "r.html", summary(detector), detector, "x", standing=standing).read_text()
    assert "At most 2 % are missed." in text and "no longer like those" in text


def test_empty_report(detector, tmp_path):
    assert "No picture is anomalous." in write_report(tmp_path / "r.html", Summary(), detector, "x").read_text()


def test_training_writes_the_page(tiny_wells, tmp_path, capsys):
    folder = run_experiment(tiny_config(data=tiny_wells, out=tmp_path / "run"))
    text = (folder / "report.html").read_text()
    assert "28 pictures" in text and "Against the labels" in text and text.count("where it is read") == 10
    metrics = json.loads((folder / "metrics.json").read_text())["evaluations"]["test"]["scores"]["wells"]
    assert f"{8 - metrics['confusion']['fn']} of 8 anomalies were found" in text
    assert text.count("a false alarm)") == metrics["confusion"]["fp"]
    assert capsys.readouterr().out.splitlines()[-1] == f"report: {folder / 'report.html'}"


def test_score_writes_the_page_and_replaces_only_reports(script, tiny_wells, tmp_path, capsys):
    page, folder = tmp_path / "r.html", tiny_wells / "test" / "imgs"
    for _ in range(2):
        assert script("score", folder, "--checkpoint=synthetic", "--report", page) == 1
    assert str(page) in capsys.readouterr().out and "data:image/jpeg" in page.read_text()
    page.write_text("mine")
    assert script("score", folder, "--checkpoint=synthetic", "--report", page) == 2
    assert "is no earlier result" in capsys.readouterr().err and page.read_text() == "mine"


@pytest.mark.parametrize("variant", ["pred", "recon"])
def test_training_on_videos_writes_the_page_too(tmp_path, variant):
    data = write_dataset(tmp_path / "data")
    model, images = ModelConfig(width=4, item_dim=16, variant=variant), ImageConfig(height=16, width=24)
    scores = {"mnad": mnad_score(variant)}
    config = tiny_config(data=data, out=tmp_path / "run", model=model, images=images, scores=scores, primary="mnad")
    folder = run_experiment(config)
    text = (folder / "report.html").read_text()
    past = 4 if variant == "pred" else 0
    assert f"{3 * (9 - past)} pictures" in text and f"03:{past}" in text
