"""The verdict on one image that carries no label, and the columns of every table of verdicts."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

ANOMALOUS, NORMAL = "anomalous", "normal"
COLUMNS = ("path", "verdict", "score", "threshold", "margin", "error")  # first in every table; then camera, time, terms

# 10_CAM_C_01-03-2023_05-39-27-929.jpg: camera, day-month-year, hour-minute-second-millisecond
STAMPED = re.compile(r"(?P<camera>.+)_(?P<time>\d{2}-\d{2}-\d{4}_\d{2}-\d{2}-\d{2}-\d{3})")


def camera_and_time(name: str) -> tuple[str, str]:
    """Camera and ISO time (of the camera's own clock) in a file name of the plant's form; empty where it has another.

    >>> camera_and_time("10_CAM_C_01-03-2023_05-39-27-929.jpg")
    ('10_CAM_C', '2023-03-01T05:39:27.929')
    """
    found = STAMPED.fullmatch(name.rpartition("/")[2].rpartition(".")[0])
    if found is None:
        return "", ""
    try:
        time = datetime.strptime(found["time"], "%d-%m-%Y_%H-%M-%S-%f")
    except ValueError:  # digits, but no date
        return "", ""
    return found["camera"], time.isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Verdict:
    """What a detector says of one image.

    Attributes:
        path: of the image; ``VIDEO:FRAME`` for a frame, ``PATH#WELL`` for a part of a larger picture, ``#INDEX`` for an
            array.
        score: higher is more anomalous; NaN beside an error.
        threshold: the image is anomalous from here on; NaN beside an error.
        terms: raw value of each term of the primary score by name.
        error: why there is no verdict, in one line; empty when there is one.
        gains: what the detector's correction multiplied each channel by; empty without a correction.
        statistics: what a gauge of drift looks at (:mod:`mnad.scoring.drift`); empty unless asked for.
    """

    path: str
    score: float = math.nan
    threshold: float = math.nan
    terms: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    gains: Mapping[str, float] = field(default_factory=dict)
    statistics: Mapping[str, float] = field(default_factory=dict)

    @property
    def margin(self) -> float:
        """Score less threshold: how far the image is on the anomalous side."""
        return self.score - self.threshold

    @property
    def anomalous(self) -> bool:
        """Whether the score reaches the threshold."""
        return not self.error and self.score >= self.threshold

    @property
    def verdict(self) -> str:
        """``anomalous``, ``normal``, or nothing beside an error."""
        return "" if self.error else ANOMALOUS if self.anomalous else NORMAL

    def row(self) -> dict[str, str | float]:
        """The row of a table of verdicts: ``COLUMNS``, camera, time, terms, gains; no numbers beside an error."""
        camera, time = camera_and_time(self.path)
        numbers: dict[str, str | float] = {"score": self.score, "threshold": self.threshold, "margin": self.margin}
        kept = {name: "" for name in numbers} if self.error else numbers
        # a file name that is no UTF-8 is escaped, so that the table always is
        path = self.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        row = {"path": path, "verdict": self.verdict, **kept, "error": self.error, "camera": camera, "time": time}
        return {**row, **self.terms, **{f"gain_{channel}": gain for channel, gain in self.gains.items()}}
