"""What a report keeps of any number of verdicts, in flat memory: counts, a histogram, the worst, points over time."""

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mnad.run.verdict import Verdict, camera_and_time

View = tuple[np.ndarray, np.ndarray]  # photograph for people, H x W x 3; and (P + 1) x H x W x 3 that the model saw
BINS = 2048


class Histogram:
    """Exact counts in equal bins, whatever the range: it doubles, and neighbours are joined, when a score is outside.

    Attributes:
        low: where the first bin begins.
        width: of each bin.
        counts: of the bins.
    """

    def __init__(self, bins: int = BINS) -> None:
        self.low, self.width = 0.0, 0.0
        self.counts = np.zeros(bins, dtype=np.int64)

    def add(self, score: float) -> None:
        """Count one finite score."""
        if self.width == 0:
            self.width = max(abs(score), 1e-9) / len(self.counts)
            self.low = score - self.width * len(self.counts) / 2
        while not self.low <= score < self.low + self.width * len(self.counts):
            half = len(self.counts) // 2
            joined = self.counts.reshape(half, 2).sum(axis=1)
            below = score < self.low
            self.counts = np.concatenate([np.zeros(half, np.int64), joined] if below else [joined, joined * 0])
            if below:
                self.low -= self.width * len(self.counts)
            self.width *= 2
        self.counts[min(int((score - self.low) / self.width), len(self.counts) - 1)] += 1

    def bars(self, threshold: float, most: int = 48) -> list[tuple[float, float, int]]:
        """(from, to, count) of at most about ``most`` bars; one of them begins at ``threshold``, near enough.

        The range is that of the scores, but not further than four times from their 1 % to their 99 % point; what is
        outside is counted in the outer bars.
        """
        filled = np.flatnonzero(self.counts)
        if not len(filled):
            return []
        shares = np.cumsum(self.counts) / self.counts.sum()
        first, last = np.searchsorted(shares, (0.01, 0.99))
        reach = 4 * max(int(last - first), 1)
        edge = int(np.clip(round((threshold - self.low) / self.width), 0, len(self.counts)))
        start = max(int(filled[0]), int(first) - reach)
        stop = min(int(filled[-1]), int(last) + reach) + 1
        start, stop = min(start, edge - 1), max(stop, edge + 1)
        step = max(1, math.ceil((stop - start) / most))
        start -= (start - edge) % step  # so that a bar begins at the threshold
        found = []
        for begin in range(start, stop, step):
            a = 0 if begin == start else max(begin, 0)
            b = len(self.counts) if begin + step >= stop else max(begin + step, 0)
            x0, x1 = self.low + begin * self.width, self.low + (begin + step) * self.width
            found.append((x0, x1, int(self.counts[a:b].sum())))
        return found


class Worst:
    """The ``most`` highest of any number of entries, with what was kept of them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.heap: list[tuple[float, int, Verdict, Any]] = []
        self.number = itertools.count()

    def add(self, verdict: Verdict, kept: Callable[[], object] = lambda: None) -> None:
        """Consider one verdict; ``kept`` is called only if it is among the highest so far."""
        entry = (verdict.score, -next(self.number))
        if self.most and (len(self.heap) < self.most or entry > self.heap[0][:2]):
            push = heapq.heappush if len(self.heap) < self.most else heapq.heappushpop
            push(self.heap, (*entry, verdict, kept()))

    def sorted(self) -> list[tuple[Verdict, Any]]:
        """The highest first; of equal ones the earlier."""
        return [(verdict, kept) for _, _, verdict, kept in sorted(self.heap, key=lambda e: e[:2], reverse=True)]


@dataclass
class Point:
    """One score at a time of one camera."""

    camera: str
    time: str
    verdict: Verdict


class OverTime:
    """Scores by camera and time: all anomalous ones up to a limit, and every k-th normal one, k doubling when full."""

    def __init__(self, most: int = 3000) -> None:
        self.most, self.step, self.seen = most, 1, 0
        self.normal: list[Point] = []
        self.anomalous: list[Point] = []
        self.dropped = 0  # anomalous ones beyond the limit

    def add(self, verdict: Verdict) -> None:
        """Consider one verdict; those without a time in their name are no points."""
        camera, time = camera_and_time(verdict.path.rpartition("#")[0] or verdict.path)
        if not time:
            return
        point = Point(camera, time, verdict)
        if verdict.anomalous:
            if len(self.anomalous) < self.most:
                self.anomalous.append(point)
            else:
                self.dropped += 1
            return
        if self.seen % self.step == 0:
            self.normal.append(point)
        self.seen += 1
        if len(self.normal) > self.most:
            self.normal, self.step = self.normal[::2], self.step * 2


@dataclass
class Summary:
    """Everything that the report and the screen say.

    Args:
        pictures: anomalous pictures to keep, the worst ones.
        rows: rows to keep for the table, the worst ones; and as many errors.
    """

    pictures: int = 60
    rows: int = 20_000
    counts: Counter[str] = field(default_factory=Counter)
    histogram: Histogram = field(default_factory=Histogram)
    time: OverTime = field(default_factory=OverTime)
    errors: list[Verdict] = field(default_factory=list)
    lost: int = 0  # pictures and wells with an error that is a fault

    def __post_init__(self) -> None:
        self.flagged, self.table = Worst(self.pictures), Worst(self.rows)

    def add(self, verdict: Verdict, view: Callable[[], View | None] = lambda: None, early: bool = False) -> None:
        """Take one verdict; ``view`` is called only for the worst of the anomalous ones, and ``early`` is an error that
        is no fault (:attr:`mnad.line.scoring.Scored.early`)."""
        self.counts[verdict.verdict or "error"] += 1
        self.lost += bool(verdict.error) and not early
        if verdict.error:
            if len(self.errors) < self.rows:
                self.errors.append(verdict)
            return
        if math.isfinite(verdict.score):
            self.histogram.add(verdict.score)
        self.time.add(verdict)
        self.table.add(verdict)
        if verdict.anomalous:
            self.flagged.add(verdict, view)

    @property
    def total(self) -> int:
        """Verdicts and errors."""
        return sum(self.counts.values())

    @property
    def status(self) -> int:
        """Exit status: 0 all is normal, 1 something is anomalous, 2 nothing could be scored, 3 all that could be scored
        is normal."""
        if self.counts["anomalous"]:
            return 1
        if not self.counts["normal"]:
            return 2
        return 3 if self.lost else 0
