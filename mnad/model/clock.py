"""Fair clocks for what runs on a device: read when the work is done, contenders in turn."""

from collections.abc import Callable, Mapping

import torch


def finish(device: torch.device) -> None:
    """Wait for what was begun on ``device``, so that a clock may be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_turn(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every contender in each of ``rounds``, one after the other in each, so that whatever slows the
    machine down for a while slows all of them."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            found[name].append(run())
    return found
