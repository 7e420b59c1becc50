"""MNAD on features with a stub of the frozen network: shapes, both terms, maps, checkpoint, other sizes and weights."""

import cv2
import numpy as np
import pytest
import torch

import baselines
from mnad.config import (
    DetectorConfig,
    FeatureConfig,
    ImageConfig,
    ScoreConfig,
    TermConfig,
    ThresholdConfig,
    TrainConfig,
)
from mnad.detector import Detector
from mnad.experiment import for_model
from mnad.latent.collect import collect
from mnad.latent.sources import wells
from mnad.line.command import write_map
from mnad.line.report import write_report
from mnad.line.scoring import Scored
from mnad.line.summary import Summary
from mnad.model import feature_mnad
from mnad.model.feature_mnad import FeatureMNAD, full_size
from mnad.run import UserError
from mnad.run.verdict import Verdict
from mnad.training.closed_form import fit
from tests.stub_network import StubNetwork, stub  # noqa: F401

SIDE = 64
SURFACE = ScoreConfig(
    [TermConfig("feature_error", 0.7), TermConfig("peak_distance", 0.3)],
    normalise="spread",
    threshold=ThresholdConfig("normal_quantile", normal_quantile=0.95),
)
pytestmark = pytest.mark.usefixtures("stub")


def config(**model: object) -> DetectorConfig:
    options = {"name": "mnad_features", "items": 5, "strides": [8, 16], "item_scope": "position"} | model
    return DetectorConfig(
        model=FeatureConfig(**options), images=ImageConfig(SIDE, SIDE), scores={"surface": SURFACE}, primary="surface"
    )


