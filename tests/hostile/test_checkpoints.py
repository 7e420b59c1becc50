"""Checkpoints: damaged, foreign, contradicting themselves; refused in one line, or they say what they said before."""

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import some
from helpers import tiny_config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mnad.config import OptimConfig
from mnad.data.clips import Windows
from mnad.detector import Detector
from mnad.model.build import build_model
from mnad.run import UserError
from mnad.run.checkpoint import FORMAT, tensors_digest, texts_digest
from mnad.training.loop import train
from mnad.training.state import STATE, load_state

Texts = dict[str, object]
Change = Callable[[dict[str, Tensor], Texts], object]
ITEMS, LOW = "model.memory.items", "scores.wells.low"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undamaged checkpoint, calibrated on noise."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 32, 48, 3), dtype=np.uint8)
    torch.manual_seed(0)
    detector = Detector(tiny_config().detector())
    detector.calibrate(images[:24], images[24:])
    path = tmp_path_factory.mktemp("whole") / "whole.safetensors"
    detector.save(path)
    return path


def rewrite(source: Path, target: Path, change: Change, sealed: bool = True) -> Path:
    """``source`` with ``change`` made to its tensors and texts, under digests that fit unless it is not ``sealed``."""
    with safe_open(source, "pt") as file:
        metadata = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    own = {name: metadata.pop(name) for name in ("format", "sha256", "sha256_texts")}
    texts = {name: json.loads(text) for name, text in metadata.items()}
    change(tensors, texts)
    written = {name: value if isinstance(value, Raw) else json.dumps(value) for name, value in texts.items()}
    if sealed:
        own |= {"sha256": tensors_digest(tensors), "sha256_texts": texts_digest(written)}
    save_file({k: v.contiguous() for k, v in tensors.items()}, target, written | own)
    return target


class Raw(str):
    """A text that stands in the file as it is."""


def text(*keys: str, value: object) -> Change:
    """Put ``value`` at a place of the texts."""

    def change(tensors: dict, texts: Texts) -> None:
        place: dict = texts
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def without(*keys: str) -> Change:
    """Drop a place of the texts."""

    def change(tensors: dict, texts: Texts) -> None:
        place: dict = texts
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]

    return change


def tensor(name: str, made: Callable[[Tensor], Tensor]) -> Change:
    """Replace a tensor."""
    return lambda tensors, texts: tensors.update({name: made(tensors[name])})


def filled(value: float) -> Callable[[Tensor], Tensor]:
    """One number of a tensor replaced."""

    def made(old: Tensor) -> Tensor:
        new = old.clone()
        new.view(-1)[0] = value
        return new

    return made


