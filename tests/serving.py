"""A server of the synthetic detector for tests, in this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI

from mnad.detector import Detector
from mnad.line.cameras import Cameras
from mnad.line.limits import Limits
from mnad.line.listening import about, listen, server
from mnad.line.server import build_app

TOKEN = "correct-horse-battery"


def build(boxes: Path | None = None, token: str = "", **limits: float) -> FastAPI:
    detector = Detector.load("synthetic")
    return build_app(detector, about(Path("synthetic"), detector), Cameras(boxes), Limits(**limits), token)


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """The address of ``app`` at a socket of this machine, answered by a thread."""
    bound = listen("127.0.0.1", 0)
    address = f"http://127.0.0.1:{bound.getsockname()[1]}/"
    answering = server(app, Limits())
    thread = threading.Thread(target=answering.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        yield address
    finally:
        answering.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
