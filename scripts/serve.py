"""Serve verdicts on photographs over HTTP, and a page to drop them on.

Reached from this machine only, unless --host says otherwise; then every request needs the token. Stops on SIGTERM and
ctrl-c after it has answered what it accepted.
"""

from dataclasses import dataclass, field
from pathlib import Path

import baselines
from mnad.run import UserError
from mnad.run.cli import run

SHORTEST = 16  # signs of a token


@dataclass
class LimitOptions:
    """How much is taken.

    Args:
        file_mb: largest photograph, in MB (10^6 bytes).
        request_mb: largest request, in MB.
        pending_mb: all requests that are read or answered at once, in MB.
        images: most photographs in one request.
        pixels: most pixels of a photograph, by its header; none is MNAD_MAX_PIXELS of the environment, or 100,000,000.
        requests: most requests that are read or answered at once.
        waiting: most pictures or wells that wait for their verdicts.
        per_client: most of those of one address.
        body_seconds: longest time to send the body of a request.
        seconds: longest time until its answer.
    """

    file_mb: float = 20
    request_mb: float = 100
    pending_mb: float = 400
    images: int = 64
    pixels: int | None = None
    requests: int = 128
    waiting: int = 2048
    per_client: int = 1024
    body_seconds: float = 15
    seconds: float = 30

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a limit that lets nothing through."""
        for key, value in vars(self).items():
            if value is not None and not value > 0:
                raise UserError(f"limits.{key}: expected a number above 0, got {value}")


@dataclass
class ServeConfig:
    """What to serve, where.

    Args:
        checkpoint: run folder, .safetensors file, or the name of a shipped detector.
        host: address or name to listen at; any but this machine's own (127.0.0.1, ::1, localhost) needs a token.
        port: to listen at; 0 takes a free one.
        token: that every request must bring (Authorization: Bearer TOKEN), 16 signs or more; empty takes MNAD_TOKEN of
            the environment, which the list of processes does not show.
        boxes: folder of the cameras' boxes, a CSV file (id, x, y, width, height) for each.
        decoders: threads that decode.
        device: auto, cpu or cuda.
        limits: how much is taken.
    """

    checkpoint: Path = Path("wells")
    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""
    boxes: Path | None = None
    decoders: int = 2
    device: str = "auto"
    limits: LimitOptions = field(default_factory=LimitOptions)

    def __post_init__(self) -> None:
        """Raises ``UserError`` for values out of range, and for an address that others reach without a token."""
        import os

        from mnad.line.addresses import is_loopback

        self.token = self.token or os.environ.get("MNAD_TOKEN", "")
        if not 0 <= self.port <= 65535:
            raise UserError(f"port: expected a number from 0 to 65535, got {self.port}")
        if self.decoders < 1:
            raise UserError(f"decoders: expected 1 or more, got {self.decoders}")
        if self.token and not (len(self.token) >= SHORTEST and self.token.isascii() and self.token.isprintable()):
            raise UserError(f"token: expected {SHORTEST} or more signs of ASCII, got {len(self.token)} signs")
        if " " in self.token:
            raise UserError("token: has a blank in it; expected one word")
        if not self.token and not is_loopback(self.host):
            raise UserError(f"host: {self.host!r} is reached from other machines; expected --token (or MNAD_TOKEN) too")


def main(config: ServeConfig) -> None:
    """Load, listen, answer until told to stop."""
    from mnad.line.listening import serve

    baselines.register()
    serve(config)


def command() -> None:
    """Entry point of the installed command."""
    run(main, ServeConfig, __doc__)


if __name__ == "__main__":
    command()
