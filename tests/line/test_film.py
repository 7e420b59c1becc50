"""scripts/score.py on one film: the film with its map and running score, and the curve."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from video_data import SIZE, walk, write_frames

from mnad.config import CausalConfig, DetectorConfig, ImageConfig, ModelConfig, ScoreConfig, TermConfig
from mnad.data.clips import Clips
from mnad.data.videos import FrameFolder
from mnad.detector import Detector
from mnad.evaluation.frames import score_video
from mnad.evaluation.judge import frame_table
from mnad.line import film as film_module
from mnad.line.boxes import COLOURS
from mnad.line.cuts import Wanted
from mnad.line.film import framed, one_film, with_map, written_film
from mnad.line.scoring import Films, Scored, score
from mnad.line.sources import shots
from mnad.model.network import Network
from mnad.report.plots import plot_film
from mnad.run import UserError
from mnad.run.verdict import Verdict

FRAMES = 14


def build(folder: Path) -> Detector:
    """A small causal detector that calls about half of all frames anomalous."""
    import torch

    torch.manual_seed(0)
    terms = [TermConfig("peak_error")]
    score_config = ScoreConfig(terms, "spread", causal=CausalConfig(past=20, prior=5, average=3))
    detector = Detector(
        DetectorConfig(
            model=ModelConfig(variant="pred", width=2, items=3, item_dim=4),
            images=ImageConfig(height=SIZE[0], width=SIZE[1]),
            scores={"window": score_config},
            primary="window",
        )
    )
    frames = write_frames(folder / "normal", walk(30, 1, 5))
    normal = detector.calibrate(Clips([FrameFolder("n", tuple(sorted(frames.iterdir())))], SIZE))[0]["window"]
    detector.thresholds["window"].value = float(np.median(normal))
    return detector


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film")
    build(folder).save(folder / "tiny.safetensors")
    return folder / "tiny.safetensors"


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("frames") / "01", walk(FRAMES, 3, 0))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), 10, SIZE[::-1])
    for frame in walk(FRAMES, 3, 0):
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


def read_film(path: Path) -> tuple[list[np.ndarray], float]:
    capture, found = cv2.VideoCapture(str(path)), []
    while (more := capture.read())[0]:
        found.append(more[1][..., ::-1])
    return found, capture.get(cv2.CAP_PROP_FPS)


def test_score_py_follows_the_causal_column_of_the_evaluation(checkpoint: Path, film: Path, frames: Path) -> None:
    """One film, frame by frame on the line and in the evaluation: the same scores, as a film and as a folder."""
    detector = Detector.load(checkpoint)
    video = FrameFolder("01", tuple(sorted(frames.iterdir())))
    table = frame_table(detector, score_video(detector, "01", video.frames(SIZE)), None)
    for where in (film, frames):
        scored = [one.verdict.score for one in score(detector, shots([where]))]
        assert np.isnan(scored[:4]).all()
        np.testing.assert_allclose(scored[4:], table["causal_window"], rtol=1e-4)


def test_a_stream_that_is_scored_in_parts_keeps_its_past(checkpoint: Path, frames: Path, tmp_path: Path) -> None:
    """What a watched folder does: a few images at a time, two cameras in turn."""
    detector = Detector.load(checkpoint)
    paths = sorted(frames.iterdir())
    whole = [one.verdict.score for one in score(detector, shots(paths))]
    films, other = Films(detector, most=2), write_frames(tmp_path / "other", walk(3, 5, 1))
    found = []
    for start in range(0, FRAMES, 5):
        found += [one.verdict.score for one in score(detector, shots(paths[start : start + 5]), films=films)]
        list(score(detector, shots([other]), films=films))
    np.testing.assert_allclose(found, whole, rtol=1e-5)


def test_the_film_seen_longest_ago_is_forgotten(checkpoint: Path, tmp_path: Path) -> None:
    detector = Detector.load(checkpoint)
    films = Films(detector, most=2)
    for name in "abc":
        list(score(detector, shots([write_frames(tmp_path / name, walk(5, 1, 0))]), films=films))
    assert [Path(film).name for film in films.tracks] == ["b", "c"]


def test_overlay_and_figure(script, checkpoint: Path, film: Path, tmp_path: Path, capsys) -> None:
    target, figure = tmp_path / "out.mp4", tmp_path / "curve.png"
    arguments = (film, "--checkpoint", checkpoint, "--overlay", target, "--figure", figure)
    assert script("score", *arguments) == 1
    drawn, rate = read_film(target)
    assert len(drawn) == FRAMES and rate == pytest.approx(10)
    height, width = drawn[0].shape[:2]
    assert width == 480 and height > 320  # enlarged, with the strip below
    assert cv2.imread(str(figure)).shape[1] > 1000
    assert capsys.readouterr().out.splitlines()[-2:] == [str(target), str(figure)]
    assert sorted(os.listdir(tmp_path)) == ["curve.png", "out.mp4"]  # nothing half-written stays
    assert script("score", *arguments) == 2
    assert "out.mp4: exists already; expected a new file" in capsys.readouterr().err


def test_overlay_of_a_folder_of_frames(script, checkpoint: Path, frames: Path, tmp_path: Path) -> None:
    script("score", frames, "--checkpoint", checkpoint, "--overlay", tmp_path / "out.avi")
    drawn, rate = read_film(tmp_path / "out.avi")
    assert len(drawn) == FRAMES and rate == pytest.approx(25)


def test_anomalous_frames_are_framed_and_maps_cover(checkpoint: Path) -> None:
    picture = np.full((40, 60, 3), 100, np.uint8)
    values = np.zeros((10, 15), np.float32)
    np.testing.assert_array_equal(with_map(picture, values, Network.map_ceiling), picture)
    values[:, 8:] = Network.map_ceiling
    covered = with_map(picture, values, Network.map_ceiling)
    assert (covered[:, :20] == 100).all() and (covered[:, 50] != 100).all()
    assert (framed(picture, Verdict("a:1", 2.0, 1.0))[0] == COLOURS["anomalous"]).all()
    np.testing.assert_array_equal(framed(picture, Verdict("a:1", 0.5, 1.0)), picture)


def test_a_lost_frame_shows_the_one_before(checkpoint: Path, tmp_path: Path) -> None:
    detector = Detector.load(checkpoint)
    picture = np.full((40, 60, 3), 200, np.uint8)
    with written_film(tmp_path / "o.avi", detector, 10) as writer:
        writer.add(Scored(Verdict("a:0", error="lost")))  # nothing to show yet
        for number, shown in enumerate((picture, None, picture), 1):
            writer.add(Scored(Verdict(f"a:{number}", error="too early"), picture=shown))
    drawn, _ = read_film(tmp_path / "o.avi")
    assert len(drawn) == 3 and abs(drawn[1][:300].astype(int) - 200).max() < 8


def test_failure_leaves_no_film(checkpoint: Path, tmp_path: Path) -> None:
    detector = Detector.load(checkpoint)
    unread = pytest.raises(UserError, match=r"o\.mp4: not written, no frame could be read")
    with unread, written_film(tmp_path / "o.mp4", detector, 10):
        pass
    with pytest.raises(RuntimeError), written_film(tmp_path / "o.mp4", detector, 10) as writer:
        writer.add(Scored(Verdict("a:0"), picture=np.zeros((40, 60, 3), np.uint8)))
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_film(checkpoint: Path, tmp_path: Path, monkeypatch) -> None:
    """However long the film, only so many whole pictures are alive: one small batch, and what is decoded ahead."""
    import weakref

    class Watched(np.ndarray):
        """An array that can be counted."""

    alive: list[weakref.ref] = []
    most = 0
    path = tmp_path / "long.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, SIZE[::-1])
    for frame in walk(150, 1, 0):
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()
    from mnad.line import sources

    plain = sources.to_rgb8

    def watched(*arguments):
        found = plain(*arguments).copy().view(Watched)
        alive.append(weakref.ref(found))
        return found

    monkeypatch.setattr(sources, "to_rgb8", watched)
    detector = Detector.load(checkpoint)
    with written_film(tmp_path / "o.avi", detector, 10) as film_writer:
        for one in score(detector, shots([path]), Wanted(picture=True, workers=2)):
            film_writer.add(one)
            most = max(most, sum(reference() is not None for reference in alive))
    assert len(alive) == 150 and most <= 40


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.avi", "b.avi"], "overlay: expected one film, one stream or one folder of frames as PATH"),
        (["nothing"], "overlay: expected one film"),
        (["-"], "overlay: expected one film"),
    ],
)
def test_more_than_one_film(words: list[str], message: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        one_film(words, "overlay")


def test_a_stream_is_one_film() -> None:
    assert one_film(["rtsp://camera/1"], "overlay") == film_module.RATE


def test_bad_options(script, film: Path, checkpoint: Path, tmp_path: Path, capsys) -> None:
    for arguments, message in (
        (("--overlay", tmp_path / "o"), "without boxes; expected a film (.mp4, .avi) or --boxes with it"),
        (("--figure", tmp_path / "f.pdf"), "figure: expected a file ending in .png"),
    ):
        assert script("score", film, "--checkpoint", checkpoint, *arguments) == 2
        assert message in capsys.readouterr().err


def test_plot_of_a_film_with_gaps(tmp_path: Path) -> None:
    scores = np.array([np.nan] * 4 + [0.1, 2.0, 2.0, 0.3, 3.0])
    (path,) = plot_film(tmp_path / "c.png", scores, 1.0, "window", "a film")
    assert path.stat().st_size > 1000
    plot_film(tmp_path / "none.png", np.full(3, np.nan), 1.0, "window", "nothing")
