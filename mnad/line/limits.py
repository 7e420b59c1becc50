"""How much the server takes, and from where; free of its packages, for the command line."""

import ipaddress
from dataclasses import dataclass

from mnad.run import UserError


@dataclass(frozen=True)
class Limits:
    """How much is taken.

    Args:
        file_bytes: largest photograph.
        request_bytes: largest request.
        pending_bytes: all requests that are read or answered at once.
        images: most photographs in one request.
        pixels: most pixels of a photograph, by its header; none is MNAD_MAX_PIXELS of the environment, or 100,000,000.
        requests: most requests that are read or answered at once.
        waiting: most pictures or wells that wait for their verdicts.
        per_client: most of those of one address.
        body_seconds: longest time to send the body of a request.
        seconds: longest time until its answer.
    """

    file_bytes: int = 20_000_000
    request_bytes: int = 100_000_000
    pending_bytes: int = 400_000_000
    images: int = 64
    pixels: int | None = None
    requests: int = 128
    waiting: int = 2048
    per_client: int = 1024
    body_seconds: float = 15.0
    seconds: float = 30.0

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a limit that lets nothing through."""
        for key, value in vars(self).items():
            if value is not None and not value > 0:
                raise UserError(f"limits.{key}: expected a number above 0, got {value}")


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine, seen from itself only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def host_name(address: str) -> str:
    """``address`` (a Host header) without its port."""
    return address[1:].partition("]")[0] if address.startswith("[") else address.partition(":")[0]
