"""From pictures to verdicts: decoded ahead in threads, scored in batches, in their order and in flat memory."""

import hashlib
import itertools
import re
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import cv2
import numpy as np

from mnad.config import Fit
from mnad.line.boxes import Box
from mnad.line.cuts import Cut, Wanted, cut_shot
from mnad.line.sources import Shot
from mnad.run import UserError
from mnad.run.ahead import ahead
from mnad.run.files import write_bytes
from mnad.run.verdict import Verdict
from mnad.scoring.causal import Pasts

BATCH = 64  # pictures scored at once; those of a camera are scored one by one
FIRST = 8  # files decoded and scored in the first go; then twice as many, up to BATCH
FEW = 16  # files decoded in one go where a view of each is kept
PICTURES = 8  # the same where the whole picture of each is kept

Item = TypeVar("Item")


class Judge(Protocol):
    """What gives the verdicts: a detector (:class:`mnad.detector.Detector`) or its export (:mod:`mnad.runtime`)."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what the model sees."""
        ...

    @property
    def image_fit(self) -> Fit:
        """How pictures become that size, see :class:`mnad.config.ImageConfig`."""
        ...

    @property
    def past(self) -> int:
        """Frames before the one that is judged."""
        ...

    def check_calibrated(self) -> None:
        """Raises ``UserError`` for a detector without thresholds."""
        ...

    def one_thread_each(self) -> AbstractContextManager[int]:
        """Gives how many threads may judge at once, see :func:`mnad.model.threads.one_thread_each`."""
        ...

    def new_pasts(self) -> Pasts:
        """What the causal scores know of a camera before its first frame; empty without such scores."""
        ...

    def judge(
        self,
        names: Sequence[str],
        frames: np.ndarray,
        statistics: bool = False,
        pasts: Sequence[Pasts | None] | None = None,
    ) -> list[Verdict]:
        """The verdict on each of ``frames``, see :meth:`mnad.detector.Detector.judge`."""
        ...


