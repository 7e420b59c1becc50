"""Scoring videos: terms, test-time update, flat memory, the paper's score, maps and metrics."""

import math
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from video_data import SIZE, walk, write_dataset

from mnad.config import DetectorConfig, ImageConfig, ModelConfig, ScoreConfig, TermConfig, mnad_score
from mnad.data.clips import Clips
from mnad.data.dataset import Videos
from mnad.data.videos import read_videos
from mnad.detector import Detector
from mnad.evaluation.frames import frame_map, kept_items, regular_score, score_video, video_scores
from mnad.evaluation.judge import evaluate_videos, frame_metrics
from mnad.model.health import memory_health
from mnad.report.plots import plot_curves, runs_of_ones
from mnad.report.tables import health_line
from mnad.run import UserError
from mnad.scoring.scores import Score

VARIANTS = ("recon", "pred")


HEALTH = {"even": [5, 5, 5, 5], "two": [85, 15, 0, 0], "one": [0, 9, 0, 0], "nearly one": [0, 990, 10, 0]}


def build(variant: str = "pred", name: str = "mnad") -> Detector:
    torch.manual_seed(0)
    return Detector(
        DetectorConfig(
            model=ModelConfig(name=name, variant=variant, width=2, items=3, item_dim=4),
            images=ImageConfig(height=SIZE[0], width=SIZE[1]),
            scores={"mnad": mnad_score("pred")},
            primary="mnad",
        )
    )


def videos(folder: Path, variant: str = "pred") -> Videos:
    return Videos(read_videos(write_dataset(folder / "d")), ImageConfig(*SIZE), variant, folder)


def rgb(count: int = 9, speed: float = 1, seed: int = 0) -> list[np.ndarray]:
    return [np.repeat(frame[..., None], 3, axis=2) for frame in walk(count, speed, seed)]


def test_regular_score_by_loops() -> None:
    rng = np.random.default_rng(0)
    output, target = rng.uniform(-1, 1, (2, 2, 3, 2, 2))
    found = regular_score(torch.from_numpy(output), torch.from_numpy(target))
    for b in range(2):
        errors = [((o - t) / 2) ** 2 for o, t in zip(output[b].flat, target[b].flat, strict=True)]
        weights = [1 - math.exp(-e) for e in errors]
        expected = sum(w * e for w, e in zip(weights, errors, strict=True)) / sum(weights)
        assert found[b].item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_frame_by_frame_equals_batches(tmp_path: Path, variant: str) -> None:
    """The streaming window and the training source must see the same clips."""
    detector = build(variant)
    video = read_videos(write_dataset(tmp_path / "d")).test[1]
    terms = score_video(detector, video.name, video.frames(SIZE))
    past = 4 if variant == "pred" else 0
    assert terms.first == past and len(terms.regular) == len(video) - past
    batch = detector.raw_terms(Clips([video], SIZE, past))
    np.testing.assert_allclose(terms.raw["mnad"], batch["mnad"], rtol=1e-5)
    assert not terms.updated.any() and terms.counts.sum() == len(terms.regular) * 2 * 3


def test_update_follows_gamma() -> None:
    """Each frame below gamma changes the items, after it was scored and before the next one."""
    detector, frames = build("recon"), rgb(6)
    trained = detector.model.memory.items.clone()
    plain = score_video(detector, "v", frames)
    gamma = float(np.median(plain.regular))
    expected, changed = [], []
    with torch.no_grad():
        for frame in frames:  # the obvious way, on the images themselves
            x = torch.from_numpy(frame).permute(2, 0, 1)[None] / 127.5 - 1
            out = detector.model(x)
            expected.append(out.distance.mean().item())
            changed.append(regular_score(out.output, x).item() < gamma)
            if changed[-1]:
                q = out.queries.reshape(-1, 4)
                detector.model.memory.items.copy_(detector.model.memory.updated(q, q @ detector.model.memory.items.T))
    after = detector.model.memory.items.clone()
    assert 0 < sum(changed) < len(changed) and not torch.equal(after, trained)
    detector.model.memory.update(trained)
    terms = score_video(detector, "v", frames, gamma)
    assert terms.updated.tolist() == changed
    np.testing.assert_allclose(terms.raw["mnad"][:, 1], expected, rtol=1e-5)
    torch.testing.assert_close(detector.model.memory.items, after)
    assert not np.allclose(terms.raw["mnad"][:, 1], plain.raw["mnad"][:, 1])


