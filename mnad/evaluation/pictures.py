"""What the model makes of typical and of the hardest test pictures: rebuilt, with the anomaly map."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnad.config import past_frames
from mnad.data.dataset import Photographs, Videos
from mnad.data.reading import read_photo, resize, small
from mnad.data.videos import FrameFolder
from mnad.detector import Detector
from mnad.evaluation.result import Evaluation
from mnad.line.summary import View
from mnad.report.caption import Caption, caption_path
from mnad.report.reconstructions import Rebuilt, plot_reconstructions
from mnad.run.files import write_text

MARK = "<!-- drawn by scripts/train_mnad.py or scripts/evaluate.py -->"
EACH = 2  # pictures of each kind
REBUILT = "what the model rebuilds; anomaly map, lighter where they differ more, one scale for all."
FEATURES = (
    "anomaly map, lighter where the rebuilt features, which cannot be shown, differ more, in units of what is usual."
)
SHOWS = (
    "Columns: normal pictures with a median score, those with the highest score (the hardest), anomalies with a median "
    "score, and those with the lowest (the hardest); so nothing is hand-picked. Lines: input; "
    f"{REBUILT} Above each: score and verdict."
)


@dataclass
class Judged:
    """The test as a list: N scores that the threshold decides, N labels (None without any), and how to see each."""

    scores: np.ndarray
    labels: np.ndarray | None
    names: list[str]
    view: Callable[[int], View | None]  # None for a film that would have to be read anew


def judged(detector: Detector, data: Photographs | Videos, evaluation: Evaluation) -> Judged:
    """The rows of ``evaluation``; of videos those with the causal score."""
    table, primary = evaluation.table, detector.primary
    labels = table["label"].to_numpy() if "label" in table else None
    if isinstance(data, Photographs):

        def photograph(index: int) -> View:
            return small(read_photo(data.test.sources[index]).pixels), data.test[index][None]

        return Judged(table[f"score_{primary}"].to_numpy(), labels, list(table["file"]), photograph)
    videos = {video.name: video for video in data.test}
    size, past = detector.config.images.size, past_frames(detector.config.model.variant)
    places = list(zip(table["video"], table["frame"], strict=True))

    def frame(index: int) -> View | None:
        video, number = videos[places[index][0]], places[index][1]
        if not isinstance(video, FrameFolder):
            return None
        pictures = [read_photo(path).pixels for path in video.paths[number - past : number + 1]]
        return small(pictures[-1]), np.stack([resize(picture, size) for picture in pictures])

    return Judged(table[f"causal_{primary}"].to_numpy(), labels, [f"{v}:{n}" for v, n in places], frame)


def pick(scores: np.ndarray, anomalous: bool, each: int = EACH) -> list[int]:
    """Indices of the ``each`` scores nearest to the (lower) median, then of the ``each`` on the wrong side or nearest
    to it: the lowest of anomalies, the highest of normals. None twice."""
    order = np.argsort(scores if anomalous else -scores, kind="stable")
    hardest = order[:each].tolist()
    middle = np.argsort(scores, kind="stable")[(len(scores) - 1) // 2] if len(scores) else 0
    near = np.argsort(np.abs(scores - scores[middle]), kind="stable") if len(scores) else order
    typical = [i for i in near.tolist() if i not in hardest][:each]
    return typical + hardest


def draw_reconstructions(
    path: Path, detector: Detector, data: Photographs | Videos, evaluation: Evaluation
) -> Path | None:
    """The figure with its caption beside it; without labels all pictures count as normal. None where no picture can be
    read again (films)."""
    test = judged(detector, data, evaluation)
    labels = np.zeros(len(test.scores), int) if test.labels is None else test.labels
    chosen: list[tuple[str, int]] = []
    for label, name in ((0, "normal" if test.labels is not None else "picture"), (1, "anomaly")):
        (members,) = np.nonzero(labels == label)
        chosen += [(name, int(members[i])) for i in pick(test.scores[members], label == 1)]
    views = [(name, index, test.view(index)) for name, index in chosen]
    seen = [(name, index, view) for name, index, view in views if view is not None]
    if not seen:
        return None
    rebuilt, maps = detector.reconstruct(np.stack([frames for _, _, (_, frames) in seen]))
    threshold = detector.thresholds[detector.primary].value
    verdicts = [f"{score:.2f}, {'flagged' if score >= threshold else 'passed'}" for score in test.scores]
    features = "image" not in detector.model.gives
    panels = [
        Rebuilt(photo, None if features else output, error, name, verdicts[i])
        for (name, i, (photo, _)), output, error in zip(seen, rebuilt, maps, strict=True)
    ]
    plot_reconstructions(path, panels)
    files = ", ".join(test.names[i] for _, i, _ in seen)
    source = f"Score '{detector.label(detector.primary)}', threshold {threshold:.4g}; test of `{data.root}`: {files}."
    shows = SHOWS.replace(REBUILT, FEATURES) if features else SHOWS
    caption = Caption(f"What {detector.config.model.name} rebuilds", shows, source)
    write_text(caption_path(path.parent, path.stem), caption.markdown(MARK))
    return path
