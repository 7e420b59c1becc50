"""Changes of photographs: values by hand, the same seed twice, what is refused."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mnad.config import FAMILIES, AugmentationConfig, CalibrationConfig, DetectorConfig, ModelConfig
from mnad.data.changes import (
    DRAWN,
    KINDS,
    PAIRS,
    Change,
    augmented,
    calibration_sets,
    changed,
    random_change,
    random_copies,
)
from mnad.data.images import Images
from mnad.detector import Detector
from mnad.run import UserError

RAMP = np.tile(np.arange(48, dtype=np.uint8)[None, :, None] * 5, (32, 1, 3))


def apply(text: str, image: np.ndarray = RAMP) -> np.ndarray:
    return Change.parse(text)(image, np.random.default_rng(0))


def test_values_by_hand():
    assert np.array_equal(apply("none"), RAMP)
    assert apply("blue=1.1")[0, 10].tolist() == [50, 50, 55]
    assert apply("red=0.9")[0, 10].tolist() == [45, 50, 50]
    assert apply("brightness=1.25")[0, [10, 46], 0].tolist() == [62, 255]  # 62.5 to even, 287.5 clipped
    assert apply("gamma=2")[0, 20, 0] == round(255 * (100 / 255) ** 2)
    assert apply("contrast=0.5")[0, [0, 20], 0].tolist() == [64, 114]  # 63.75, 113.75
    assert np.array_equal(apply("mirror=1"), RAMP[:, ::-1])
    assert np.array_equal(apply("shift_x=4")[:, 4:], RAMP[:, :-4]) and (apply("shift_x=4")[:, :4] == RAMP[:, :1]).all()
    assert apply("crop=0.1").shape == (28, 44, 3) and apply("crop=0.1")[0, 0, 0] == 10
    assert apply("crop=-0.1").shape == (36, 52, 3)
    assert (np.ptp(apply("grey=1", RAMP // np.array([1, 2, 3], np.uint8)), axis=2) == 0).all()


def test_blur_noise_and_jpeg():
    assert np.array_equal(apply("blur=1.2"), cv2.GaussianBlur(RAMP, (0, 0), 1.2))
    flat = np.full((200, 200, 3), 128, np.uint8)
    assert apply("noise=10", flat).std() == pytest.approx(10, rel=0.02)
    rough = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    errors = [np.abs(apply(f"jpeg={q}", rough).astype(int) - rough).mean() for q in (80, 50, 20)]
    assert errors == sorted(errors) and errors[0] > 0


def test_every_strength_is_told_and_in_range():
    for kind, entry in KINDS.items():
        for strength in entry.strengths:
            change = Change.parse(f"{kind}={strength:g}")
            assert str(change) == f"{kind}={strength:g}" and change(RAMP, np.random.default_rng(0)).dtype == np.uint8
    for text in PAIRS:
        assert str(Change.parse(text)) == text


def test_steps_follow_each_other():
    both = apply("brightness=2+brightness=0.5")
    assert both[0, 40, 0] == 128  # 400 is clipped to 255 in between, and 127.5 rounds to even


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fog=1", "change 'fog=1': 'fog' is unknown; expected some of red, green"),
        ("blur=much", "change 'blur=much': strength 'much'; expected a number"),
        ("jpeg=200", "change 'jpeg=200': strength 200; expected a number from 1 to 100"),
        ("blur=nan", "strength nan; expected a number from"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        Change.parse(text)


def test_configuration_and_families_agree():
    assert tuple(DRAWN) == FAMILIES
    with pytest.raises(UserError, match=r"calibration\.changes: expected some of white_balance"):
        CalibrationConfig(changes=["fog"])
    with pytest.raises(UserError, match=r"calibration\.known_copies: expected 0 or more, got -1"):
        CalibrationConfig(known_copies=-1)


def test_drawn_strengths_stay_in_the_promised_ranges():
    rng = np.random.default_rng(0)
    seen = {step for _ in range(300) for step in random_change(rng, FAMILIES).steps}
    ranges = {"red": (0.9, 1.1), "gamma": (0.8, 1.25), "blur": (0.3, 1.2), "noise": (0, 10), "jpeg": (20, 90)}
    for name, (low, high) in ranges.items():
        values = [strength for kind, strength in seen if kind == name]
        assert values and low <= min(values) and max(values) <= high


def test_seeded_copies_of_the_originals(tiny_wells):
    paths = sorted((tiny_wells / "train").iterdir())[:6]
    images = Images(paths, (32, 48))
    (first,), (again,) = (random_copies(images, 1, FAMILIES, 3) for _ in range(2))
    (other,) = random_copies(images, 1, FAMILIES, 4)
    everything = np.arange(6)
    assert np.array_equal(first.batch(everything), again.batch(everything))
    assert not np.array_equal(first.batch(everything), other.batch(everything))
    noisy = changed(images, Change.parse("noise=5"), 1)
    assert np.array_equal(noisy.batch(everything), changed(images, Change.parse("noise=5"), 1).batch(everything))


def test_statistics_and_threshold_over_copies(tiny_wells):
    """What calibrate returns begins with the unchanged images, and what is promised rests on them alone."""
    normals = Images(sorted((tiny_wells / "train").iterdir())[:12], (32, 48))
    known = Images(sorted((tiny_wells / "proliv").iterdir()), (32, 48))
    calibration = CalibrationConfig(normal_copies=1, known_copies=2)
    detector = Detector(DetectorConfig(model=ModelConfig(width=4, item_dim=16), calibration=calibration))
    normal, anomalous = detector.calibrate(normals, known)
    assert len(normal["wells"]) == 24 and len(anomalous["wells"]) == 24
    assert np.array_equal(normal["wells"][:12], detector.score(normals))
    sets, _ = calibration_sets(normals, known, calibration)
    assert np.array_equal(normal["wells"][12:], detector.score(sets[1]))
    assert detector.scores["wells"].high[0].item() == pytest.approx(
        np.quantile(np.concatenate([detector.raw_terms(s)["wells"][:, 0] for s in sets]), 0.99)
    )
    threshold = detector.thresholds["wells"]
    assert threshold.value == np.quantile(anomalous["wells"], 0.01)
    assert (threshold.promise.n_normal, threshold.promise.n_anomalous) == (12, 8)
    assert threshold.note.endswith("1 changed copies of each normal, 2 of each anomaly among them")


def test_frames_have_no_originals():
    class Frames:
        def __len__(self) -> int:
            return 3

    with pytest.raises(UserError, match="changed copies: of frames; expected photographs"):
        random_copies(Frames(), 1, FAMILIES, 0)


def test_milder_changes_lie_on_the_way():
    change = Change.parse("blue=0.9+jpeg=50+noise=8+crop=-0.1+mirror=1")
    assert str(change.milder(0.5)) == "blue=0.95+jpeg=75+noise=4+crop=-0.05+mirror=1"
    assert change.milder(1) is change


def test_training_images_and_their_copies(tiny_wells):
    images = Images(sorted((tiny_wells / "train").iterdir())[:5], (32, 48))
    assert augmented(images, AugmentationConfig()) is images
    config = AugmentationConfig(copies=2, changes=["noise"], seed=4)
    both = augmented(images, config)
    assert len(both) == 15 and np.array_equal(both.batch(np.arange(5)), images.batch(np.arange(5)))
    milder = np.abs(both.batch(np.arange(5, 15)).astype(int) - images.batch(np.tile(np.arange(5), 2))).mean()
    stronger = augmented(images, replace(config, strength=1.0)).batch(np.arange(5, 15)).astype(int)
    assert 0 < milder < np.abs(stronger - images.batch(np.tile(np.arange(5), 2))).mean()
    for options, message in (
        ({"copies": -1}, "augmentation.copies: expected 0 or more"),
        ({"strength": 0}, "augmentation.strength: expected a number above 0"),
        ({"changes": ["fog"]}, "augmentation.changes: expected some of white_balance"),
    ):
        with pytest.raises(UserError, match=message):
            AugmentationConfig(**options)
