"""A watched folder: each image is scored once when it is complete, written to the journal, and told of."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mnad.data.paths import SUFFIXES, PassedOver, find_images, is_temporary, natural_key
from mnad.detector import Detector
from mnad.line.alerts import Teller, say
from mnad.line.boxes import Box
from mnad.line.cuts import Wanted
from mnad.line.gauge import LineGauge
from mnad.line.journal import Journal
from mnad.line.scoring import BATCH, Films, score
from mnad.line.sources import shots
from mnad.run import UserError, not_installed
from mnad.run.verdict import Verdict

TICK = 100  # milliseconds between two looks at files that are being written
RESCAN = 60.0  # seconds between two looks at the whole folder, should the kernel have dropped an event
PATIENCE = 30.0  # seconds that an image without its end may stay as it is before it counts as broken
CAMERAS = 256  # folders of frames whose past is remembered, for detectors that need it
ENDS = {".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9", ".png": b"IEND"}


def has_end(path: Path) -> bool:
    """Whether the file has something in it and, where its kind has a mark for that, its end."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 4096))
        return size > 0 and ENDS.get(path.suffix.lower(), b"") in file.read()


@dataclass
class Pending:
    """Files that are not scored yet, and since when they have not changed.

    Args:
        settle: seconds that a file must stay as it is.
        patience: the same for one that lacks its end.
        most: files that are ready at once.
    """

    settle: float
    patience: float = PATIENCE
    most: int = BATCH
    files: dict[Path, tuple[tuple[int, int], float]] = field(default_factory=dict)

    def add(self, path: Path) -> None:
        """Look after one file."""
        self.files.setdefault(path, ((-1, -1), 0.0))

    def ready(self, now: float) -> list[Path]:
        """Files that are complete, at most :attr:`most`; those that have gone are forgotten."""
        found = []
        for path, (before, since) in list(self.files.items()):
            try:
                status = path.stat()
                state = status.st_size, status.st_mtime_ns
                if state != before:
                    self.files[path] = state, now
                elif now - since >= self.settle and (now - since >= self.patience or has_end(path)):
                    found.append(path)
            except FileNotFoundError:
                del self.files[path]
            except OSError:  # no permission, for one: the row says so
                found.append(path)
            if len(found) == self.most:
                break
        return found

    def done(self, path: Path) -> None:
        """Look no longer after one file."""
        self.files.pop(path, None)


def changed_files(folder: Path, stop: threading.Event) -> Iterator[list[Path]]:
    """What has come or changed in ``folder``, every ``TICK`` milliseconds, if only an empty list.

    Raises:
        UserError: the extra ``watch`` is not installed.
    """
    try:
        from watchfiles import Change, watch
    except ImportError as error:
        raise not_installed("watch", "watchfiles", "watch") from error
    for changes in watch(folder, rust_timeout=TICK, step=20, debounce=TICK, yield_on_timeout=True, stop_event=stop,
                         watch_filter=None, raise_interrupt=True):  # fmt: skip
        yield [Path(path) for kind, path in changes if kind != Change.deleted]


@dataclass
class Watcher:
    """Scores what appears in ``folder``. For a detector that needs the frames before, each folder is a camera whose
    images come in natural order; what is known of a camera ends with the process.

    Args:
        folder: watched with all below it.
        journal: an image whose rows it has is not scored again, whatever becomes of the file.
        boxes: wells in each picture; none takes the whole picture.
        settle: seconds that a file must stay as it is before it is read.
        tellers: are told of anomalies.
        seen: is called with each new verdict.
    """

    folder: Path
    detector: Detector
    journal: Journal
    boxes: Sequence[Box] = ()
    settle: float = 0.5
    workers: int | None = None
    tellers: Sequence[Teller] = ()
    seen: Callable[[Verdict], None] = lambda verdict: None
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise UserError(f"{self.folder}: missing; expected a folder to watch")
        self.folder = self.folder.resolve()  # the journal knows each image by one name
        self.pending = Pending(self.settle)
        self.gauge = None if self.detector.past else LineGauge(self.detector)
        self.films = Films(self.detector, CAMERAS)

    def names(self, path: Path) -> list[str]:
        """What the rows of one image are called."""
        return [f"{path}#{box.id}" for box in self.boxes] or [str(path)]

    def consider(self, path: Path) -> None:
        """Look after ``path`` if it is an image that the journal lacks."""
        if path.suffix.lower() not in SUFFIXES or is_temporary(path.name) or path.is_dir():
            return
        if any(is_temporary(part) for part in path.relative_to(self.folder).parts):
            return
        if not all(map(self.journal.has, self.names(path))):
            self.pending.add(path)

    def scan(self) -> PassedOver:
        """Look through the whole folder."""
        passed = PassedOver()
        for path in find_images([self.folder], passed):
            self.consider(path)
        return passed

    def score(self, paths: Sequence[Path]) -> None:
        """Score complete images and write their rows; waits while the journal cannot be written."""
        wanted = Wanted(self.boxes, workers=self.workers, statistics=self.gauge is not None)
        verdicts = [one.verdict for one in score(self.detector, shots(paths), wanted, self.films)]
        failing = False
        while True:
            try:
                new = self.journal.add(verdicts)
                break
            except UserError as error:
                if not failing:
                    say(f"{error}; nothing is lost, it is tried again")
                failing = True
                if self.stop.wait(1):
                    return  # the images are still there, and no row says that they were scored
        if failing:
            say("the journal is written again")
        for path in paths:
            self.pending.done(path)
        for verdict in new:
            self.seen(verdict)
        self._watch_drift(new)
        if any(verdict.anomalous for verdict in new):
            for teller in self.tellers:
                teller.notice()

    def _watch_drift(self, verdicts: Sequence[Verdict]) -> None:
        if self.gauge is None:
            return
        drifted = self.gauge.drifted
        for verdict in verdicts:
            self.gauge.update(verdict)
        if self.gauge.drifted and not drifted:
            say(
                f"{self.gauge.lines()[-1]}; look at camera and light, then calibrate with scripts/calibrate.py --normal"
            )

    def run(self) -> None:
        """Until :attr:`stop` is set: score what is there, then what appears."""
        scanned = None
        for paths in changed_files(self.folder, self.stop):
            if scanned is None:  # after the watch has begun, so that no image comes between the two
                for line in self.scan().lines():
                    say(line)
                scanned = time.monotonic()
            for path in sorted(paths, key=natural_key):  # the frames of a camera in their order
                self.consider(path)
            if time.monotonic() - scanned > RESCAN:
                self.scan()
                scanned = time.monotonic()
            while (ready := self.pending.ready(time.monotonic())) and not self.stop.is_set():
                self.score(ready)


@contextlib.contextmanager
def ended_by_signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and Ctrl-C set ``stop``, so that everything is closed in order."""
    kinds = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(kind, lambda *_: stop.set()) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