WELLS = ("thresholds", "wells")
NAN, INF = float("nan"), float("inf")
CONTRADICTING: dict[str, tuple[Change, str]] = {
    # thresholds
    "thresholds are a list": (text("thresholds", value=[]), "thresholds of []"),
    "thresholds are a number": (text("thresholds", value=3), "thresholds of 3"),
    "thresholds are null": (text("thresholds", value=None), "thresholds of None"),
    "one threshold is missing": (without("thresholds", "mnad"), "thresholds of ['wells']"),
    "a threshold of no score": (text("thresholds", "best", value={}), "thresholds of"),
    "a threshold is a number": (text(*WELLS, value=0.5), "threshold 0.5"),
    "a threshold is empty": (text(*WELLS, value={}), "missing"),
    "a threshold has another key": (text(*WELLS, "size", value=1), "size"),
    "a threshold is NaN": (text(*WELLS, "value", value=NAN), "threshold nan"),
    "a threshold is infinite": (text(*WELLS, "value", value=-INF), "threshold -inf"),
    "a threshold is a text": (text(*WELLS, "value", value="1.0"), "threshold '1.0'"),
    "a threshold is a truth": (text(*WELLS, "value", value=True), "threshold True"),
    "a threshold is a list": (text(*WELLS, "value", value=[1.0]), "threshold [1.0]"),
    "an unknown rule": (text(*WELLS, "rule", value="best"), "rule 'best'"),
    "a note of a number": (text(*WELLS, "note", value=5), "5"),
    "a promise is a list": (text(*WELLS, "promise", value=[]), "promise []"),
    "a promise has another shape": (text(*WELLS, "promise", value={"n": 1}), "n"),
    "a rate above 1": (text(*WELLS, "promise", "miss_rate", value=2.0), "promise {"),
    "a rate is NaN": (text(*WELLS, "promise", "false_alarm_rate", value=NAN), "promise {"),
    "a count below 0": (text(*WELLS, "promise", "missed", value=-1), "promise {"),
    # record and configuration
    "record is a list": (text("record", value=[]), "record of another shape"),
    "record is a number": (text("record", value=3), "record of another shape"),
    "calibrated is a number": (text("record", "calibrated", value=3), "record of another shape"),
    "no record": (without("record"), "record"),
    "no thresholds": (without("thresholds"), "thresholds"),
    "no configuration": (without("config"), "config"),
    "configuration is a list": (text("config", value=[]), "another architecture"),
    "configuration is null": (text("config", value=None), "another architecture"),
    "model is a list": (text("config", "model", value=[1]), "another architecture"),
    "model without a name": (without("config", "model", "name"), "another architecture"),
    "an unknown model": (text("config", "model", "name", value="nobody"), "model.name: expected one of"),
    "a model of a number": (text("config", "model", "name", value=5), "another architecture"),
    "another model": (text("config", "model", "name", value="conv_ae"), "another architecture"),
    "another width": (text("config", "model", "width", value=8), "size mismatch"),
    "a width of terabytes": (text("config", "model", "width", value=10**5), "another architecture"),
    "a width beyond 64 bits": (text("config", "model", "width", value=10**30), "another architecture"),
    "a width below 0": (text("config", "model", "width", value=-4), "model.width: expected at least 1"),
    "a billion items": (text("config", "model", "items", value=10**9), "another architecture"),
    "a width of a text": (text("config", "model", "width", value="wide"), "another architecture"),
    "an image without end": (text("config", "images", "height", value=8 * 10**9), "expected at most 16,777,216 pixels"),
    "an image of 7 rows": (text("config", "images", "height", value=7), "multiple of 8"),
    "a million members": (text("config", "members", value=10**6), "members: expected at most 100"),
    "two members": (text("config", "members", value=2), "another architecture"),
    "no scores": (text("config", "scores", value={}), "another architecture"),
    "scores are a list": (text("config", "scores", value=[]), "another architecture"),
    "an unknown term": (text("config", "scores", "mnad", "terms", value=[{"name": "magic"}]), "magic"),
    "more terms than statistics": (
        text("config", "scores", "mnad", "terms", value=[{"name": "psnr"}] * 3),
        "size mismatch",
    ),
    "a primary that is not there": (text("config", "primary", value="best"), "primary: expected one of"),
    "an unknown key": (text("config", "wideness", value=3), "wideness"),
    "code to import": (text("config", "scores", "mnad", value={"class_path": "os.system"}), "another architecture"),
    "a text that is no JSON": (text("config", value=Raw("{")), "is no JSON"),
    "a text nested without measure": (text("record", value=Raw("[" * 99999)), "is no JSON"),
    "5,000 digits": (text("record", value=Raw("9" * 5000)), "is no JSON"),
    # tensors
    "an item is NaN": (tensor(ITEMS, filled(NAN)), "not finite"),
    "a weight is infinite": (tensor("model.encoder.stage1.0.weight", filled(INF)), "not finite"),
    "a running variance is NaN": (tensor("model.encoder.stage1.1.running_var", filled(NAN)), "not finite"),
    "a statistic is NaN": (tensor(LOW, filled(NAN)), "not finite"),
    "a statistic is infinite": (tensor(LOW, filled(-INF)), "not finite"),
    "the gauge is NaN": (tensor("gauge.reference", filled(NAN)), "not finite"),
    "the gauge has another shape": (tensor("gauge.reference", lambda t: t[:, :2]), "gauge: reference of shape"),
    "the gauge has few rows": (tensor("gauge.reference", lambda t: t[:3]), "gauge: 3 reference images"),
    "float64 items": (tensor(ITEMS, Tensor.double), "is torch.float64, expected torch.float32"),
    "float32 statistics": (tensor(LOW, Tensor.float), "is torch.float32, expected torch.float64"),
    "half items": (tensor(ITEMS, Tensor.half), "torch.float16"),
    "bfloat16 items": (tensor(ITEMS, Tensor.bfloat16), "of the type torch.bfloat16"),
    "int8 items": (tensor(ITEMS, Tensor.char), "of the type torch.int8"),
    "int64 items": (tensor(ITEMS, Tensor.long), "expected torch.float32"),
    "truths for items": (tensor(ITEMS, Tensor.bool), "expected torch.float32"),
    "complex items": (tensor(ITEMS, lambda t: t.to(torch.complex64)), "complex"),
    "8-bit floats": (tensor(ITEMS, lambda t: t.to(torch.float8_e4m3fn)), "float8"),
    "no items": (tensor(ITEMS, lambda t: t[:0]), "size mismatch"),
    "a number for items": (tensor(ITEMS, lambda t: t[0, 0]), "size mismatch"),
    "a row too many": (tensor(ITEMS, lambda t: torch.cat([t, t[:1]])), "size mismatch"),
    "items turned": (tensor(ITEMS, lambda t: t.t()), "size mismatch"),
    "a statistic too many": (tensor(LOW, lambda t: torch.cat([t, t])), "size mismatch"),
    "no memory": (lambda tensors, texts: tensors.pop(ITEMS), "model.memory.items is missing"),
    "no statistics": (lambda tensors, texts: tensors.pop(LOW), "another architecture"),
    "nothing": (lambda tensors, texts: tensors.clear(), "is missing"),
    "a tensor of the model too many": (
        lambda t, texts: t.update({"model.x": torch.zeros(1)}),
        'key(s) in state_dict: "x"',
    ),
    "a tensor of nobody": (lambda t, texts: t.update({"optim.0.step": torch.zeros(1)}), "optim.0.step"),
    "a member that is not": (lambda t, texts: t.update({"members.1.x": torch.zeros(1)}), "members.1.x"),
    "a correction that is not": (lambda t, texts: t.update({"correction.r": torch.zeros(3)}), "correction.r"),
}


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as error:
        Detector.load(path)
    message = str(error.value)
    assert "\n" not in message and str(path) in message
    return message