@dataclass
class Scored:
    """The verdict on one picture or well, and what a report shows of it.

    Attributes:
        frames: (P + 1) x H x W x 3 uint8 that the model saw; None beside an error.
        view: the photograph for people, H x W x 3 uint8; None unless it was asked for.
        box: the well in its picture.
        picture: the whole picture, beside its last well; None unless it was asked for.
        pasts: what the causal scores know of the film or camera; None beside an error.
        early: it cannot be predicted since too few frames of its film lie before it, which is no fault.
    """

    verdict: Verdict
    frames: np.ndarray | None = None
    view: np.ndarray | None = None
    box: Box | None = None
    picture: np.ndarray | None = None
    pasts: Pasts | None = None
    early: bool = False

    def pictures(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """What a report shows: the photograph for people and the frames that the model saw."""
        return self.view, self.frames


@dataclass(frozen=True)
class Group(Generic[Item]):
    """What one thread does in one go; ``live`` and ``decoded`` as in :class:`mnad.line.sources.Shot`."""

    members: list[Item]
    live: bool = False
    decoded: bool = False


def grouped(pictures: Iterable[Shot], most: int) -> Iterator[Group[Shot]]:
    """Some files together: few at first, so that few files are shared among threads, too, then up to ``most``. Frames,
    which lie in memory as they are, one by one."""
    part: list[Shot] = []
    files = min(FIRST, most)
    for shot in pictures:
        if shot.decoded:
            if part:
                yield Group(part)
            yield Group([shot], shot.live, decoded=True)
            part = []
            continue
        part.append(shot)
        if len(part) == files:
            yield Group(part)
            part, files = [], min(2 * files, most)
    if part:
        yield Group(part)


@dataclass
class Track:
    """One well of one film or camera: its last frames, and what the causal scores know of it."""

    window: deque[np.ndarray]
    pasts: Pasts


class Films:
    """What has to be remembered of each film or camera, for models that predict the next frame and for causal scores.

    Args:
        detector: whose verdicts they are for.
        most: films that are remembered at once; the one that was seen longest ago is forgotten. A film that is read
            from its beginning to its end needs 1.
    """

    def __init__(self, detector: Judge, most: int = 1) -> None:
        self.detector, self.most = detector, most
        self.causal = bool(detector.new_pasts())
        self.remembers = self.causal or detector.past > 0
        self.tracks: OrderedDict[str, dict[Box | None, Track]] = OrderedDict()

    def frames(self, cut: Cut) -> tuple[np.ndarray, Pasts]:
        """(P + 1) x H x W x 3, the frames before ``cut`` and itself, and the past of its camera.

        Raises:
            UserError: the film has not as many frames before it.
        """
        if not self.remembers:
            if cut.pixels is None:
                raise UserError(cut.error)
            return cut.pixels[None], {}
        past = self.detector.past
        wells = self.tracks.setdefault(cut.film, {})
        self.tracks.move_to_end(cut.film)
        if len(self.tracks) > self.most:
            self.tracks.popitem(last=False)
        if cut.box not in wells:
            wells[cut.box] = Track(deque(maxlen=past + 1), self.detector.new_pasts())
        window = wells[cut.box].window
        if cut.pixels is None:
            window.clear()  # the frames around a gap do not follow each other
            raise UserError(cut.error)
        window.append(cut.pixels)
        if len(window) <= past:
            raise UserError(f"{cut.name}: only {len(window) - 1} frames before it; expected {past} to predict it")
        return np.stack(tuple(window)), wells[cut.box].pasts


def score(
    detector: Judge, pictures: Iterable[Shot], wanted: Wanted | None = None, films: Films | None = None
) -> Iterator[Scored]:
    """The verdict on each of ``pictures``, or on each of its wells, in their order.

    Prediction sees the four frames before each: frames of a film, or the photographs of one folder in their order. No
    score needs a later frame: it is on the scale of the validation videos, by way of the film's own past if it is
    causal. The memory items stay as they were trained.

    Args:
        films: what is remembered of earlier pictures of the same films or cameras; None remembers nothing.

    Raises:
        UserError: the detector is not calibrated.
    """
    detector.check_calibrated()
    wanted = wanted or Wanted()
    size, films = detector.size, films or Films(detector)

    def cut(group: Group[Shot]) -> list[tuple[Shot, list[Cut], np.ndarray | None]]:
        return [(shot, *cut_shot(shot, size, wanted, detector.image_fit)) for shot in group.members]

    def parts(decoded: Iterable[tuple[Shot, list[Cut], np.ndarray | None]]) -> Iterator[Group[Scored]]:
        part: list[Scored] = []
        for shot, cuts, picture in decoded:
            for one in cuts:
                last = picture if one is cuts[-1] else None
                try:
                    frames, pasts = films.frames(one)
                    part.append(Scored(Verdict(one.name), frames, one.view, one.box, last, pasts))
                except UserError as error:
                    early = one.pixels is not None
                    part.append(Scored(Verdict(one.name, error=str(error)), None, None, one.box, last, early=early))
            if len(part) >= (PICTURES if wanted.picture else BATCH) or shot.live:
                yield Group(part, shot.live)
                part = []
        yield Group(part)

    def judge(part: Group[Scored]) -> list[Scored]:
        return judged(detector, part.members, wanted.statistics)

    def whole(group: Group[Shot]) -> list[Scored]:
        return [one for part in parts(cut(group)) for one in judge(part)]

    with detector.one_thread_each() as threads:
        workers = threads if wanted.workers is None else wanted.workers
        together = PICTURES if wanted.picture else FEW if wanted.view else BATCH
        judges = 1 if films.causal else min(workers, threads)
        for decoded, run in itertools.groupby(grouped(pictures, together), key=lambda group: group.decoded):
            if decoded or films.remembers or workers > threads:  # frames are put together in their order
                cuts = itertools.chain.from_iterable(ahead(cut, run, workers, "decode"))
                found = ahead(judge, parts(cuts), min(workers, judges), "judge")
            else:
                found = ahead(whole, run, workers, "score")
            yield from itertools.chain.from_iterable(found)


def judged(detector: Judge, part: list[Scored], statistics: bool = False) -> list[Scored]:
    """``part`` with its verdicts; those that have an error keep it."""
    good = [one for one in part if one.frames is not None]
    for start in range(0, len(good), BATCH):
        some = good[start : start + BATCH]
        names, frames = [one.verdict.path for one in some], np.stack([one.frames for one in some])
        verdicts = detector.judge(names, frames, statistics, [one.pasts for one in some])
        for one, verdict in zip(some, verdicts, strict=True):
            one.verdict = verdict
    return part


def by_picture(scored: Iterable[Scored]) -> Iterator[list[Scored]]:
    """The wells of one picture after the other."""
    for _, group in itertools.groupby(scored, key=lambda one: one.verdict.path.rpartition("#")[0]):
        yield list(group)


def file_name(path: str, ending: str) -> str:
    """A name that tells ``path`` and that no other path has, for a file written beside many others."""
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', path).strip('_.')[-100:]}-{digest}{ending}"


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write H x W x 3 uint8 RGB as PNG or JPEG, by the ending, atomically."""
    write_bytes(path, cv2.imencode(path.suffix, picture[..., ::-1])[1].tobytes())