def test_trained_items_come_back(tmp_path: Path) -> None:
    detector = build()
    trained = detector.model.memory.items.clone()
    result = evaluate_videos(detector, videos(tmp_path), gamma=10.0)
    assert result.memory_updates == len(result.table) == 3 * 5 and result.gamma == 10.0
    assert torch.equal(detector.model.memory.items, trained)
    with pytest.raises(RuntimeError), kept_items(detector.model):
        detector.model.memory.items.zero_()
        raise RuntimeError
    assert torch.equal(detector.model.memory.items, trained)


def test_too_short_a_video() -> None:
    with pytest.raises(UserError, match="v: 4 frames; expected at least 5"):
        score_video(build("pred"), "v", rgb(4))


class Watched(np.ndarray):
    """An array that can be counted."""


def test_no_frame_is_kept() -> None:
    """However long the video: never more decoded frames alive than one clip and the frame that is being read."""
    references: list[weakref.ref] = []
    most = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal most
        for frame in rgb(40):
            watched = frame.copy().view(Watched)
            references.append(weakref.ref(watched))
            most = max(most, sum(reference() is not None for reference in references))
            yield watched
            del watched

    score_video(build("pred"), "v", frames(), gamma=10.0)
    assert len(references) == 40 and most <= 6


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("gamma", [None, 10.0])
def test_process_memory_stays_flat(gamma: float | None) -> None:
    """400 frames more: one kept clip a frame would be 400 * 12 * 16 * 24 * 4 bytes = 7 MB, its skip maps 14 MB more."""
    detector, some = build("pred"), rgb(20)

    def frames(count: int) -> Iterator[np.ndarray]:
        return (some[i % 20] for i in range(count))

    score_video(detector, "warm-up", frames(100), gamma)
    before = resident_bytes()
    score_video(detector, "v", frames(400), gamma)
    assert resident_bytes() - before < 4e6


# The score of the paper -------------------------------------------------------------------------------------------


def test_paper_score_is_the_weighted_sum_of_min_max_terms() -> None:
    raw = np.random.default_rng(0).normal(size=(20, 2))
    score = Score(mnad_score("pred"))
    scaled = (raw - raw.min(axis=0)) / np.ptp(raw, axis=0)
    np.testing.assert_allclose(video_scores(score, raw), 0.6 * scaled[:, 0] + 0.4 * scaled[:, 1])
    assert score.low.tolist() == [0, 0] and score.high.tolist() == [1, 1]  # the fitted statistics are not touched


def test_equal_terms_do_not_divide_by_zero() -> None:
    raw = np.array([[1.0, 3.0], [2.0, 3.0]])
    np.testing.assert_allclose(video_scores(Score(mnad_score("pred")), raw), [0, 0.6])


# Maps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_frame_map_is_the_error_of_that_frame(variant: str) -> None:
    detector, frames = build(variant), rgb(8)
    first = 4 if variant == "pred" else 0
    terms = score_video(detector, "v", frames)
    for index in (first, 7):
        values = frame_map(detector, iter(frames), index)
        assert values.shape == SIZE and values.dtype == np.float32
        assert 10 * np.log10(values.mean()) == pytest.approx(terms.raw["mnad"][index - first, 0], rel=1e-4)
    for index in (first - 1, 8):
        with pytest.raises(UserError, match=f"v, frame {index}: has no map; expected a frame from {first} to"):
            frame_map(detector, iter(frames), index, "v")


# Metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_by_hand() -> None:
    """Video a: the abnormal frame is above one of two normal ones. Video b has no abnormal frame."""
    frame = pd.DataFrame(
        {
            "video": ["a", "a", "a", "b", "b"],
            "label": [0, 0, 1, 0, 0],
            "score_mnad": [0.1, 0.9, 0.5, 0.2, 0.7],
        }
    )
    metrics = frame_metrics(build(), frame)["mnad"]
    assert metrics["auroc_videos"] == {"a": 0.5, "b": None}
    assert metrics["auroc_video_mean"] == 0.5
    assert metrics["auroc"] == 0.5  # the abnormal 0.5 beats 0.1 and 0.2 of the four normals
    assert (metrics["n_anomalous"], metrics["n_normal"]) == (1, 4)
    assert metrics["threshold"] is metrics["tpr"] is metrics["tnr"] is None  # not calibrated


