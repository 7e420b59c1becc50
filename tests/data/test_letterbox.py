"""Letterboxed images: where the image lies, what is filled, and that the filling counts nowhere."""

import numpy as np
import pytest

from mnad.config import DetectorConfig, FeatureConfig, ImageConfig
from mnad.data.images import Images, box, content, fitted, to_input
from mnad.detector import Detector
from mnad.scoring.pixel_metrics import aupro, pixel_metrics
from mnad.training.closed_form import fit
from tests.model.test_feature_mnad import SURFACE
from tests.stub_network import stub  # noqa: F401


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "expected"), [((40, 20), (0, 16, 64, 32)), ((10, 40), (24, 0, 16, 64)), ((30, 31), (1, 0, 62, 64))]
)
def test_box_and_content_agree(shape, expected) -> None:
    assert box(shape, (64, 64)) == expected
    image = fitted(noise(*shape), (64, 64), "letterbox")
    top, left, height, width = expected
    inside = np.zeros((64, 64), bool)
    inside[top : top + height, left : left + width] = True
    assert np.array_equal(content(to_input(image[None]))[0].numpy(), inside)
    assert np.array_equal(image[:, 0], image[:, left]) and np.array_equal(image[0], image[top])


def test_a_blank_image_is_all_content() -> None:
    assert content(to_input(np.full((1, 16, 24, 3), 7, np.uint8))).all()


def test_an_image_of_the_right_shape_is_not_changed() -> None:
    image = noise(16, 24)
    assert np.array_equal(fitted(image, (16, 24), "letterbox"), image)
    assert content(to_input(image[None])).all()


@pytest.mark.usefixtures("stub")
def test_the_filling_has_no_distance_and_no_map() -> None:
    model = FeatureConfig(name="mnad_features", items=4, strides=[8, 16], item_scope="position")
    images = ImageConfig(64, 64, "letterbox")
    detector = Detector(DetectorConfig(model=model, images=images, scores={"surface": SURFACE}, primary="surface"))
    source = Images([noise(64, 32, i) for i in range(12)], (64, 64), fit="letterbox")
    fit(detector.model, source, source, 0)
    out = detector.outputs(source.batch([0, 1]))
    assert (out.distance[:, :, :2] == 0).all() and (out.distance[:, :, 6:] == 0).all()
    assert (out.distance[:, :, 2:6] > 0).all() and (out.error[:, :, :2] == 0).all()
    unseen = detector.model.held_out.distance  # of the normals that choose the threshold
    assert (unseen[:, :, :2] == 0).all() and (unseen[:, :, 2:6] > 0).all()


def test_pixel_metrics_count_the_inside_only() -> None:
    rng = np.random.default_rng(0)
    maps, masks, inside = rng.random((2, 8, 8)), np.zeros((2, 8, 8), bool), np.zeros((2, 8, 8), bool)
    inside[:, 2:6] = True
    masks[0, 3:5, 3:5] = True
    cut = slice(2, 6)
    assert pixel_metrics(maps, masks, inside) == pytest.approx(pixel_metrics(maps[:, cut], masks[:, cut]))
    assert aupro(maps, masks, inside=inside) != aupro(maps, masks)