@pytest.mark.parametrize("case", some(CONTRADICTING, 4))
def test_a_checkpoint_that_contradicts_itself(whole, tmp_path, case):
    change, words = CONTRADICTING[case]
    assert words in refusal(rewrite(whole, tmp_path / "bad.safetensors", change))


def test_what_was_changed_without_its_digest(whole, tmp_path):
    for change in (tensor(LOW, filled(7.0)), text(*WELLS, "value", value=0.125), text("record", "date", value="today")):
        assert "changed since it was written" in refusal(
            rewrite(whole, tmp_path / "a.safetensors", change, sealed=False)
        )
    assert Detector.load(rewrite(whole, tmp_path / "b.safetensors", lambda *_: None)).thresholds


def header(path: Path) -> tuple[int, bytes]:
    """Length of the header of a safetensors file, and the whole file."""
    data = path.read_bytes()
    return struct.unpack("<Q", data[:8])[0], data


@pytest.mark.parametrize("part", ["description", "tensors"])
def test_a_flipped_bit_anywhere_is_found(whole, tmp_path, part):
    length, data = header(whole)
    low, high = (8, 8 + length) if part == "description" else (8 + length, len(data))
    rng = np.random.default_rng(0)
    path = tmp_path / "flipped.safetensors"
    for at, bit in zip(rng.integers(low, high, 30), rng.integers(0, 8, 30), strict=True):
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(bit)
        path.write_bytes(damaged)
        refusal(path)


SIZES = (0, 1, 7, 8, 9, 100, 1000, -1000, -1)