def normals(count: int, seed: int) -> np.ndarray:
    """The same picture each time, with noise."""
    base = np.random.default_rng(0).integers(60, 190, (SIDE, SIDE, 3))
    return np.clip(base + np.random.default_rng(seed).normal(0, 6, (count, SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


def scratched(count: int, seed: int) -> np.ndarray:
    images = normals(count, seed)
    images[:, 16:24, 32:40] = 255
    return images


@pytest.fixture
def detector() -> Detector:
    detector = Detector(config())
    source, validation = (detector.source(normals(n, seed)) for n, seed in ((40, 1), (10, 2)))
    fit(detector.model, source, validation, 0)
    detector.calibrate(validation)
    return detector


def test_a_scratch_is_found_and_pointed_at(detector) -> None:
    assert detector.score(scratched(6, 3)).min() > detector.score(normals(20, 4)).max()
    maps = detector.anomaly_map(scratched(3, 5))
    assert maps.shape == (3, SIDE, SIDE) and maps.dtype == np.float32
    for found in maps:
        row, column = np.unravel_index(found.argmax(), found.shape)
        assert 12 <= row < 28 and 28 <= column < 44


def test_output_has_the_promised_shapes(detector) -> None:
    out = detector.outputs(normals(2, 6))
    assert out.queries.shape == out.read.shape == (2, 8, 8, 11) and out.output.shape == (2, 11, 8, 8)
    assert out.distance.shape == out.error.shape == (2, 8, 8)


def test_a_normal_that_was_not_seen_has_distance_one_on_average(detector) -> None:
    out = detector.outputs(normals(60, 7))
    assert out.distance.mean().item() == pytest.approx(1, abs=0.1)
    assert out.error.mean().item() == pytest.approx(1, abs=0.1)


def test_scores_survive_the_checkpoint(detector, tmp_path) -> None:
    detector.save(tmp_path / "model.safetensors")
    again = Detector.load(tmp_path / "model.safetensors")
    images = scratched(3, 8)
    assert np.array_equal(again.score(images), detector.score(images))
    assert np.array_equal(again.anomaly_map(images), detector.anomaly_map(images))
    assert again.thresholds == detector.thresholds


def test_its_latent_space_has_a_bank_at_each_position(detector, tmp_path) -> None:
    """Scratches leave the bank where they are, rows 2 and column 4 of the query map, and hardly at the lower edge."""
    for folder, images in (
        ("train/good", normals(12, 1)), ("test/good", normals(20, 12)), ("test/scratch", scratched(6, 13))
    ):  # fmt: skip
        (tmp_path / folder).mkdir(parents=True)
        for i, image in enumerate(images):
            cv2.imwrite(str(tmp_path / folder / f"{i}.png"), image[..., ::-1])
    data = wells(tmp_path, detector.config.images)
    assert data.table["kind"].value_counts().to_dict() == {"test normal": 20, "train": 12, "scratch": 6}
    latent = collect(detector, data, np.arange(38), np.array([0, 700]))
    bank, groups = latent.bank, latent.levels["images"].table["group"]
    assert latent.items is None and latent.grid == (8, 8)
    assert (bank.size, bank.shared, bank.measure) == (5, False, "normal")
    left = bank.left(groups)[groups == "anomaly"].mean(axis=0).reshape(8, 8)
    assert left[2, 4] == 1 and left[7].max() < 0.5


def test_pictures_show_no_reconstruction_and_a_map_in_units_of_the_usual(detector, tmp_path) -> None:
    pixels = np.concatenate([normals(1, 8), scratched(1, 9)])
    summary = Summary()
    for verdict, image in zip(detector.predict(list(pixels)), pixels, strict=True):
        summary.add(verdict, lambda image=image: (image, image[None]))
    page = write_report(tmp_path / "report.html", summary, detector, "surface").read_text()
    assert "<figcaption>anomaly map" in page and "<figcaption>reconstruction" not in page
    for image, name in zip(pixels, ("normal", "scratched"), strict=True):
        write_map(tmp_path, detector, Scored(Verdict(f"{name}.png"), frames=image[None]))
    usual, scratch = (cv2.imread(str(path)).max(axis=2) for path in sorted(tmp_path.glob("*.png")))
    assert usual.max() < 200 and scratch.max() == scratch[16:24, 32:40].max() > 240  # inferno: the brightest is 252


def test_large_images_are_scored_a_few_at_a_time(detector, monkeypatch) -> None:
    pixels, sizes, encode = normals(7, 8), [], detector.model.encode
    monkeypatch.setattr(detector.model, "encode", lambda x, *pose: sizes.append(len(x)) or encode(x, *pose))
    expected = detector.score(pixels)
    assert sizes == [7]
    monkeypatch.setattr("mnad.detector.core.PIXELS", 3 * SIDE * SIDE)
    assert detector.score(pixels) == pytest.approx(expected, abs=1e-5)
    judged = [verdict.score for verdict in detector.predict(list(pixels))]
    assert judged == pytest.approx(expected.tolist(), abs=1e-5)
    assert sizes[0] == 7 and sorted(sizes[1:]) == [1, 1, 3, 3, 3, 3]  # the pieces run side by side, in any order


def test_a_checkpoint_with_other_frozen_weights_is_refused(detector, tmp_path, monkeypatch) -> None:
    detector.save(tmp_path / "model.safetensors")
    monkeypatch.setattr(feature_mnad, "load_pretrained", lambda: StubNetwork(1))
    with pytest.raises(UserError, match=r"digest [0-9a-f]{12}; expected the weights of stub that are installed here"):
        Detector.load(tmp_path / "model.safetensors")


def test_grey_pictures_are_scored(detector) -> None:
    grey = np.repeat(normals(2, 9)[..., :1], 3, axis=3)
    assert np.isfinite(detector.score(grey)).all()


def test_a_map_is_enlarged_and_blurred_by_a_gaussian() -> None:
    values = torch.rand(2, 7, 9, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(values[:, None], (56, 72), mode="bilinear", align_corners=False)
    for found, image in zip(full_size(values, (56, 72)).numpy(), large[:, 0].numpy(), strict=True):
        np.testing.assert_allclose(
            found, cv2.GaussianBlur(image, (9, 9), 1, borderType=cv2.BORDER_REFLECT_101), atol=1e-5
        )


def test_few_positions_are_kept_of_a_large_image() -> None:
    model = FeatureMNAD(strides=[8, 16], positions=16)
    assert model.encode(torch.zeros(1, 3, 64, 64)).shape == (1, 11, 4, 4)
    assert FeatureMNAD(strides=[8, 16]).encode(torch.zeros(1, 3, 64, 72)).shape == (1, 11, 8, 9)
    assert model.query_grid((64, 64)) == (4, 4) and FeatureMNAD(strides=[8, 16]).query_grid((64, 72)) == (8, 9)


def test_the_nearest_item_is_one_of_the_query_s_own_place(detector) -> None:
    out, places = detector.outputs(normals(2, 6)), detector.model.places
    assert detector.model.banks == (64, 5)
    items = places.items.float().flatten(0, 1)[out.nearest].view(2, 64, 11)
    distances = (out.queries.reshape(2, 64, 1, 11) - places.items.float()).square().sum(dim=3)
    assert out.nearest.view(2, 64).tolist() == (distances.argmin(dim=2) + 5 * torch.arange(64)).tolist()
    mean = (out.queries.reshape(2, 64, 11) - items).square().sum(dim=2).mean()
    assert mean.item() == pytest.approx(distances.amin(dim=2).mean().item(), rel=1e-4)


def test_a_small_image_is_enlarged() -> None:
    assert FeatureMNAD(strides=[8, 16]).encode(torch.zeros(1, 3, 16, 24)).shape == (1, 11, 8, 12)
    assert FeatureMNAD(strides=[8, 16]).query_grid((16, 24)) == (8, 12)


def test_wide_maps_are_projected_the_same_way_every_time() -> None:
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = [FeatureMNAD(strides=[8, 16], channels=5).encode(x) for _ in range(2)]
    assert found[0].shape == (1, 10, 8, 8) and torch.equal(*found)


def test_images_of_another_size_than_the_fit_are_refused(detector) -> None:
    with pytest.raises(UserError, match="10 x 10 positions; expected those of the fit, 64"):
        detector.model(torch.zeros(1, 3, 80, 80))


def test_a_stride_that_the_network_does_not_have() -> None:
    with pytest.raises(UserError, match=r"model.strides: expected some of \[8, 16\], got \[8, 4\]"):
        FeatureMNAD(strides=[8, 4])


def test_a_plain_autoencoder_beside_it_is_judged_by_the_score_it_has() -> None:
    baselines.register()
    train = TrainConfig(model=FeatureConfig(name="mnad_features", strides=[8, 16]))
    assert (train.primary, train.compare) == ("surface", [])
    assert for_model(train, "mnad_features").primary == "surface" and for_model(train, "conv_ae").primary == "mnad"


def test_the_checkpoint_holds_the_options_of_its_own_model_only() -> None:
    stored = Detector(config())._stored_config()["model"]
    assert stored["strides"] == [8, 16] and "memae_items" not in stored
    plain = DetectorConfig(model=FeatureConfig(name="mnad", width=4, item_dim=8))
    assert "strides" not in Detector(plain)._stored_config()["model"]


def test_a_map_is_the_geometric_mean_of_the_strides_the_coarsest_by_half() -> None:
    model = FeatureMNAD(strides=[8, 16])
    values = torch.tensor([2.0, 3.0, 4.0, 9.0])  # distance, error, parts of the strides 8 and 16
    terms = values[:, None, None].expand(-1, 4, 1)
    scale = torch.tensor([2.0, 1.0, 1.0, 1.0])[:, None]
    maps = model.standardised(terms, scale, (2, 2))
    assert maps["distance"].flatten().tolist() == [1] * 4 and maps["error"].flatten().tolist() == [3] * 4
    assert maps["detail"].flatten().tolist() == pytest.approx([(4 * 9**0.5) ** (1 / 1.5)] * 4)  # 12 ^ (2/3) = 5.24


def test_the_parts_of_the_strides_make_up_the_error(detector) -> None:
    features = detector.model.encode(torch.rand(2, 3, SIDE, SIDE) * 2 - 1)
    *_, terms = detector.model.recall(features)
    assert terms.shape == (4, 64, 2)
    torch.testing.assert_close(terms[2:].sum(dim=0), terms[1])


def test_a_checkpoint_with_another_scale_has_to_be_made_anew(detector) -> None:
    state = detector.model.state_dict()
    state["scale"] = state["scale"][:3]
    with pytest.raises(UserError, match=r"scale has 3 terms, .* expected 4, train it anew"):
        FeatureMNAD(strides=[8, 16], items=5).load_state_dict(state)
