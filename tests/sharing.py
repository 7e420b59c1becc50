"""What the test of several processes runs in each of them; a module of its own, so that they can import it."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from mnad.config import ModelConfig, OptimConfig
from mnad.model.build import build_model
from mnad.model.network import Network
from mnad.training.loop import train

SIZE = (16, 24)
OURS = {"encoder": "local", "query": "standardised", "scope": "position", "addressing": "hard", "update": "ema"}
SMALL = ModelConfig(width=4, item_dim=8)
CASES = {
    "official": (SMALL, OptimConfig(epochs=2, batch_size=8, mirror=True, reseed_dead=True, memory_start="kmeans")),
    "paper": (
        replace(SMALL, reduction="sum", detach_attention=False, update_normaliser="assigned"),
        OptimConfig(epochs=2, batch_size=7, loss_weights={"compactness": 1e-3, "separateness": 1e-3}),  # 4 and 3
    ),
    "ours": (
        replace(SMALL, items=3, sees="read", **OURS),
        OptimConfig(epochs=2, batch_size=8, memory_start="queries", finish=["statistics", "items", "decoder"]),
    ),
    "short": (SMALL, OptimConfig(epochs=3, batch_size=64)),  # one batch of all there is
}


class Noise:
    """29 pictures of one seed, so that the last ones of an epoch are left over."""

    def __init__(self, count: int = 29) -> None:
        self.x = torch.rand(count, 3, *SIZE, generator=torch.Generator().manual_seed(1)).double() * 2 - 1

    def __len__(self) -> int:
        return len(self.x)

    def inputs(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        return self.x[indices], self.x[indices]


def trained(case: str, folder: Path | None, resume: bool = False) -> Network:
    """The model of ``case``, trained from seed 0 in float64: in float32 Adam lets rounding grow to 1e-3."""
    model, optim = CASES[case]
    torch.manual_seed(0)
    built = build_model(model, SIZE).double()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    train(built, Noise(), Noise(5), replace(optim, learning_rate=1e-3, device="cpu"), 0, folder, resume)
    return built


def share(rank: int, count: int, port: int, out: str) -> None:
    """Train every case as one of ``count`` processes; the state of each goes to ``out``."""
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=count)
    for case in CASES:
        model = trained(case, None if rank else Path(out) / case)
        torch.save(model.state_dict(), os.path.join(out, f"{case}{rank}.pt"))
    dist.destroy_process_group()
