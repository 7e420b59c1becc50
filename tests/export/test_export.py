"""One ONNX file says what PyTorch says: resizing, every term, every kind of network, and the proof that fails."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("onnx", reason="the extra export is not installed")
pytest.importorskip("onnxscript", reason="the extra export is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra runtime is not installed")
import onnx  # noqa: E402
from onnx import helper  # noqa: E402

import baselines  # noqa: E402
from mnad.config import DetectorConfig, ImageConfig, ModelConfig, ScoreConfig, TermConfig  # noqa: E402
from mnad.data.drawing import KINDS, draw_well  # noqa: E402
from mnad.data.reading import resize  # noqa: E402
from mnad.detector import Detector  # noqa: E402
from mnad.export.graph import DetectorGraph  # noqa: E402
from mnad.export.onnx import export_model  # noqa: E402
from mnad.export.proof import Proof, drawn_clips, prove  # noqa: E402
from mnad.export.resize import resize_model  # noqa: E402
from mnad.model.build import config_class  # noqa: E402
from mnad.model.inference import fold_batch_norms  # noqa: E402
from mnad.run import UserError  # noqa: E402
from mnad.runtime.model import FORMAT, Model  # noqa: E402
from mnad.scoring.threshold import Threshold  # noqa: E402
from tests.model.test_feature_mnad import config as surface_config  # noqa: E402
from tests.stub_network import stub  # noqa: E402, F401

TERMS = ["psnr", "peak_error", "ellipse_error", "wall_hue", "glitter", "relative_wall_hue", "relative_glitter"]
SIZES = [(5, 7), (16, 24), (32, 48), (15, 40), (40, 20), (27, 49), (33, 61), (32, 49), (48, 48), (64, 96), (96, 96)]
SIZES += [(85, 128), (56, 84), (36, 54), (40, 60), (128, 48), (37, 144), (1, 1), (200, 3), (323, 470)]


def picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def wells(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [draw_well(rng, KINDS[i % len(KINDS)]) for i in range(count)]


def calibrated(name: str = "mnad", variant: str = "recon", terms: list[str] | None = None, **changes: str) -> Detector:
    """A small network with drawn weights, and batch normalisation that does something."""
    baselines.register()
    torch.manual_seed(1)
    model = config_class(name)(name=name, variant=variant, width=4, item_dim=16)
    scores = {"all": ScoreConfig([TermConfig(term) for term in terms], **changes)} if terms else None
    primary = "all" if terms else None
    detector = Detector(DetectorConfig(model=model, images=ImageConfig(32, 48), scores=scores, primary=primary))
    detector.model.train()
    with torch.no_grad():
        for _ in range(3):
            detector.model(torch.rand(8, detector.model.in_channels, 32, 48) * 2 - 1)
    detector.calibrate(wells(24))
    return detector


def saved(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(export_model(Detector.load("wells")), tmp_path_factory.mktemp("export") / "wells.onnx")


@pytest.mark.parametrize("size", [(32, 48), (16, 24)])
def test_resizing_is_opencvs_to_the_last_bit(size: tuple[int, int]):
    session = onnxruntime.InferenceSession(resize_model(size).SerializeToString())
    given = session.get_inputs()[0].name
    for shape in SIZES:
        images = np.stack([picture(shape, 1), picture(shape, 2)])
        (found,) = session.run(None, {given: images})
        np.testing.assert_array_equal(found, [resize(image, size) for image in images], err_msg=str(shape))


def test_resizing_of_clips():
    session = onnxruntime.InferenceSession(resize_model((16, 24), 5).SerializeToString())
    clips = np.stack([np.stack([picture((20, 30), 5 * n + t) for t in range(5)]) for n in range(2)])
    (found,) = session.run(None, {session.get_inputs()[0].name: clips})
    np.testing.assert_array_equal(found, [[resize(frame, (16, 24)) for frame in clip] for clip in clips])


def test_folding_leaves_no_batch_norm_and_the_same_function():
    model = calibrated().model.eval()
    folded = fold_batch_norms(model)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
    assert any(isinstance(part, nn.BatchNorm2d) for part in model.modules())  # the detector is not changed
    x = torch.rand(2, 3, 32, 48) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(folded(x).output, model(x).output, rtol=0, atol=1e-5)


def test_the_module_says_what_the_detector_says():
    detector = Detector.load("wells")
    images = np.stack([resize(well, (32, 48)) for well in wells(20)])
    with torch.inference_mode():
        score, anomalous, terms, maps = DetectorGraph(detector)(torch.from_numpy(images))
    verdicts = list(detector.predict(images))
    assert score.numpy() == pytest.approx([v.score for v in verdicts], abs=1e-4)
    assert anomalous.tolist() == [v.anomalous for v in verdicts]
    assert terms[:, 0].numpy() == pytest.approx([v.terms["relative_wall_hue"] for v in verdicts], abs=1e-5)
    np.testing.assert_allclose(maps, detector.anomaly_map(images), atol=1e-5)


def test_wells_at_any_size(exported: Path):
    detector, model = Detector.load("wells"), Model(exported)
    proof = prove(detector, model, drawn_clips((32, 48), 0, 40, 3))
    assert proof.images == 56 and 0 < proof.anomalous < 56  # 16 of them once more, as one batch
    proof.check(exported)
    assert model.threshold == detector.thresholds["wells"].value
    image = wells(1)[0]
    found = model.run(image[None])
    small = resize(image, (32, 48))[None]
    np.testing.assert_allclose(found["map"], detector.anomaly_map(small), atol=1e-5)
    assert found["anomalous"].dtype == bool and found["score"].dtype == np.float64


def test_what_the_file_holds(exported: Path):
    model = onnx.load(exported)
    kinds = {node.op_type for node in model.graph.node}
    assert "BatchNormalization" not in kinds and not model.functions
    assert [value.name for value in model.graph.input] == ["images"]
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in shape] == ["N", "H", "W", 3]
    texts = {entry.key: entry.value for entry in model.metadata_props}
    assert texts["format"] == FORMAT and texts["score"] == "wells"
    assert json.loads(texts["terms"]) == ["relative_wall_hue", "relative_glitter"]
    assert json.loads(texts["config"])["images"]["width"] == 48
    assert json.loads(texts["record"])["git_revision"] == Detector.load("wells").record["git_revision"]
    assert json.loads(texts["export"])["packages"]["torch"] == torch.__version__.partition("+")[0]
    graph = model.graph.SerializeToString()
    assert str(Path.cwd()).encode() not in graph  # no traces of this machine


@pytest.mark.parametrize("name", ["conv_ae", "memae", "vae"])
def test_baselines(name: str, tmp_path: Path):
    detector = calibrated(name, terms=["psnr", "glitter"])
    path = saved(export_model(detector), tmp_path / "model.onnx")
    prove(detector, Model(path), drawn_clips(detector.size, 0, 24, 0)).check(path)


def test_every_term(tmp_path: Path):
    terms = [*TERMS, "feature_distance"]
    detector = calibrated(terms=terms, normalise="spread", combine="max")
    score = detector.scores["all"]
    score.high.copy_(score.low + 1)  # drawn weights know no anomalies: the spread of some terms is next to nothing
    path = saved(export_model(detector), tmp_path / "model.onnx")
    model = Model(path)
    assert model.terms == terms
    prove(detector, model, drawn_clips(detector.size, 0, 24, 0)).check(path)


def test_prediction(tmp_path: Path):
    detector = calibrated(variant="pred")
    path = saved(export_model(detector), tmp_path / "model.onnx")
    model = Model(path)
    assert model.past == 4
    prove(detector, model, drawn_clips(detector.size, 4, 24, 0)).check(path)
    frames = wells(1)[0][None].repeat(9, axis=0) + np.arange(9, dtype=np.uint8)[:, None, None, None]
    clips = np.stack([frames[i : i + 5] for i in range(5)])
    assert model.run(clips)["score"] == pytest.approx(detector.score(frames), abs=1e-4)
    with pytest.raises(UserError, match="expected N x 5 x H x W x 3 uint8"):
        model.run(frames)


def test_openvino_gives_the_same_verdicts(exported: Path):
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    model = Model(exported, "openvino")
    assert model.terms == ["relative_wall_hue", "relative_glitter"]
    prove(Detector.load("wells"), model, drawn_clips((32, 48), 0, 40, 3), inside=False).check(exported)


def test_bfloat16_is_near_at_every_shape(exported: Path):
    openvino = pytest.importorskip("openvino", reason="the extra openvino is not installed")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    exact, near = Model(exported), Model(exported, "openvino", "bfloat16")
    images = np.stack([resize(well, (32, 48)) for well in wells(20)])
    for count in (1, 3, 20):  # the first call of every shape used to be wrong
        difference = near.run(images[:count])["terms"] - exact.run(images[:count])["terms"]
        assert np.abs(difference / [0.022, 1.2]).max() < 0.5  # in units of the score
        assert np.abs(difference).max() > 0  # bfloat16 it was


def test_a_proof_compares_verdicts_and_scores():
    proof = Proof()
    proof.add("a", 1.0, 1.00005, False, 2.0)
    proof.add("b", 2.5, 2.5, True, 2.0)
    assert (proof.images, proof.anomalous, proof.where, proof.nearest) == (2, 1, "a", 0.5)
    proof.check(Path("x.onnx"))
    with pytest.raises(UserError, match="score of a differs from PyTorch's by 5e-05; expected at most 1e-06"):
        proof.check(Path("x.onnx"), 1e-6)
    proof.add("c", 1.99999, 2.0, True, 2.0)
    with pytest.raises(UserError, match=r"1 of 3 verdicts differ from PyTorch's \(c\)"):
        proof.check(Path("x.onnx"))
    with pytest.raises(UserError, match="no image to compare"):
        Proof().check(Path("x.onnx"))
    nothing = Proof()
    nothing.add("d", 1.0, float("nan"), False, 2.0)
    with pytest.raises(UserError, match="score of d"):
        nothing.check(Path("x.onnx"))


def test_the_command(script, tmp_path: Path, capsys: pytest.CaptureFixture):
    out = tmp_path / "wells.onnx"
    assert script("export", "--out", out, "--drawn", 24, "--checkpoint", "wells") == 0
    assert "0 verdicts differ" in capsys.readouterr().out
    assert len(Model(out).metadata["checkpoint_sha256"]) == 64
    assert script("export", "--out", out) == 2
    assert "exists already; expected a new file or --overwrite" in capsys.readouterr().err
    assert script("export", "--out", tmp_path / "wells.bin") == 2
    assert "expected a file ending in .onnx" in capsys.readouterr().err


def test_a_wrong_export_leaves_no_file(script, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch):
    def wrong(detector: Detector, checkpoint: Path) -> onnx.ModelProto:
        with torch.no_grad():
            detector.model.decoder.head[-2].bias.add_(0.01)  # the file is right ...
        model = export_model(detector, checkpoint)
        with torch.no_grad():
            detector.model.decoder.head[-2].bias.sub_(0.01)  # ... of another detector
        return model

    monkeypatch.setattr("mnad.export.onnx.export_model", wrong)
    assert script("export", "--out", tmp_path / "out" / "wells.onnx", "--drawn", 24) == 2
    assert "PyTorch's" in capsys.readouterr().err
    assert not any((tmp_path / "out").iterdir())


def test_no_threshold_no_export(tmp_path: Path):
    with pytest.raises(UserError, match="has no threshold"):
        export_model(Detector(DetectorConfig(model=ModelConfig(width=4, item_dim=16))))


def test_models_that_cannot_be_run(exported: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.onnx: missing; expected a model of scripts/export\.py"):
        Model(tmp_path / "none.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(exported.read_bytes()[:5000])
    with pytest.raises(UserError, match="is no readable model"):
        Model(broken)
    model = onnx.load(exported)
    for name, found in (("mnad-onnx-0", "an export of mnad-onnx-0"), (None, "an export of another program")):
        del model.metadata_props[:]
        helper.set_model_props(model, {"format": name} if name else {})
        with pytest.raises(UserError, match=f"{found}; expected {FORMAT}"):
            Model(saved(model, tmp_path / "other.onnx"))
    helper.set_model_props(model, {"format": FORMAT})
    with pytest.raises(UserError, match="has damaged metadata"):
        Model(saved(model, tmp_path / "other.onnx"))
    with pytest.raises(UserError, match="bfloat16 with onnxruntime; expected --backend openvino"):
        Model(exported, precision="bfloat16")


@pytest.mark.usefixtures("stub")
def test_a_detector_of_features_is_refused_in_one_line() -> None:
    detector = Detector(surface_config())
    detector.thresholds["surface"] = Threshold(1.0, "normal_quantile", "by hand")
    with pytest.raises(UserError, match=r"mnad_features rebuilds features .* expected a detector that rebuilds images"):
        export_model(detector)


def test_letterboxed_images_are_refused() -> None:
    detector = calibrated()
    detector.config.images.fit = "letterbox"
    with pytest.raises(UserError, match=r"images\.fit letterbox, the graph stretches them; expected resize"):
        export_model(detector)
