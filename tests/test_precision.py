"""bfloat16: only when asked for, close calls again in float32, and told."""

import itertools

import numpy as np
import pytest
import torch

from mnad.data.drawing import KINDS, draw_well
from mnad.data.reading import resize
from mnad.detector import Detector
from mnad.detector.measuring import NEAR, Again
from mnad.model import inference


@pytest.fixture(scope="module")
def pictures():
    return [resize(draw_well(np.random.default_rng(i), KINDS[i % len(KINDS)]), (32, 48)) for i in range(30)]


@pytest.fixture
def detector():
    return Detector.load("wells")


def scores(detector, pictures):
    return np.array([verdict.score for verdict in detector.predict(pictures)])


def test_float32_unless_asked(detector):
    assert detector.precision == "float32" and detector.again.images == 0


def test_scores_are_close_and_close_calls_are_those_of_float32(detector, pictures):
    expected = scores(detector, pictures)
    threshold = detector.thresholds["wells"].value
    detector.thresholds["wells"].value = threshold = float(np.sort(expected)[15]) + 1e-4  # amid them
    found = scores(detector.use("bfloat16"), pictures)
    assert (found != expected).any() and np.abs(found - expected).max() < NEAR / 2
    near = np.abs(found - threshold) < NEAR / 2  # well inside
    assert near.any() and np.abs(found[near] - expected[near]).max() < 1e-4
    assert ((found >= threshold) == (expected >= threshold)).all()
    assert detector.again.images >= near.sum() and 0 < detector.again.largest < NEAR / 2
    assert f"{detector.again.images} within 0.1 of a threshold were scored again in float32" in str(detector.again)


@pytest.mark.parametrize(
    ("native", "exact", "short", "expected"),
    [(True, 1.2, 1.0, "bfloat16"), (True, 1.0, 1.0, "float32"), (True, 1.0, 2.0, "float32"), (False, 9, 1, "float32")],
)
def test_auto_is_what_is_faster_here(detector, monkeypatch, native, exact, short, expected):
    """Some processors multiply bfloat16 in hardware and are slower with it."""
    clock = itertools.accumulate(itertools.cycle([0, exact, 0, short]))  # before and after a batch of each, in turn
    monkeypatch.setattr(inference, "native_bfloat16", lambda device: native)
    monkeypatch.setattr(inference.time, "perf_counter", lambda: next(clock))
    assert detector.use("auto").precision == expected
    assert detector.use("float32").precision == "float32"


def test_auto_for_another_network_is_float32(tiny_run, monkeypatch):
    monkeypatch.setattr(inference, "native_bfloat16", lambda device: True)
    other = Detector.load(tiny_run / "conv_ae")
    assert other.use("auto").precision == "float32"


def test_a_large_difference_is_told():
    again = Again()
    again.add(3, 0.06)
    again.add(2, 0.01)
    assert again.images == 5 and again.largest == 0.06
    assert str(again).endswith("largest difference 0.06; too much for bfloat16, expected --precision float32")


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(detector, pictures, threads):
    expected = scores(detector, pictures)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = [verdict.score for verdict in detector.predict(pictures, batch_size=4)]
        raw = detector.raw_terms(pictures, batch_size=4)["wells"]
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(detector.combine({"wells": raw})["wells"], expected, atol=1e-5)


def test_command_tells(script, pictures, tmp_path, capsys):
    import cv2

    for i, picture in enumerate(pictures[:4]):
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture[..., ::-1])
    assert script("score", tmp_path, "--precision=bfloat16") in (0, 1)
    assert "convolutions in bfloat16; " in capsys.readouterr().out
    assert script("score", tmp_path) in (0, 1)
    assert "bfloat16" not in capsys.readouterr().out
