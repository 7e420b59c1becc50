"""The process of the server: its socket, its start, its end."""

import asyncio
import hashlib
import logging
import os
import signal
import socket
import sys
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from mnad.detector import Detector
from mnad.line.cameras import Cameras
from mnad.line.limits import Limits
from mnad.line.server import build_app
from mnad.run import UserError
from mnad.run.checkpoint import find_checkpoint
from mnad.run.provenance import git_revision

HEADER_SECONDS = 10  # to send the header of a request
HEADER_BYTES = 16_384


class Options(Protocol):
    """See ``scripts/serve.py``."""

    checkpoint: Path
    host: str
    port: int
    token: str
    boxes: Path | None
    decoders: int
    device: str
    limits: Limits


class Connection(H11Protocol):
    """A connection that is closed when no header of a request comes; uvicorn waits for one without end."""

    late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        self._await_header()

    def data_received(self, data: bytes) -> None:
        """Start the clock again where only a part of a header came after an earlier request."""
        super().data_received(data)
        if self.late is None and self._idle():
            self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock, which would keep the connection and all that came in memory."""
        super().connection_lost(exc)
        if self.late is not None:
            self.late.cancel()

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_header(self) -> None:
        self.late = self.loop.call_later(HEADER_SECONDS, self._close_late)

    def _close_late(self) -> None:
        self.late = None
        if self._idle():
            self.transport.close()


def about(checkpoint: Path, detector: Detector) -> dict[str, Any]:
    """What ``/version`` tells: package, revision, and the checkpoint with the digest of its file."""
    path = find_checkpoint(checkpoint)
    try:
        version = metadata.version("mnad-wells")
    except metadata.PackageNotFoundError:
        version = "unknown"
    return {
        "version": version,
        "git_revision": git_revision(),
        "checkpoint": path.parent.name if path.name == "model.safetensors" else path.stem,
        "checkpoint_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "model": detector.config.model.name,
        "score": detector.primary,
        "threshold": detector.thresholds[detector.primary].value,
    }


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to ``host`` and ``port``.

    Raises:
        UserError: taken, not allowed, or no address of this machine.
    """
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, number)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(2048)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{host}:{port}: {reason}; expected a free --port at a --host of this machine") from error
    return bound


def server(app: FastAPI, limits: Limits) -> uvicorn.Server:
    """What answers at a socket; it ends when all that it accepted is answered, or is too late."""
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a line for each bad form would be a flood
    settings = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=int(limits.body_seconds + limits.seconds) + 1,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    return uvicorn.Server(settings)


def serve(config: Options) -> None:
    """Load the detector and answer until SIGTERM or ctrl-c; then finish what was accepted.

    Raises:
        UserError: the port is taken, the checkpoint is none, the folder of the boxes cannot be made.
    """
    bound = listen(config.host, config.port)  # before the seconds that loading takes
    limits = config.limits
    if limits.pixels is not None:
        os.environ["MNAD_MAX_PIXELS"] = str(limits.pixels)  # what the reader of images obeys
    detector = Detector.load(config.checkpoint).to(config.device)
    detector.check_calibrated()
    if config.boxes is not None:
        try:
            config.boxes.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{config.boxes}: cannot be made ({error.strerror}); expected a folder") from error
    told = about(config.checkpoint, detector)
    app = build_app(detector, told, Cameras(config.boxes), limits, config.token, config.decoders)
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"checkpoint {told['checkpoint']} ({told['checkpoint_sha256'][:12]}), threshold {told['threshold']:.4g}")
    print(f"http://{shown}:{port}/ {'with the token' if config.token else 'from this machine only'}", flush=True)
    signal.signal(signal.SIGTERM, stopped)  # uvicorn raises it again when all is answered
    server(app, limits).run(sockets=[bound])


def stopped(number: int, frame: FrameType | None) -> None:
    """End well."""
    print("stopped", flush=True)
    sys.exit(0)
