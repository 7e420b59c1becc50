"""One file holds the whole detector: save, load into a fresh object, refuse what does not fit."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mnad.config import ImageConfig
from mnad.data.dataset import Photographs
from mnad.data.images import Images
from mnad.data.layouts import read_layout
from mnad.detector import Detector
from mnad.evaluation.judge import evaluate
from mnad.model.build import build_model
from mnad.run import UserError


def photographs(root):
    return Photographs(read_layout(root), ImageConfig())


@pytest.fixture
def test_images(tiny_wells):
    return Images(read_layout(tiny_wells).test, (32, 48))


def test_fresh_object_gives_the_same_scores(tiny_run, tiny_wells, test_images, tmp_path):
    first = Detector.load(tiny_run)
    first.save(tmp_path / "copy.safetensors")
    second = Detector.load(tmp_path / "copy.safetensors")
    for name in first.scores:
        assert (first.score(test_images, name) == second.score(test_images, name)).all()
    assert first.thresholds == second.thresholds and first.record == second.record
    assert asdict(first.config) == asdict(second.config)
    stored = json.loads((tiny_run / "metrics.json").read_text())
    again = evaluate(second, photographs(tiny_wells))["test"].scores
    assert json.loads(json.dumps(again)) == stored["evaluations"]["test"]["scores"]


def test_a_score_does_not_depend_on_its_batch(tiny_run, test_images):
    detector = Detector.load(tiny_run)
    together = detector.score(test_images)
    alone = np.array([detector.score(test_images.subset([i]))[0] for i in range(4)])
    assert together[:4] == pytest.approx(alone, rel=1e-4)


def test_calibration_never_sees_the_test_set(tiny_run, tiny_wells):
    detector = Detector.load(tiny_run)
    layout = read_layout(tiny_wells)
    known = Images(layout.known, (32, 48))
    normal, anomalous = (
        found[detector.primary] for found in detector.calibrate(Images(layout.train[:12], (32, 48)), known)
    )
    assert len(normal) == 12 and len(anomalous) == 8
    assert detector.thresholds["wells"].value == pytest.approx(np.quantile(anomalous, 0.01))
    assert np.quantile(normal, 0.99) == pytest.approx(1.0, abs=0.3)  # the scale: 1 is what 1 % of normals reach


def test_anomaly_map(tiny_run, test_images):
    detector = Detector.load(tiny_run)
    images = test_images.batch(range(3))
    output = (detector.outputs(images).output.permute(0, 2, 3, 1).numpy() + 1) / 2
    expected = ((images / 255 - output) ** 2).mean(axis=3)
    assert np.allclose(detector.anomaly_map(images), expected, atol=1e-5)


def test_truncated(tiny_run, tmp_path):
    whole = (tiny_run / "model.safetensors").read_bytes()
    path = tmp_path / "cut.safetensors"
    for length in (0, 4, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.safetensors: is truncated or no safetensors") as error:
            Detector.load(path)
        assert "\n" not in str(error.value)


def edit(source, target, change):
    from safetensors import safe_open

    with safe_open(source, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(source)
    change(tensors, metadata)
    for digest in ("sha256", "sha256_texts"):  # else they are what refuses it
        metadata.pop(digest)
    save_file(tensors, target, metadata)
    return target


def drop(tensors, metadata):
    del tensors["model.memory.items"]


def widen(tensors, metadata):
    metadata["config"] = metadata["config"].replace('"width": 4', '"width": 8')


def foreign(tensors, metadata):
    metadata["format"] = "somebody else's"


def future(tensors, metadata):
    metadata["config"] = metadata["config"].replace('"width"', '"wideness"')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop, "another architecture .*memory.items"),
        (widen, "another architecture .*size mismatch"),
        (foreign, "is no checkpoint of this project; expected one of the format 'mnad-detector-1'"),
        (future, "another architecture .*wideness"),
    ],
)
def test_other_architectures(tiny_run, tmp_path, change, message):
    path = edit(tiny_run / "model.safetensors", tmp_path / "other.safetensors", change)
    with pytest.raises(UserError, match=message) as error:
        Detector.load(path)
    assert "\n" not in str(error.value)


def test_missing_and_pickle(tmp_path):
    with pytest.raises(UserError, match=r"model\.safetensors: missing"):
        Detector.load(tmp_path)
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="no safetensors file"):
        Detector.load(tmp_path / "a.pth")


def test_uncalibrated_is_refused(tiny_run, tiny_wells):
    detector = Detector(Detector.load(tiny_run).config)
    with pytest.raises(UserError, match="has no threshold"):
        evaluate(detector, photographs(tiny_wells))


def test_the_model_is_in_eval_mode(tiny_run):
    config = Detector.load(tiny_run).config
    assert not Detector(config).model.training
    assert not Detector(config, build_model(config.model).train()).model.training


def test_score_names_are_checked(tiny_run):
    config = Detector.load(tiny_run).config
    config.scores = {"a.b": config.scores["mnad"]}
    with pytest.raises(UserError, match=r"scores: expected a name of letters, digits, _ and -, got 'a\.b'"):
        Detector(config)
    for name in ("type", "items", "keys", "train", "half", "training"):
        config.scores, config.primary = {name: config.scores.popitem()[1]}, name
        with pytest.raises(UserError, match=f"^scores: '{name}' is a word of PyTorch's modules; expected another name"):
            Detector(config)


def flip_a_bit(tensors, metadata):
    raw = tensors["model.memory.items"].view(torch.int32)
    raw[0, 0] ^= 1


def not_a_number(tensors, metadata):
    tensors["model.memory.items"][0, 0] = float("nan")
    metadata.pop("sha256")


@pytest.mark.parametrize(
    ("change", "message"), [(flip_a_bit, "have changed since it was written"), (not_a_number, "are not finite")]
)
def test_damaged_tensors_are_refused(tiny_run, tmp_path, change, message):
    metadata = {}
    from safetensors import safe_open

    with safe_open(tiny_run / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    tensors = load_file(tiny_run / "model.safetensors")
    change(tensors, metadata)
    save_file(tensors, tmp_path / "bad.safetensors", metadata)
    with pytest.raises(UserError, match=message):
        Detector.load(tmp_path / "bad.safetensors")


def test_a_file_without_digest_is_read(tiny_run, tmp_path):
    path = edit(tiny_run / "model.safetensors", tmp_path / "older.safetensors", lambda tensors, metadata: None)
    assert Detector.load(path).thresholds == Detector.load(tiny_run).thresholds


def test_pixels_and_sizes_that_are_refused(tiny_run):
    detector = Detector.load(tiny_run)
    with pytest.raises(UserError, match="expected H x W x 3 uint8"):
        detector.score([np.zeros((32, 48, 3), dtype=np.float32)])
    with pytest.raises(UserError, match="expected N x 32 x 48 x 3 uint8"):
        detector.anomaly_map(np.zeros((1, 16, 24, 3), dtype=np.uint8))


def test_predict_on_files_arrays_and_what_cannot_be_read(tiny_run, tiny_wells, tmp_path):
    detector = Detector.load(str(tiny_run))
    first = read_layout(tiny_wells).test[0]
    found = list(detector.predict([str(first), np.zeros((9, 9, 3), dtype=np.uint8), tmp_path / "gone.png", first]))
    assert [verdict.path for verdict in found] == [str(first), "#1", str(tmp_path / "gone.png"), str(first)]
    assert found[0].score == found[3].score == pytest.approx(detector.score([first])[0], rel=1e-4)
    assert "gone.png: cannot be read" in found[2].error and found[2].row()["score"] == found[2].row()["verdict"] == ""