def test_health_line_says_when_the_memory_has_collapsed() -> None:
    items = torch.eye(4)
    usage = {name: memory_health(torch.tensor(counts), items) for name, counts in HEALTH.items()}
    assert health_line(usage["even"]).endswith("0.000 at most")
    assert "1.53 effective items" in health_line(usage["two"]) and "collapsed" not in health_line(usage["two"])
    for name in ("one", "nearly one"):
        assert health_line(usage[name]).endswith("; collapsed: one item takes nearly all queries")


def test_prediction_drops_the_first_four_labels(tmp_path: Path) -> None:
    result = evaluate_videos(build("pred"), videos(tmp_path), None)
    second = result.table[result.table["video"] == "02"]
    assert second["frame"].tolist() == [4, 5, 6, 7, 8] and second["label"].tolist() == [0, 0, 1, 1, 1]
    assert set(result.memory) >= {"usage_entropy", "perplexity", "dead_items", "item_similarity_max"}
    whole = evaluate_videos(build("recon"), videos(tmp_path / "again", "recon"), None).table
    assert whole[whole["video"] == "02"]["label"].tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1]


def test_models_without_a_memory_are_scored_by_psnr(tmp_path: Path) -> None:
    data = videos(tmp_path)
    data.labels = None
    result = evaluate_videos(build("pred", "conv_ae"), data, gamma=10.0)
    assert result.memory_updates is result.memory is result.gamma is None and result.scores == {}
    assert "mnad_psnr" in result.table and "mnad_feature_distance" not in result.table and "label" not in result.table


def test_score_carries_over_to_calibrated_detectors(tmp_path: Path) -> None:
    """With statistics of validation videos the online score needs no other test frame."""
    data = videos(tmp_path)
    detector = build("pred")
    detector.calibrate(Clips(data.layout.train, SIZE), None)
    both = evaluate_videos(detector, data, None)
    data.test, data.labels = data.test[1:2], data.labels[1:2]
    alone = evaluate_videos(detector, data, None).table
    rows = both.table[both.table["video"] == "02"]
    np.testing.assert_allclose(rows["causal_mnad"], alone["causal_mnad"])
    verdict = (alone["causal_mnad"] >= detector.thresholds["mnad"].value).astype(int)
    assert alone["verdict_mnad"].tolist() == verdict.tolist()
    assert both.scores["mnad"]["n_anomalous"] == 3 + 5


# Figures ----------------------------------------------------------------------------------------------------------


def test_runs_of_ones() -> None:
    assert runs_of_ones(np.array([1, 1, 0, 1, 0, 0, 1])) == [(0, 2), (3, 4), (6, 7)]
    assert runs_of_ones(np.zeros(3, dtype=int)) == []


def test_plot_curves(tmp_path: Path) -> None:
    frame = pd.DataFrame({"video": ["a"] * 3 + ["b"] * 3, "frame": [0, 1, 2] * 2, "score_mnad": [0, 1, 0.5] * 2})
    both = frame.assign(label=[0, 1, 1, 0, 0, 0], score_peak=[1, 0, 0.5] * 2)
    paths = plot_curves(tmp_path / "c.png", both, ["score_mnad", "score_peak"], ("png", "pdf"))
    assert [p.suffix for p in paths] == [".png", ".pdf"] and all(p.stat().st_size > 1000 for p in paths)
    plot_curves(tmp_path / "unlabelled.png", frame, ["score_mnad"])
    with pytest.raises(UserError, match="no column score_other"):
        plot_curves(tmp_path / "x.png", frame, ["score_other"])


def test_detector_refuses_sizes_that_the_encoder_cannot_halve() -> None:
    with pytest.raises(UserError, match=r"images\.height: expected a positive multiple of 8, got 12"):
        ImageConfig(height=12)


def test_smoothing_averages_neighbours_of_one_video():
    raw = np.array([[0.0], [0.0], [3.0], [0.0], [0.0], [0.0]])
    plain, smooth = (video_scores(Score(ScoreConfig([TermConfig("psnr")], smooth=frames)), raw) for frames in (1, 3))
    assert plain.tolist() == [0, 0, 1, 0, 0, 0]
    assert smooth == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 0, 0])
    with pytest.raises(UserError, match="smooth: expected at least 1 frame, got 0"):
        Score(ScoreConfig([TermConfig("psnr")], smooth=0))
