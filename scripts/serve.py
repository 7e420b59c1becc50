"""Serve verdicts on photographs over HTTP, and a page to drop them on.

Reached from this machine only, unless --host says otherwise; then every request needs the token. Stops on SIGTERM and
ctrl-c after it has answered what it accepted.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import baselines
from mnad.line.limits import Limits, is_loopback
from mnad.run import UserError, not_installed
from mnad.run.cli import run

SHORTEST = 16  # signs of a token


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
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Raises ``UserError`` for values out of range, and for an address that others reach without a token."""
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
    try:
        from mnad.line.listening import serve
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mnad"):
            raise
        raise not_installed("server", error.name, "server") from error
    baselines.register()
    serve(config)


def command() -> None:
    """Entry point of the installed command."""
    run(main, ServeConfig, __doc__)


if __name__ == "__main__":
    command()