@pytest.mark.parametrize("size", SIZES)
def test_a_cut_file(whole, tmp_path, size):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(whole.read_bytes()[:size])
    assert "is truncated or no safetensors file" in refusal(path)


def foreign(path: Path, kind: str, whole: Path) -> None:
    """Write a file of another kind."""
    length, data = header(whole)
    if kind == "a pickle":
        path.write_bytes(pickle.dumps({"a": 1}))
    elif kind == "torch":
        torch.save({"a": torch.zeros(2)}, path)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("model", data)
    elif kind == "text":
        path.write_text("weights")
    elif kind == "a header of exabytes":
        path.write_bytes(struct.pack("<Q", 2**60) + data[8:])
    elif kind == "a byte too many":
        path.write_bytes(data + b"\0")
    elif kind == "holes":
        path.write_bytes(data[:8] + data[8 : 8 + length].replace(b'"F32"', b'"F64"') + data[8 + length :])
    elif kind == "no description":
        save_file({"a": torch.zeros(1)}, path)
    elif kind == "another program's":
        save_file({"a": torch.zeros(1)}, path, {"format": "pt"})
    elif kind == "zeros":
        path.write_bytes(bytes(100_000))
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(100_000))


@pytest.mark.parametrize(
    "kind",
    [
        "a pickle",
        "torch",
        "zip",
        "text",
        "a header of exabytes",
        "a byte too many",
        "holes",
        "no description",
        "another program's",
        "zeros",
        "noise",
    ],
)
def test_a_file_of_another_kind(whole, tmp_path, kind):
    path = tmp_path / "other.safetensors"
    foreign(path, kind, whole)
    assert "expected" in refusal(path)


def test_places_that_hold_no_checkpoint(tmp_path):
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "empty", tmp_path / "pipe", tmp_path / "none", Path("/dev/zero"), Path("a\0b")):
        with pytest.raises(UserError, match="expected a checkpoint"):
            Detector.load(path)


def overflowing(tensors: dict[str, Tensor], texts: Texts) -> None:
    """Weights that are finite, and whose outputs are not."""
    tensors["model.decoder.head.4.weight"] = torch.full_like(tensors["model.decoder.head.4.weight"], 3e38)
    for name in ("model.decoder.head.0.weight", "model.decoder.block4.0.weight"):
        tensors[name] = torch.full_like(tensors[name], 3e38)


def test_a_score_that_is_not_finite_is_no_verdict(whole, tmp_path):
    detector = Detector.load(rewrite(whole, tmp_path / "huge.safetensors", overflowing))
    detector.config.primary = "mnad"
    (verdict,) = detector.predict([np.zeros((32, 48, 3), dtype=np.uint8)])
    assert "its score is not finite" in verdict.error and not verdict.anomalous and verdict.verdict == ""
    with pytest.raises(UserError, match="not finite"):
        detector.calibrate(np.zeros((8, 32, 48, 3), dtype=np.uint8))


COMMANDS = {
    "score": ("--checkpoint", "bad.safetensors", "image.png"),
    "evaluate": ("--checkpoint", "bad.safetensors", "--data", "film.avi"),
    "robustness": ("--checkpoint", "bad.safetensors", "--data", "."),
    "calibrate": ("--checkpoint", "bad.safetensors", "--known", ".", "--out", "new.safetensors"),
    "export": ("--checkpoint", "bad.safetensors", "--out", "new.onnx"),
    "visualize_latent": ("--checkpoint", "bad.safetensors", "--out", "maps"),
}


@pytest.mark.parametrize("script", some(COMMANDS))
def test_every_command_refuses_it_in_one_line(sandbox, whole, tmp_path, script):
    rewrite(whole, tmp_path / "bad.safetensors", text(*WELLS, "value", value=NAN))
    sandbox.run(script, *COMMANDS[script], cwd=tmp_path).refused("bad.safetensors: is damaged (threshold nan)")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.safetensors"]


