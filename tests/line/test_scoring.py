"""scripts/score.py: verdicts on photographs, films and boxes; rows, screen, exit status, maps, overlays."""

import csv
import io
import json
import re
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import ROOT
from tqdm import tqdm

from mnad.config import DetectorConfig, ImageConfig, ModelConfig
from mnad.data.reading import read_image, resize
from mnad.detector import Detector
from mnad.line.cuts import Wanted
from mnad.line.judge import Judge, Upload
from mnad.line.scoring import file_name, score
from mnad.line.sources import shots
from mnad.line.summary import Histogram, Summary, Worst
from mnad.run import UserError
from mnad.run.ahead import ahead
from mnad.run.cli import parse
from mnad.run.verdict import Verdict
from mnad.scoring.threshold import Threshold


def write_film(path: Path, frames: list[np.ndarray], times: int = 1) -> Path:
    """``frames`` over and over, without loss, so that a frame is itself again."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), 10, (width, height))
    for _ in range(times):
        for frame in frames:
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_picture_has_a_row_in_order_and_one_bad_file_stops_nothing(script, wells, tmp_path, capsys, detector):
    folder = wells / "test" / "imgs"
    bad = folder / "0000bad.jpg"
    bad.write_bytes(b"no image")
    (folder / "notes.txt").write_text("x")
    table, listed = tmp_path / "v.csv", tmp_path / "v.json"
    status = script("score", folder, tmp_path / "gone.jpg", "--checkpoint=synthetic", "--csv", table, "--json", listed)
    found = rows(table)
    paths = [*(str(path) for path in sorted(folder.glob("*.jpg"))), str(tmp_path / "gone.jpg")]
    assert [row["path"] for row in found] == paths
    errors = {row["path"]: row["error"] for row in found if row["error"]}
    assert "is not a readable image" in errors[str(bad)] and "No such file" in errors[paths[-1]] and len(errors) == 2
    good = [row for row in found if not row["error"]]
    expected = {v.path: v for v in detector.predict([row["path"] for row in good])}
    for row in good:
        verdict = expected[row["path"]]
        assert float(row["score"]) == pytest.approx(verdict.score, abs=1e-9) and row["verdict"] == verdict.verdict
        assert float(row["margin"]) == pytest.approx(float(row["score"]) - float(row["threshold"]))
    assert status == int(any(row["verdict"] == "anomalous" for row in good)) == 1
    assert [row["path"] for row in json.loads(listed.read_text())["verdicts"]] == paths
    printed = capsys.readouterr().out
    scores = [float(line.split()[0]) for line in printed.splitlines()[1:21]]
    assert scores == sorted(scores, reverse=True)
    assert "passed over, unknown ending: 1" in printed and "2 without a verdict" in printed


def test_the_rate_needs_no_progress_bar(script, capsys, photographs, monkeypatch):
    monkeypatch.setattr("mnad.line.command.tqdm", partial(tqdm, disable=True))
    script("score", photographs[0], "--checkpoint=synthetic")
    rate = re.search(r" s, ([\d.,]+) a second;", capsys.readouterr().out)
    assert rate and 0 < float(rate[1].replace(",", "")) < 1e5


def test_exit_status(script, tmp_path, capsys, detector, photographs):
    verdicts = {v.path: v for v in detector.predict(photographs)}
    normal = next(path for path, verdict in verdicts.items() if not verdict.anomalous)
    assert script("score", normal, "--checkpoint=synthetic") == 0
    (tmp_path / "empty.png").write_bytes(b"")
    assert script("score", tmp_path / "empty.png", "--checkpoint=synthetic") == 2
    (tmp_path / "none").mkdir()
    assert script("score", tmp_path / "none", "--checkpoint=synthetic") == 2
    capsys.readouterr()
    for arguments, message in (
        ([], "PATH: none given"),
        ([normal, "--overlay", tmp_path / "o"], "without boxes; expected a film"),
        ([normal, "--checkpoint", "nothing"], "nothing: missing; expected a checkpoint"),
        ([normal, "--wrkers=3"], "--wrkers=3"),
        ([normal, "--csv", tmp_path / "empty.png"], "is no earlier result"),
    ):
        assert script("score", *arguments) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("error: ") and message in line


def test_list_on_standard_input(script, tmp_path, photographs, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n".join(map(bytes, photographs[:3])))))
    script("score", "-", "--checkpoint=synthetic", "--csv", tmp_path / "v.csv")
    assert [row["path"] for row in rows(tmp_path / "v.csv")] == [str(path) for path in photographs[:3]]


def test_frames_of_a_looped_film_have_the_scores_of_their_photographs(script, tmp_path, photographs, detector):
    frames = [read_image(path)[:40, :60] for path in photographs[:6]]
    frames = [cv2.resize(frame, (60, 40)) for frame in frames]
    film = write_film(tmp_path / "line.avi", frames, times=3)
    script("score", film, "--checkpoint=synthetic", "--csv", tmp_path / "v.csv")
    found = rows(tmp_path / "v.csv")
    assert [row["path"] for row in found] == [f"{film}:{i}" for i in range(18)]
    scores = [float(row["score"]) for row in found]
    assert scores[6:] == pytest.approx(scores[:6] * 2)
    read = [cv2.cvtColor(f, cv2.COLOR_BGR2RGB) for f in film_frames(film)[:6]]
    assert scores[:6] == pytest.approx([v.score for v in detector.predict(read)])


def film_frames(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (more := capture.read())[0]:
        frames.append(more[1])
    return frames


def test_a_film_that_does_not_open_is_a_row(script, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"x" * 100)
    assert script("score", tmp_path, "--checkpoint=synthetic", "--csv", tmp_path / "v.csv") == 2
    (row,) = rows(tmp_path / "v.csv")
    assert "no frame can be decoded" in row["error"]


def prediction() -> Detector:
    model = ModelConfig(width=4, item_dim=16, variant="pred")
    detector = Detector(DetectorConfig(model=model, images=ImageConfig(height=16, width=24)))
    detector.thresholds = {name: Threshold(0.0, "normal_quantile", "made up") for name in detector.scores}
    return detector


def test_prediction_scores_clips_with_the_causal_score(tmp_path, photographs):
    from mnad.evaluation.frames import score_video

    detector = prediction()
    size = detector.config.images.size
    film = write_film(tmp_path / "a.avi", [resize(read_image(path), (32, 48)) for path in photographs[:9]])
    found = [one.verdict for one in score(detector, shots([film]))]
    frames = [resize(np.ascontiguousarray(frame[..., ::-1]), size) for frame in film_frames(film)]
    expected = detector.combine(score_video(detector, "a", frames).raw)[detector.primary]
    assert [bool(v.error) for v in found] == [True] * 4 + [False] * 5
    assert "expected 4 to predict it" in found[0].error
    assert [v.score for v in found[4:]] == pytest.approx(expected.tolist(), abs=1e-5)


def test_boxes_give_a_row_for_each_well_and_an_overlay(script, tmp_path, photographs, detector):
    wells = [resize(read_image(path), (32, 48)) for path in (photographs[0], photographs[-1])]
    picture = np.full((100, 120, 3), 90, np.uint8)
    picture[10:42, 5:53], picture[50:82, 60:108] = wells
    cv2.imwrite(str(tmp_path / "camera.png"), picture[..., ::-1])
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("id,x,y,width,height\nleft,5,10,48,32\nright,60,50,48,32\nfar,100,90,48,32\n")
    arguments = ("--checkpoint=synthetic", "--boxes", boxes, "--csv", tmp_path / "v.csv", "--overlay", tmp_path / "o")
    script("score", tmp_path / "camera.png", *arguments)
    found = rows(tmp_path / "v.csv")
    assert [row["path"].rpartition("#")[2] for row in found] == ["left", "right", "far"]
    assert [float(row["score"]) for row in found[:2]] == pytest.approx([v.score for v in detector.predict(wells)])
    assert "box 'far' ends at 148, 122; expected one inside the picture of 120 x 100" in found[2]["error"]
    (overlay,) = (tmp_path / "o").iterdir()
    drawn = cv2.imread(str(overlay))
    assert drawn.shape == picture.shape and (drawn != picture[..., ::-1]).any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,x,y,width\n", "no column height"),
        ("id,x,y,width,height\n", "holds no box"),
        ("id,x,y,width,height\na,1,2,3,wide\n", "line 2: expected four whole numbers"),
        ("id,x,y,width,height\na,1,2,0,4\n", "line 2: box 1, 2, 0, 4; expected one with an inside"),
        ("id,x,y,width,height\na,1,2,3,4\na,1,2,3,4\n", "line 3: id 'a'; expected a new name"),
    ],
)
def test_bad_boxes(script, tmp_path, capsys, text, message):
    (tmp_path / "b.csv").write_text(text)
    assert script("score", "x.jpg", "--checkpoint=synthetic", "--boxes", tmp_path / "b.csv") == 2
    assert message in capsys.readouterr().err


def test_maps_are_those_of_the_detector(script, tmp_path, photographs, detector):
    script("score", photographs[0], "--checkpoint=synthetic", "--maps", tmp_path / "m")
    values = np.load(tmp_path / "m" / file_name(str(photographs[0]), ".npy"))
    pixels = resize(read_image(photographs[0]), detector.config.images.size)
    np.testing.assert_allclose(values, detector.anomaly_map(pixels[None])[0], atol=1e-6)
    assert len(list((tmp_path / "m").glob("*.png"))) == 1


def test_a_letterboxed_detector_sees_letterboxed_pictures_everywhere(tmp_path):
    detector = Detector.load("synthetic")
    detector.config.images.fit = "letterbox"
    tall = np.random.default_rng(0).integers(0, 255, (90, 40, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "tall.png"), tall)
    expected = detector.score([tmp_path / "tall.png"])[0]
    (one,) = score(detector, shots([tmp_path]))
    judge = Judge(detector)
    (judged,) = judge.compute([judge.prepare(Upload("tall.png", (tmp_path / "tall.png").read_bytes()))])
    assert [one.verdict.score, judged.parts[0].verdict.score] == pytest.approx([expected] * 2, abs=1e-6)
    detector.config.images.fit = "resize"
    assert abs(detector.score([tmp_path / "tall.png"])[0] - expected) > 0.01


def test_decoding_ahead_keeps_order_and_is_bounded():
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    results = ahead(lambda i: i * i, items(), 3)
    assert [next(results) for _ in range(10)] == [i * i for i in range(10)]
    assert len(taken) <= 10 + 2 * 3 + 1
    assert list(results) == [i * i for i in range(10, 100)]


@pytest.mark.parametrize("workers", [0, 3])
def test_workers_change_nothing(detector, photographs, workers):
    found = [one.verdict for one in score(detector, shots(photographs), Wanted(workers=workers))]
    assert [v.score for v in found] == pytest.approx([v.score for v in detector.predict(photographs)])


def test_histogram_counts_exactly_whatever_the_range():
    values = np.random.default_rng(0).normal(0, 1, 5000).tolist()
    histogram, far = Histogram(256), [1e5, -3e4]
    for value in values + far:
        histogram.add(value)
    assert histogram.counts.sum() == 5002
    edges = histogram.low + histogram.width * np.arange(257)
    assert histogram.counts.tolist() == np.histogram(values + far, edges)[0].tolist()
    fine = Histogram()
    for value in values:
        fine.add(value)
    bars = fine.bars(1.5)
    assert sum(count for *_, count in bars) == 5000 and len(bars) <= 50
    above = sum(count for a, _, count in bars if a >= 1.5 - fine.width)
    assert above == pytest.approx(sum(value >= 1.5 for value in values), abs=5)


def test_worst_keeps_the_highest_and_asks_only_for_those():
    asked = []
    worst = Worst(3)
    for i, value in enumerate([5.0, 1, 4, 2, 5, 3, 0]):
        worst.add(Verdict(str(i), value, 1.0), lambda i=i: asked.append(i) or i)
    assert [(verdict.path, kept) for verdict, kept in worst.sorted()] == [("0", 0), ("4", 4), ("2", 2)]
    assert asked == [0, 1, 2, 3, 4]


def test_summary_stays_small():
    summary = Summary(pictures=2, rows=10)
    for i in range(20_000):
        name = f"CAM_01-03-2023_05-{i // 60 % 60:02d}-{i % 60:02d}-000.jpg"
        summary.add(Verdict(name, i % 100 / 100, 0.98, {}))
    assert summary.counts == {"normal": 19_600, "anomalous": 400} and summary.status == 1
    assert len(summary.time.normal) <= 3001 and len(summary.table.heap) == 10 and summary.time.step == 8


def test_positional_words_and_switches_live_together(tmp_path):
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from score import ScoreConfig
    finally:
        sys.path.pop(0)
    config = parse(ScoreConfig, ["a", "b", "--top=3", "c"])
    assert (config.paths, config.top) == (["a", "b", "c"], 3)
    with pytest.raises(UserError):
        parse(ScoreConfig, ["a", "--bad"])
