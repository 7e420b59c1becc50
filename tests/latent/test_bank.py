"""Items of a memory, what reads them and where queries leave the bank: by hand, and the page in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import chromium
import numpy as np
import pandas as pd
import pytest
from made_up_latent import NASTY, made_up

from mnad.latent.bank import Bank, bank_numbers
from mnad.latent.bank_figure import plot_bank
from mnad.latent.collect import Latent
from mnad.latent.items_page import write_items_page

needs_chromium = pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed")
TABLE = pd.DataFrame({"group": ["train"] * 3 + ["anomaly"], "kind": ["full"] * 3 + ["empty"], "label": [0, 0, 0, 1]})


def by_hand() -> Bank:
    """Four images, two positions with two items each: rows of ``items`` 0, 1 and 2, 3."""
    nearest = np.array([[0, 2], [0, 3], [1, 3], [1, 3]])
    distance = np.array([[0.3, 1.0], [0.1, 2.0], [0.2, 1.5], [0.9, 1.6]])
    return Bank.of((2, 2), nearest, distance)


def test_bank_by_hand():
    bank = by_hand()
    assert bank.size == 2 and not bank.shared and bank.item.tolist() == [[0, 0], [0, 1], [1, 1], [1, 1]]
    assert bank.medoids().tolist() == [[1, 2], [0, 2]]
    assert bank.reads(np.array([True, True, True, False])) == pytest.approx(np.array([[2, 1], [1, 2]]) / 3)
    groups = TABLE["group"]
    assert bank.limits(groups) == pytest.approx([0.298, 1.99])  # 0.99 quantile of three numbers
    assert bank.left(groups).tolist() == [[True, False], [False, True], [False, False], [True, False]]
    unread = Bank(3, False, bank.item, bank.distance)
    assert unread.medoids()[:, 2].tolist() == [-1, -1]


def test_numbers_by_hand():
    found = bank_numbers(by_hand(), TABLE, "kind")
    assert (found["items"], found["shared"], found["unread"]) == (2, False, 0)
    assert found["kinds"]["empty"] == {"images": 1, "left": 0.5, "used": 1.0}
    assert found["kinds"]["full"]["left"] == pytest.approx(1 / 3)
    # per position 1 bit less that of a kind that is read 1/3 and 2/3: H(item) - H(item | kind)
    mixed = -(np.array([1, 2]) / 3 * np.log2(np.array([1, 2]) / 3)).sum()
    first = -(np.array([2, 4]) / 6 * np.log2(np.array([2, 4]) / 6)).sum() - mixed / 2
    second = -(np.array([1, 5]) / 6 * np.log2(np.array([1, 5]) / 6)).sum() - mixed / 2
    assert found["kind_bits"] == pytest.approx((first + second) / 2)


def test_a_shared_memory_has_one_bank():
    bank = Bank.of((1, 3), np.array([[0, 2], [1, 2]]), np.ones((2, 2)))
    assert bank.shared and bank.size == 3 and bank.item.tolist() == [[0, 2], [1, 2]]


def test_items_that_are_training_queries_are_measured_by_test_normals():
    """Training images are at distance 0 from themselves: the limit is that of the normals, at each position."""
    distance = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    bank = Bank.of((2, 1), np.array([[0, 1]] * 3), distance, measure="normal")
    groups = np.array(["train", "normal", "anomaly"])
    assert bank.limits(groups).tolist() == [1, 2] and bank.left(groups).tolist() == [[0, 0], [0, 0], [1, 0]]
    table = pd.DataFrame({"group": groups, "kind": ["full", "full", "crack"]})
    assert bank_numbers(bank, table, "kind")["measure"] == "normal"


def latent_with_bank() -> Latent:
    """Forty images on a grid of 4 x 6 positions with three items; anomalies have left the bank at position 7."""
    latent, rng = made_up(), np.random.default_rng(1)
    latent.grid, latent.size = (4, 6), (32, 48)
    table = latent.levels["images"].table
    table["group"] = np.where(table["label"], "anomaly", "train")
    item, distance = rng.integers(0, 3, (40, 24)), rng.random((40, 24)).astype(np.float32)
    distance[1::2, 7] = 5
    latent.bank = Bank(3, False, item, distance)
    return latent


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    page = tmp_path_factory.mktemp("page") / "items.html"
    write_items_page(page, latent_with_bank(), "kind", "Items <b>& others")
    with chromium.Chromium(tmp_path_factory.mktemp("profile")) as started:
        started.open(page)
        started.wait(lambda: started.run("document.querySelectorAll('#map button').length") == 24, "the map")
        yield started


@needs_chromium
def test_the_page_starts_where_most_anomalies_have_left(browser: chromium.Chromium) -> None:
    assert browser.errors == [] and len(browser.requests) == 1
    assert browser.run("document.querySelector('h1').textContent") == "Items <b>& others"
    pressed = "[...document.querySelectorAll('#map button')].findIndex(b => b.ariaPressed == 'true')"
    assert browser.run(pressed) == 7
    assert browser.run("document.getElementById('where').textContent") == "Items at row 1, column 1"
    assert browser.run("document.getElementById('which').textContent").startswith("Queries that have left")
    assert browser.run("document.querySelectorAll('#members figure').length") == 21  # and the farthest normal


def choose(browser: chromium.Chromium, whose: str) -> None:
    found = "document.getElementById('whose')"
    browser.run(f"{found}.value = '{whose}'; {found}.onchange(); null")


@needs_chromium
def test_a_click_shows_the_members_of_an_item(browser: chromium.Chromium) -> None:
    bank = latent_with_bank().bank
    browser.run("document.querySelectorAll('#map button')[3].click(); null")
    shares = [max((bank.item[k::2, 3] == m).mean() for k in (0, 1)) for m in range(3)]
    first = int(np.argsort(shares)[-1])
    browser.run("document.querySelector('#items button').click(); null")
    count = int((bank.item[:, 3] == first).sum())
    assert browser.run("document.getElementById('which').textContent") == f"Members of item {first} here: {count}"
    assert browser.run("document.querySelectorAll('#members figure').length") == count
    choose(browser, "overflow")
    odd = int((bank.item[1::2, 3] == first).sum())
    assert browser.run("document.querySelectorAll('#members figure').length") == odd
    choose(browser, "all")
    assert browser.errors == []


@needs_chromium
def test_names_are_text(browser: chromium.Chromium) -> None:
    browser.run("document.querySelectorAll('#map button')[0].click(); null")
    for button in range(3):
        browser.run(f"document.querySelectorAll('#items button')[{button}].click(); null")
        if NASTY in browser.run("document.getElementById('members').textContent"):
            break
    else:
        pytest.fail("no item has the image of that name")
    assert browser.run("document.querySelectorAll('#members img').length") == 0 and browser.errors == []


def test_figure(tmp_path: Path) -> None:
    latent = latent_with_bank()
    written = plot_bank(tmp_path / "bank.png", latent.bank, latent.levels["images"].table, "kind", latent.grid)
    assert [path.name for path in written] == ["bank.png", "bank.pdf"]