PLACES = [
    ("config",),
    ("thresholds",),
    ("record",),
    *(("config", part) for part in ("model", "images", "scores", "threshold", "correction", "calibration", "members")),
    ("config", "model", "variant"),
    ("config", "scores", "mnad"),
    ("config", "scores", "mnad", "terms"),
    WELLS,
    (*WELLS, "promise"),
]


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(PLACES),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    ),
)
def test_anything_in_the_place_of_a_text(whole, tmp_path_factory, keys, value):
    path = Path(tmp_path_factory.getbasetemp()) / "fuzz.safetensors"
    rewrite(whole, path, text(*keys, value=value))
    try:
        detector = Detector.load(path)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert all(np.isfinite(threshold.value) for threshold in detector.thresholds.values())


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**9), st.binary(min_size=1, max_size=8))
def test_any_bytes_anywhere(whole, tmp_path_factory, place, put):
    data = whole.read_bytes()
    at = place % len(data)
    damaged = data[:at] + put + data[at + len(put) :]
    path = Path(tmp_path_factory.getbasetemp()) / "bytes.safetensors"
    path.write_bytes(damaged)
    if damaged != data:
        refusal(path)


# The state of a training


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that one epoch leaves."""
    folder = tmp_path_factory.mktemp("state")
    source = Windows(np.random.default_rng(0).integers(0, 256, (8, 1, 32, 48, 3), dtype=np.uint8))
    config = replace(OptimConfig(epochs=1, batch_size=4, device="cpu").resolved("recon"))
    train(build_model(tiny_config().model), source, source, config, 0, folder)
    return folder / STATE


STATES: dict[str, tuple[Change, str]] = {
    "epoch is null": (text("epoch", value=None), "epoch None"),
    "epoch is a text": (text("epoch", value="1"), "epoch '1'"),
    "epoch 0": (text("epoch", value=0), "epoch 0"),
    "no epoch": (without("epoch"), "epoch"),
    "no weights": (lambda t, _: [t.pop(n) for n in list(t) if n.startswith("model.")], "Missing key"),
    "a weight of another shape": (tensor(ITEMS, lambda t: t[:1]), "size mismatch"),
    "a weight is NaN": (tensor(ITEMS, filled(NAN)), "not finite"),
    "no optimiser": (lambda t, _: [t.pop(n) for n in list(t) if n.startswith("optim.")], "is incomplete"),
    "half an optimiser": (lambda t, _: t.pop("optim.0.exp_avg"), "is incomplete"),
    "a moment of another shape": (tensor("optim.0.exp_avg", lambda t: t[:1]), "optim.0.exp_avg has shape"),
    "a parameter too many": (lambda t, _: t.update({"optim.999.step": torch.zeros(1)}), "cannot be resumed"),
    "a name of another form": (lambda t, _: t.update({"optim": torch.zeros(1)}), "cannot be resumed"),
    "a tensor of nobody": (lambda t, _: t.update({"other.x": torch.zeros(1)}), "cannot be resumed"),
}


@pytest.mark.parametrize("case", some(STATES, 4))
def test_a_training_state_that_contradicts_itself(state, tmp_path, case):
    change, words = STATES[case]
    path = rewrite(state, tmp_path / STATE, change)
    model = build_model(tiny_config().model)
    with pytest.raises(UserError) as error:
        load_state(path, model, torch.optim.Adam(model.parameters()))
    assert words in str(error.value) and "\n" not in str(error.value) and str(path) in str(error.value)


def test_a_detector_is_no_training_state_nor_the_reverse(whole, state):
    model = build_model(tiny_config().model)
    with pytest.raises(UserError, match=r"is no checkpoint .* expected one of the format 'mnad-training-1'"):
        load_state(whole, model, torch.optim.Adam(model.parameters()))
    assert f"expected one of the format {FORMAT!r}" in refusal(state)


def test_a_state_of_before_there_was_a_digest_is_read(state, tmp_path):
    with safe_open(state, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    save_file(tensors, tmp_path / STATE, {"epoch": "1"})
    model = build_model(tiny_config().model)
    assert load_state(tmp_path / STATE, model, torch.optim.Adam(model.parameters())) == 1
