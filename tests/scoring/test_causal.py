"""Scores that are scaled by the own past of a camera: a slow oracle; no later frame changes an earlier score."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from video_data import SIZE, walk, write_dataset

from mnad.config import (
    CalibrationConfig,
    CausalConfig,
    DetectorConfig,
    ImageConfig,
    ModelConfig,
    ScoreConfig,
    TermConfig,
)
from mnad.data.clips import Clips
from mnad.data.videos import read_videos
from mnad.detector import Detector
from mnad.evaluation.frames import score_video
from mnad.run import UserError
from mnad.scoring.causal import LEAST, Past
from mnad.scoring.scores import Score

CAUSAL = CausalConfig(past=6, prior=3, accept=2.0, average=3)
MEAN, DEVIATION = np.array([10.0, -1.0]), np.array([2.0, 0.5])
RAW = np.random.default_rng(0).normal(MEAN, 1.5 * DEVIATION, (40, 2))


def oracle(raw: np.ndarray, config: CausalConfig) -> np.ndarray:
    """Mean and variance as weighted sums over everything that was accepted, from the beginning, for every frame.

    The validation videos weigh ``prior`` frames; once ``past`` frames are known, each new one takes 1 / past of all.
    """
    values, weights, found = [MEAN], [1.0], []
    normal = np.random.default_rng(2).normal(size=4_000_000)  # mean and deviation of what is learnt of normal frames
    kept = np.maximum(normal[normal <= config.accept], -config.accept)
    centre, spread = kept.mean(), kept.std()
    spreads = [DEVIATION**2]  # of the validation videos; of a single frame none
    frames = config.prior
    for v in raw:
        total = np.array(weights)[:, None]
        mean = (total * values).sum(axis=0)
        variance = (total * (np.array(spreads) + (np.array(values) - mean) ** 2)).sum(axis=0)
        deviation = np.maximum(np.sqrt(variance), LEAST * DEVIATION)
        z = (v - mean) / deviation
        found.append(MEAN + DEVIATION * z)
        if np.all(z <= config.accept):
            frames = min(frames + 1, config.past)
            weights = [w * (1 - 1 / frames) for w in weights] + [1 / frames]
            seen = np.maximum(z, -config.accept)
            values.append(mean + deviation * (seen - centre) / spread)
            spreads.append(np.zeros(2))
    return np.array(found)


def new_past(config: CausalConfig = CAUSAL) -> Past:
    return Past(config, MEAN, DEVIATION)


@pytest.mark.parametrize("accept", [1.5, 2.0, 30.0])
def test_equals_weighted_sums_over_the_whole_past(accept: float) -> None:
    config = CausalConfig(past=6, prior=3, accept=accept)
    np.testing.assert_allclose(new_past(config).adapt(RAW), oracle(RAW, config), rtol=0.01, atol=0.01)


@pytest.mark.parametrize("accept", [1.5, 2.0, 3.0])
def test_the_false_alarm_rate_stays_what_it_is(accept: float) -> None:
    """Whatever is cut off, 5 % of the frames of a camera like the validation videos stay above their 95 % quantile,
    after 8,000 frames as at the beginning. Without the correction by mu and sigma it is 45 % at 1.5."""
    raw = np.random.default_rng(0).normal(size=(8000, 1))
    past = Past(CausalConfig(past=400, prior=100, accept=accept), np.zeros(1), np.ones(1))
    found = past.adapt(raw)[:, 0]
    assert (found[4000:] >= 1.645).mean() == pytest.approx(0.05, abs=0.01)


def test_while_young_it_is_the_mean_of_prior_and_frames() -> None:
    """Three frames of the prior at 10, then 13 and 9: the next frame is compared with (30 + 13 + 9) / 5 = 10.4."""
    past = Past(CausalConfig(past=100, prior=3, accept=30), np.array([10.0]), np.array([1.0]))  # accepts everything
    past.adapt(np.array([[13.0], [9.0]]))
    assert past.mean.tolist() == [pytest.approx(10.4)]
    assert past.variance.tolist() == [pytest.approx((3 * (1 + 0.4**2) + 2.6**2 + 1.4**2) / 5)]


def test_no_later_frame_changes_an_earlier_score() -> None:
    whole = new_past().adapt(RAW)
    for end in (1, 7, 23):
        changed = RAW.copy()
        changed[end:] += 100
        np.testing.assert_array_equal(new_past().adapt(changed)[:end], whole[:end])
        np.testing.assert_array_equal(new_past().adapt(RAW[:end]), whole[:end])


def test_one_by_one_equals_all_at_once() -> None:
    past, whole = new_past(), new_past()
    scores = np.arange(40.0)
    one_by_one = np.concatenate([past.adapt(row[None]) for row in RAW])
    np.testing.assert_array_equal(one_by_one, whole.adapt(RAW))
    averaged = np.concatenate([past.average(scores[i : i + 1]) for i in range(40)])
    np.testing.assert_array_equal(averaged, whole.average(scores))
    assert averaged[:4].tolist() == [0, 0.5, 1, 2]  # this frame and the two before it


def test_a_frame_that_is_not_accepted_leaves_no_trace() -> None:
    plain, disturbed = new_past(), new_past()
    plain.adapt(RAW[:10])
    disturbed.adapt(np.concatenate([RAW[:10], [[100.0, -1.0]]]))  # one term is enough
    np.testing.assert_array_equal(disturbed.adapt(RAW[10:]), plain.adapt(RAW[10:]))


def test_another_level_and_spread_are_learnt() -> None:
    """A camera of half the spread, two deviations lower: after a while its frames look like those of validation."""
    rng = np.random.default_rng(1)
    raw = rng.normal(MEAN - 2 * DEVIATION, DEVIATION / 2, (2000, 2))
    found = Past(CausalConfig(past=400, prior=50, accept=3), MEAN, DEVIATION).adapt(raw)[1000:]
    np.testing.assert_allclose(found.mean(axis=0), MEAN, atol=0.2)
    np.testing.assert_allclose(found.std(axis=0), DEVIATION, rtol=0.1)
    before = Past(CausalConfig(past=400, prior=50, accept=3), MEAN, DEVIATION).adapt(raw)[:1]
    np.testing.assert_allclose(before, raw[:1])  # at first the scale is that of validation


def test_a_still_picture_does_not_make_every_change_an_alarm() -> None:
    past = new_past()
    past.adapt(np.tile(MEAN, (500, 1)))
    moved = past.adapt(MEAN[None] + LEAST * DEVIATION)
    np.testing.assert_allclose(moved, [MEAN + DEVIATION], atol=0.12)


# The score and the detector ----------------------------------------------------------------------------------------


def causal_score() -> Score:
    terms = [TermConfig("psnr"), TermConfig("peak_error")]
    score = Score(ScoreConfig(terms, "spread", "max", causal=CAUSAL))
    return score.fit(torch.from_numpy(RAW))


def test_the_past_begins_with_median_and_deviation_of_the_validation_videos() -> None:
    past = causal_score().new_past()
    median = np.median(RAW, axis=0)
    np.testing.assert_allclose(past.mean, median)
    np.testing.assert_allclose(past.variance, (1.4826 * np.median(np.abs(RAW - median), axis=0)) ** 2)
    assert Score(ScoreConfig([TermConfig("psnr")])).new_past() is None


def build(causal: CausalConfig | None = CAUSAL, variant: str = "pred") -> Detector:
    torch.manual_seed(0)
    return Detector(
        DetectorConfig(
            model=ModelConfig(variant=variant, width=2, items=3, item_dim=4),
            images=ImageConfig(height=SIZE[0], width=SIZE[1]),
            scores={"window": ScoreConfig([TermConfig("peak_error")], "spread", causal=causal)},
            primary="window",
        )
    )


def calibrated(tmp_path, causal: CausalConfig | None = CAUSAL) -> tuple[Detector, np.ndarray]:
    detector = build(causal)
    videos = read_videos(write_dataset(tmp_path / "d", 12)).train
    return detector, detector.calibrate(Clips(videos, SIZE))[0]["window"]


def test_calibration_scores_each_video_from_its_beginning(tmp_path) -> None:
    detector, normal = calibrated(tmp_path)
    videos = read_videos(tmp_path / "d").train
    expected = []
    for video in videos:
        raw = score_video(detector, video.name, video.frames(SIZE)).raw
        expected.append(detector.combine(raw, detector.new_pasts())["window"])
    np.testing.assert_allclose(normal, np.concatenate(expected), rtol=1e-5)
    assert detector.thresholds["window"].value == pytest.approx(np.quantile(normal, 0.995))


def test_scale_and_threshold_may_see_the_training_videos(tmp_path) -> None:
    config = build().config
    detector = Detector(replace(config, calibration=CalibrationConfig(training_videos=True)), build().models)
    first, *others = read_videos(write_dataset(tmp_path / "d", 12)).train
    assert others
    held_out, seen = Clips([first], SIZE), Clips(others, SIZE)
    normal, _ = detector.calibrate(held_out, training=seen)
    assert len(normal["window"]) == len(held_out)  # the histogram is that of frames never seen
    every = np.concatenate([detector.raw_terms(part)["window"] for part in (held_out, seen)])
    assert detector.scores["window"].mean.item() == pytest.approx(np.median(every))
    threshold = detector.thresholds["window"]
    assert threshold.note.endswith(f"{len(seen)} of the normals are frames trained on")
    assert threshold.promise.n_normal == len(held_out) + len(seen)
    with pytest.raises(UserError, match=r"calibration\.training_videos: expected training videos"):
        detector.calibrate(held_out)
    plain = build()
    plain.calibrate(held_out, training=seen)  # which it leaves alone
    assert plain.thresholds["window"].promise.n_normal == len(held_out)


def test_photographs_have_no_past(tmp_path) -> None:
    """Without a past the causal score is on the scale of the validation videos, like any other."""
    (causal, _), plain = calibrated(tmp_path / "a"), calibrated(tmp_path / "b", None)[0]
    raw = {"window": np.random.default_rng(0).normal(size=(5, 1))}
    np.testing.assert_allclose(causal.combine(raw)["window"], plain.combine(raw)["window"])
    assert plain.new_pasts() == {} and list(causal.new_pasts()) == ["window"]


def test_survives_saving(tmp_path) -> None:
    detector, _ = calibrated(tmp_path)
    detector.save(tmp_path / "d.safetensors")
    again = Detector.load(tmp_path / "d.safetensors")
    assert again.config.scores["window"].causal == CAUSAL
    raw = {"window": np.random.default_rng(0).normal(size=(9, 1))}
    expected = detector.combine(raw, detector.new_pasts())
    np.testing.assert_array_equal(again.combine(raw, again.new_pasts())["window"], expected["window"])


def test_verdicts_on_frames_of_two_cameras_in_turn(tmp_path) -> None:
    """Each camera has its own past, whatever comes between."""
    detector, _ = calibrated(tmp_path)
    films = [np.stack([np.repeat(f[..., None], 3, axis=2) for f in walk(20, 1 + 3 * i, i)]) for i in range(2)]
    clips = [np.stack([film[i : i + 5] for i in range(16)]) for film in films]
    alone = [detector.judge(["x"] * 16, c, pasts=[past] * 16) for c in clips for past in [detector.new_pasts()]]
    pasts = [detector.new_pasts(), detector.new_pasts()]
    mixed = np.stack(clips, axis=1).reshape(32, *clips[0].shape[1:])
    together = [v.score for v in detector.judge(["x"] * 32, mixed, pasts=pasts * 16)]
    np.testing.assert_allclose(together[::2], [v.score for v in alone[0]], rtol=1e-5)
    np.testing.assert_allclose(together[1::2], [v.score for v in alone[1]], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": 0}, "causal.prior: expected at least 1 frame, got 0"),
        ({"average": 0}, "causal.average: expected at least 1 frame, got 0"),
        ({"past": 10, "prior": 20}, "causal.past: expected at least causal.prior, 20 frames, got 10"),
        ({"accept": 0}, "causal.accept: expected a number above 0, got 0"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        CausalConfig(**options)
