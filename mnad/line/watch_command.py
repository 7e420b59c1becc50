"""What ``scripts/score.py --watch`` does: open everything, watch until it is told to stop, close everything."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from mnad.detector import Detector
from mnad.line.alerts import Teller, command_sender, mqtt_sender, webhook_sender
from mnad.line.boxes import read_boxes
from mnad.line.command import threshold_line
from mnad.line.journal import open_journal
from mnad.line.watch import Watcher, ended_by_signals
from mnad.run import UserError, not_installed
from mnad.run.streams import printable
from mnad.run.verdict import Verdict

SENDERS = {"command": command_sender, "webhook": webhook_sender, "mqtt": mqtt_sender}


class Options(Protocol):
    """See ``scripts/score.py``."""

    watch: Path
    journal: Path
    settle: float
    command: str | None
    webhook: str | None
    mqtt: str | None
    metrics: int | None
    checkpoint: Path
    boxes: Path | None
    workers: int | None
    device: str


def metrics_counter(port: int) -> Callable[[Verdict], None]:
    """Serve Prometheus metrics on 127.0.0.1; returns what counts a verdict.

    Raises:
        UserError: the extra ``metrics`` is not installed, or the port is taken.
    """
    try:
        from prometheus_client import Counter, Gauge, start_http_server
    except ImportError as error:
        raise not_installed("metrics", "prometheus-client", "metrics") from error
    pictures = Counter("mnad_pictures", "Pictures by verdict", ["camera", "verdict"])
    latest = Gauge("mnad_score", "Score of the latest picture", ["camera"])
    try:
        start_http_server(port, addr="127.0.0.1")
    except (OSError, OverflowError) as error:
        raise UserError(f"metrics: port {port} cannot be opened ({error}); expected a free one") from error

    def count(verdict: Verdict) -> None:
        camera = str(verdict.row()["camera"])
        pictures.labels(camera, verdict.verdict or "error").inc()
        if not verdict.error:
            latest.labels(camera).set(verdict.score)

    return count


def shown(verdict: Verdict) -> str:
    """One line for the screen."""
    if verdict.error:
        return f"error      {printable(verdict.error)}"
    return f"{verdict.verdict:<9}  {verdict.score:.4g}  {printable(verdict.path)}"


def watch_folder(config: Options) -> int:
    """Score what is in ``config.watch`` and what appears there, until SIGTERM or Ctrl-C; returns the exit status.

    Raises:
        UserError: anything wrong with the folder, the checkpoint, the journal or a target, told at the start.
    """
    senders = {kind: make(where) for kind, make in SENDERS.items() if (where := getattr(config, kind)) is not None}
    boxes = read_boxes(config.boxes) if config.boxes else ()
    detector = Detector.load(config.checkpoint).to(config.device)
    detector.check_calibrated()
    watcher = Watcher(config.watch, detector, None, boxes, config.settle, config.workers)
    count = metrics_counter(config.metrics) if config.metrics is not None else lambda verdict: None

    def seen(verdict: Verdict) -> None:
        count(verdict)
        print(shown(verdict), flush=True)

    with contextlib.ExitStack() as stack:
        watcher.journal = open_journal(config.journal, detector.scores[detector.primary].names)
        stack.callback(watcher.journal.close)
        watcher.tellers = [Teller(watcher.journal, kind, getattr(config, kind), s) for kind, s in senders.items()]
        for teller in watcher.tellers:
            stack.callback(teller.close)
        watcher.seen = seen
        print(f"watching {printable(str(watcher.folder))}; {threshold_line(detector)}", flush=True)
        stack.enter_context(ended_by_signals(watcher.stop))
        watcher.run()
    return 0
