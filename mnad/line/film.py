"""One film as people look at it: with anomaly map, running score and threshold; and the curve of its scores."""

import contextlib
import itertools
import math
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from mnad.data.paths import SUFFIXES, VIDEO_SUFFIXES, expand, listed_words
from mnad.data.reading import resize
from mnad.data.videos import open_film
from mnad.detector import Detector
from mnad.line.boxes import COLOURS
from mnad.line.report import heat
from mnad.line.scoring import Scored
from mnad.line.sources import is_film, is_stream
from mnad.report.plots import plot_film
from mnad.run import UserError
from mnad.run.files import atomic_path
from mnad.run.verdict import Verdict

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
RATE = 25.0  # frames a second where nothing says how many: folders of frames, some streams
LEAST = 480  # pixels: a smaller picture is enlarged, so that its letters can be read
SHOWN = 200  # frames in the running curve
BACKGROUND, CURVE, DASHES = (24, 24, 24), (230, 230, 230), (255, 200, 60)  # RGB


def one_film(words: Sequence[str], option: str) -> float:
    """Frames a second of the one film, stream or folder of frames that ``words`` mean.

    Raises:
        UserError: they mean several, or none; ``option`` is what needs one.
    """
    given = list(listed_words(words)) if "-" not in words else []
    if len(given) == 1:
        if is_stream(given[0]):
            return RATE
        paths = list(expand(given[0], SUFFIXES + VIDEO_SUFFIXES))
        films = [path for path in paths if is_film(path)]
        if len(paths) == len(films) == 1:
            return film_rate(paths[0])
        several = len(paths) > 1 or Path(given[0]).is_dir()
        if several and not films and len({path.parent for path in paths}) == 1:
            return RATE
    raise UserError(f"{option}: expected one film, one stream or one folder of frames as PATH")


def film_rate(path: Path) -> float:
    """Frames a second as the film says, 25 where it says nothing of use."""
    capture = open_film(str(path))
    try:
        found = capture.get(cv2.CAP_PROP_FPS)
    finally:
        capture.release()
    return found if math.isfinite(found) and 0 < found <= 1000 else RATE


def with_map(picture: np.ndarray, values: np.ndarray, ceiling: float) -> np.ndarray:
    """``picture`` (H x W x 3 uint8 RGB) under its anomaly map (any size): the larger its root, the more is hidden,
    from red to white at ``ceiling``; a hundredth of that hides nothing."""
    height, width = picture.shape[:2]
    grown = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    root = np.sqrt(np.clip(grown / ceiling, 0, 1))
    cover = np.clip(2 * (root - 0.1), 0, 0.85)[..., None]
    return (picture * (1 - cover) + heat(0.5 + 0.5 * root, 1) * cover).round().astype(np.uint8)


