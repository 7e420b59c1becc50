"""Telling others of each anomaly: a command, a webhook, MQTT; each in a thread of its own that blocks nothing.

The queue is the journal, so that what could not be told is told after a restart. A target may be told twice, if the
process is killed between telling and writing that down; never not at all.
"""

import hashlib
import json
import os
import shlex
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from mnad.line.journal import Journal, Row
from mnad.run import UserError, not_installed, one_line

Send = Callable[[Row], None]  # raises OSError or another exception if it did not arrive
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0  # seconds between attempts, doubled each time
SECONDS = 10  # for a webhook to answer
RUNNING = 60  # seconds that a command may run


def say(line: str) -> None:
    """One line for the person at the screen or the log."""
    print(line, file=sys.stderr, flush=True)


def command_sender(command: str) -> Send:
    """Runs ``command`` with path and score as its last two arguments and in ``MNAD_PATH``, ``MNAD_SCORE`` and so on;
    no shell sees them.

    Raises:
        UserError: no command.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UserError(f"command: {command!r} ({error}); expected a program and its arguments") from error
    if not words:
        raise UserError("command: is empty; expected a program and its arguments")

    def send(row: Row) -> None:
        told = {f"MNAD_{name.upper()}": row[name] for name in ("path", "score", "threshold", "camera", "time")}
        subprocess.run(
            [*words, row["path"], row["score"]], env=os.environ | told, timeout=RUNNING, check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return send


def webhook_sender(url: str) -> Send:
    """Posts the row as JSON.

    Raises:
        UserError: no http or https address.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise UserError(f"webhook: {url!r}; expected an address that begins with http:// or https://")

    def send(row: Row) -> None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(dict(row)).encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=SECONDS):
            pass

    return send


def mqtt_sender(address: str) -> Send:
    """Publishes the row as JSON, at least once, to ``HOST[:PORT]/TOPIC``.

    Raises:
        UserError: another form, or the extra ``mqtt`` is not installed.
    """
    parts = urlsplit(f"//{address}")
    topic = parts.path.strip("/")
    if not parts.hostname or not topic:
        raise UserError(f"mqtt: {address!r}; expected HOST[:PORT]/TOPIC")
    try:
        from paho.mqtt import publish
    except ImportError as error:
        raise not_installed("mqtt", "paho-mqtt", "mqtt") from error

    def send(row: Row) -> None:
        publish.single(topic, json.dumps(dict(row)), qos=1, hostname=parts.hostname, port=parts.port or 1883)

    return send


class Teller:
    """Tells one target of what the journal says is due to it, until :meth:`close`.

    Args:
        kind: ``webhook``, ``command`` or ``mqtt``; with ``where`` it says which target this is.
    """

    def __init__(self, journal: Journal, kind: str, where: str, send: Send, first_wait: float = FIRST_WAIT) -> None:
        # an address may hold a secret, which does not belong into the journal
        self.target = f"{kind} {hashlib.sha256(where.encode()).hexdigest()[:16]}"
        self.journal, self.kind, self.send, self.first_wait = journal, kind, send, first_wait
        self.wake, self.closing = threading.Event(), threading.Event()
        self.failing = False
        journal.enrol(self.target)
        self.thread = threading.Thread(target=self._work, name=kind, daemon=True)
        self.thread.start()

    def _round(self) -> Exception | None:
        """Try each row that is due once; the first failure, after which a dead target is left alone for a while."""
        failure: Exception | None = None
        for row in self.journal.due(self.target):
            if self.closing.is_set():
                break
            try:
                self.send(row)
                self.journal.acknowledge(self.target, row["path"])
            except Exception as error:  # whatever a library raises: it is told and tried again
                failure = failure or error
                if not isinstance(error, urllib.error.HTTPError | subprocess.CalledProcessError):
                    break
        return failure

    def _work(self) -> None:
        wait = self.first_wait
        while not self.closing.is_set():
            self.wake.clear()
            if self.closing.is_set():  # close() may have come just before
                break
            failure = self._round()
            if failure is not None:
                if not self.failing:
                    reason = one_line(failure)[:200]
                    say(f"{self.kind}: not delivered ({reason}); kept in the journal and tried again")
                self.failing = True
                self.closing.wait(wait)
                wait = min(wait * 2, LONGEST_WAIT)
                continue
            if self.failing:
                say(f"{self.kind}: delivers again")
            wait, self.failing = self.first_wait, False
            if not self.journal.due(self.target, 1):
                self.wake.wait()

    def notice(self) -> None:
        """There may be new rows."""
        self.wake.set()

    def close(self, patience: float = 5) -> None:
        """Stop; what is not delivered within ``patience`` seconds, or fails, stays in the journal."""
        end = time.monotonic() + patience
        while time.monotonic() < end and not self.failing and self.thread.is_alive():
            if not self.journal.due(self.target, 1):
                break
            time.sleep(0.02)
        self.closing.set()
        self.wake.set()
        self.thread.join(patience)
