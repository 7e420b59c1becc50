"""scripts/calibrate.py: a new threshold from the plant's own images, the old checkpoint kept, what changes told."""

import csv
import shutil

import numpy as np
import pytest

from mnad.data.reading import list_images
from mnad.detector import Detector


@pytest.fixture
def roles(tiny_wells):
    return tiny_wells / "proliv", tiny_wells / "train"


def test_new_threshold_is_that_of_the_rule_and_the_table_says_who_changes_sides(script, roles, tmp_path, capsys):
    known, normal = roles
    out, table = tmp_path / "new.safetensors", tmp_path / "sides.csv"
    arguments = ("--checkpoint=synthetic", "--known", known, "--normal", normal, "--out", out, "--csv", table)
    assert script("calibrate", *arguments, "--threshold.rule=midpoint") == 0
    old, new = Detector.load("synthetic"), Detector.load(out)
    a, b = old.score(list_images(known)), old.score(list_images(normal))
    expected = (np.quantile(a, 0.01) + np.quantile(b, 0.995)) / 2
    assert new.thresholds[new.primary].value == pytest.approx(expected)
    assert new.thresholds[new.primary].rule == "midpoint" and "of the plant" in new.thresholds[new.primary].note
    rows = list(csv.DictReader(table.open()))
    assert [row["role"] for row in rows] == ["known"] * len(a) + ["normal"] * len(b)
    before = np.r_[a, b] >= old.thresholds[old.primary].value
    after = np.r_[a, b] >= expected
    assert [int(row["changed"]) for row in rows] == (before != after).astype(int).tolist()
    assert f"{(before != after).sum()} of {len(rows)} images change sides" in capsys.readouterr().out
    assert new.record["calibrated"]["command"] and new.record["date"] == old.record["date"]
    np.testing.assert_allclose(new.score(list_images(known)), a)
    assert script("calibrate", *arguments) == 2  # nothing is overwritten
    assert "exists already; expected a new file" in capsys.readouterr().err


def test_statistics_can_be_fitted_too(script, roles, tmp_path):
    known, normal = roles
    out = tmp_path / "new.safetensors"
    arguments = ("--checkpoint=synthetic", "--known", known, "--normal", normal, "--out", out, "--statistics")
    assert script("calibrate", *arguments) == 0
    old, new = Detector.load("synthetic"), Detector.load(out)
    raw = new.raw_terms(list_images(normal))[new.primary]
    np.testing.assert_allclose(new.scores[new.primary].low, np.quantile(raw, 0.5, axis=0), rtol=1e-6)
    assert not np.allclose(old.scores[old.primary].low, new.scores[new.primary].low)
    scores = new.score(list_images(known))
    assert new.thresholds[new.primary].value == pytest.approx(np.quantile(scores, 0.01))


def test_known_alone_is_enough_for_their_quantile(script, roles, tmp_path):
    out = tmp_path / "new.safetensors"
    assert script("calibrate", "--checkpoint=synthetic", "--known", roles[0], "--out", out) == 0
    new = Detector.load(out)
    expected = np.quantile(new.score(list_images(roles[0])), 0.01)
    assert new.thresholds[new.primary].value == pytest.approx(expected)


def test_an_ensemble_keeps_its_scores(script, roles, tmp_path, capsys):
    out = tmp_path / "new.safetensors"
    arguments = ("--checkpoint=wells_memory", "--known", roles[0], "--normal", roles[1], "--out", out)
    assert script("calibrate", *arguments) == 0
    new = Detector.load(out)
    scores = Detector.load("wells_memory").score(list_images(roles[0]))
    np.testing.assert_allclose(new.score(list_images(roles[0])), scores)
    assert new.thresholds[new.primary].value == pytest.approx(np.quantile(scores, 0.01))
    assert script("calibrate", *arguments[:-1], tmp_path / "b.safetensors", "--statistics") == 2
    assert "statistics: wells_memory has several members; expected" in capsys.readouterr().err


def test_mistakes_are_one_line(script, roles, tmp_path, capsys):
    out = tmp_path / "new.safetensors"
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        (["--known", roles[0], "--out", tmp_path / "new"], "expected a file ending in .safetensors"),
        (["--known", roles[0], "--out", out, "--statistics"], "statistics: given without normal"),
        (["--known", roles[0], "--out", out, "--threshold.rule=balanced"], "balanced needs normals"),
        (["--known", tmp_path / "empty", "--out", out], "known: no image in"),
        (["--out", out], "known: missing; expected --known DIR, --normal DIR or both"),
        (["--normal", roles[1], "--out", out, "--threshold.rule=midpoint"], "midpoint needs anomalies"),
        (["--normal", roles[1], "--out", out, "--statistics"], "statistics: moves the scale, which the rule recent"),
        (["--normal", roles[1], "--out", out], "recent needs at least 100 images, better 200; got 48"),
        (["--normal", roles[1], "--out", out, "--threshold.recent=[3,2]"], "threshold.recent: expected two numbers"),
    ):
        assert script("calibrate", "--checkpoint=synthetic", *arguments) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
        assert line.startswith("error: ") and message in line
    assert not out.exists()


@pytest.fixture
def recent(roles, tmp_path):
    """147 unlabelled images, three of them anomalous."""
    folder = tmp_path / "recent"
    folder.mkdir()
    for number, path in enumerate([*list_images(roles[1]) * 3, *list_images(roles[0])[:3]]):
        shutil.copy(path, folder / f"{number:03}{path.suffix}")
    return folder


@pytest.mark.parametrize("low, high", [(40, 50), (0.1, 0.2), (0.1, 50)])
def test_recent_images_alone_move_the_threshold_into_the_range(script, recent, tmp_path, capsys, low, high):
    """To its nearer end, or not at all; the scores stay, and nothing is promised."""
    out = tmp_path / "new.safetensors"
    arguments = ("--checkpoint=synthetic", "--normal", recent, "--out", out)
    assert script("calibrate", *arguments, f"--threshold.recent=[{low},{high}]") == 0
    printed = capsys.readouterr().out
    assert "recent images called anomalous:" in printed and "known anomalies found" not in printed
    old, new = Detector.load("synthetic"), Detector.load(out)
    scores = old.score(list_images(recent))
    middle, upper = np.quantile(scores, (0.5, 0.8413))
    threshold, before = new.thresholds[new.primary], old.thresholds[old.primary].value
    range_ = middle + low * (upper - middle), middle + high * (upper - middle)
    assert threshold.value == pytest.approx(np.clip(before, *range_))
    assert (threshold.value == before) == ((low, high) == (0.1, 50))
    assert threshold.rule == "recent" and threshold.promise is None
    np.testing.assert_allclose(new.score(list_images(recent)), scores)
    assert new.reference is not None and len(new.reference.values) == 147


def test_normals_alone_can_still_be_known_to_be_normal(script, recent, tmp_path):
    out = tmp_path / "new.safetensors"
    arguments = ("--checkpoint=synthetic", "--normal", recent, "--out", out, "--threshold.rule=normal_quantile")
    assert script("calibrate", *arguments) == 0
    new = Detector.load(out)
    assert new.thresholds[new.primary].value == pytest.approx(np.quantile(new.score(list_images(recent)), 0.995))