class FilmWriter:
    """Writes a film frame by frame: picture under its anomaly map, and below it the scores of the last 200 frames with
    the threshold. One frame at a time is in memory.

    Args:
        path: of the film, .mp4 or .avi.
        detector: it draws the maps.
        rate: frames a second.
    """

    def __init__(self, path: Path, detector: Detector, rate: float) -> None:
        self.path, self.detector, self.rate = path, detector, rate
        self.file: cv2.VideoWriter | None = None
        self.shape = 0, 0  # of the picture, once the first is there
        self.scores: deque[float] = deque(maxlen=SHOWN)
        self.last: np.ndarray | None = None

    def add(self, one: Scored) -> None:
        """The next frame; one that cannot be decoded shows the last one again.

        Raises:
            UserError: the film cannot be written.
        """
        if one.picture is not None:
            picture = self._sized(one.picture)
            if one.frames is not None:
                _, (values,) = self.detector.reconstruct(one.frames[None])
                picture = with_map(picture, values, self.detector.model.map_ceiling)
            self.last = picture
        if self.last is None:
            return
        self.scores.append(one.verdict.score)
        drawn = np.concatenate([framed(self.last, one.verdict), self._strip(one.verdict)])
        if self.file is None:
            self.file = self._open(drawn)
        self.file.write(np.ascontiguousarray(drawn[..., ::-1]))

    def close(self) -> None:
        """End the film."""
        if self.file is not None:
            self.file.release()

    def _sized(self, picture: np.ndarray) -> np.ndarray:
        if self.file is None:
            times = max(1, math.ceil(LEAST / max(picture.shape[:2])))
            height, width = (side * times // 2 * 2 for side in picture.shape[:2])  # codecs want even sides
            self.shape = max(height, 2), max(width, 2)
        return resize(picture, self.shape)

    def _open(self, drawn: np.ndarray) -> cv2.VideoWriter:
        codec = cv2.VideoWriter_fourcc(*CODECS[self.path.suffix.lower()])
        file = cv2.VideoWriter(str(self.path), codec, self.rate, drawn.shape[1::-1])
        if not file.isOpened():
            raise UserError(f"{self.path}: cannot be written as a film; expected a writable path")
        return file

    def _strip(self, verdict: Verdict) -> np.ndarray:
        """The curve of the last scores, one line of text above it."""
        width = self.shape[1]
        height = max(48, self.shape[0] // 4 // 2 * 2)
        strip = np.full((height, width, 3), BACKGROUND, np.uint8)
        size = min(0.5, width / 1000)
        threshold = self.detector.thresholds[self.detector.primary].value
        text = "no score" if verdict.error else f"score {verdict.score:.2f} of {threshold:.2f}  {verdict.verdict}"
        frame = verdict.path.rpartition(":")[2] if ":" in verdict.path else verdict.path.rpartition("/")[2]
        frame = frame.encode("ascii", "replace").decode()[-24:]  # all that OpenCV's letters know
        colour = COLOURS["anomalous"] if verdict.anomalous else CURVE
        cv2.putText(strip, f"{frame}  {text}", (4, 14), cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
        known = [score for score in self.scores if math.isfinite(score)]
        low, high = min([threshold, *known]), max([threshold, *known])
        spread = max(high - low, 1e-9) * 1.1

        def row(score: float) -> int:
            return round(height - 4 - (score - low) / spread * (height - 24))

        for x in range(0, width, 12):
            cv2.line(strip, (x, row(threshold)), (min(x + 6, width - 1), row(threshold)), DASHES, 1)
        step = (width - 1) / (SHOWN - 1)
        for i, (before, after) in enumerate(itertools.pairwise(self.scores)):
            if math.isfinite(before) and math.isfinite(after):
                ends = (round(i * step), row(before)), (round((i + 1) * step), row(after))
                cv2.line(strip, *ends, COLOURS["anomalous"] if after >= threshold else CURVE, 1, cv2.LINE_AA)
        return strip


@contextlib.contextmanager
def written_film(path: Path, detector: Detector, rate: float) -> Iterator[FilmWriter]:
    """A :class:`FilmWriter` whose film is at ``path`` when the block ends; not before, and not if it fails.

    Raises:
        UserError: the film cannot be written, or no frame could be read.
    """
    with atomic_path(path) as temporary:
        part = temporary.with_suffix(path.suffix)  # OpenCV looks at the ending
        writer = FilmWriter(part, detector, rate)
        try:
            yield writer
            writer.close()
            if writer.file is None:
                raise UserError(f"{path}: not written, no frame could be read; expected at least one")
            part.replace(temporary)
        finally:
            writer.close()
            part.unlink(missing_ok=True)


def framed(picture: np.ndarray, verdict: Verdict) -> np.ndarray:
    """A copy of ``picture`` with a red frame where the verdict is anomalous."""
    drawn = picture.copy()
    if verdict.anomalous:
        line = max(2, picture.shape[0] // 60)
        cv2.rectangle(drawn, (0, 0), (picture.shape[1] - 1, picture.shape[0] - 1), COLOURS["anomalous"], line)
    return drawn


class Curve:
    """The scores of one film, to be drawn when it is over; eight bytes for each frame."""

    def __init__(self) -> None:
        self.scores = array("d")

    def add(self, one: Scored) -> None:
        """The next frame; without a verdict it is a gap."""
        self.scores.append(one.verdict.score)

    def save(self, path: Path, detector: Detector, title: str) -> None:
        """Draw them, with the threshold and the flagged spans.

        Raises:
            UserError: ``path`` cannot be written.
        """
        plot_film(path, np.array(self.scores), detector.thresholds[detector.primary].value, detector.primary, title)
