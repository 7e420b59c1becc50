"""The report of a run: the page of :mod:`mnad.line.report` over its test images, from the scores it has already."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mnad.config import past_frames
from mnad.data.dataset import Photographs, Videos
from mnad.data.reading import read_photo, resize
from mnad.data.videos import FrameFolder
from mnad.detector import Detector
from mnad.evaluation.result import Evaluation
from mnad.line.report import write_report
from mnad.line.scoring import small
from mnad.line.summary import Summary, View
from mnad.run.verdict import Verdict


def photograph_view(data: Photographs, index: int) -> Callable[[], View]:
    """Reads the test photograph at ``index`` when it is called."""
    return lambda: (small(read_photo(data.test.sources[index]).pixels), data.test[index][None])


def frame_view(video: object, frame: int, past: int, size: tuple[int, int]) -> Callable[[], View | None]:
    """Reads one frame of a video, and those before it, when it is called; None for a film that would be read anew."""

    def view() -> View | None:
        if not isinstance(video, FrameFolder):
            return None
        pictures = [read_photo(path).pixels for path in video.paths[frame - past : frame + 1]]
        return small(pictures[-1]), np.stack([resize(picture, size) for picture in pictures])

    return view


def summarise(detector: Detector, data: Photographs | Videos, evaluation: Evaluation) -> Summary:
    """Verdicts of the primary score from the table of ``evaluation``; of videos the causal one."""
    summary, table = Summary(), evaluation.table
    threshold, primary = detector.thresholds[detector.primary].value, detector.primary
    if isinstance(data, Photographs):
        for i, (name, score) in enumerate(zip(table["file"], table[f"score_{primary}"], strict=True)):
            summary.add(Verdict(name, float(score), threshold), photograph_view(data, i))
        return summary
    videos = {video.name: video for video in data.test}
    size, past = detector.config.images.size, past_frames(detector.config.model.variant)
    terms = detector.scores[primary].names
    for row in table.to_dict("records"):
        raw = {name: row[f"{primary}_{name}"] for name in terms}
        verdict = Verdict(f"{row['video']}:{row['frame']}", row[f"causal_{primary}"], threshold, raw)
        summary.add(verdict, frame_view(videos[row["video"]], row["frame"], past, size))
    return summary


def write_run_report(
    folder: Path, detector: Detector, data: Photographs | Videos, evaluations: Mapping[str, Evaluation]
) -> Path:
    """``report.html`` in ``folder``, of the last evaluation: that of photographs, or without test-time update."""
    evaluation = list(evaluations.values())[-1]
    summary = summarise(detector, data, evaluation)
    doubts = evaluation.scores.get(detector.primary, {}).get("doubts", [])
    title = f"{folder.name}: test of {data.root.name}"
    return write_report(folder / "report.html", summary, detector, title, doubts=doubts)
