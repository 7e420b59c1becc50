"""In which numbers the forward pass is computed, and which is faster here.

``auto`` times a few steps of the very model in float32 as configured and in bfloat16 with channels last, and takes
bfloat16 where that is faster by more than noise: on GPUs, and on CPUs with AMX or AVX512-BF16. Weights, statistics,
losses, the memory and the optimiser are float32 in either case.
"""

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mnad.config import OptimConfig
from mnad.data.source import Source
from mnad.model import across
from mnad.model.clock import finish
from mnad.model.inference import FASTER
from mnad.model.network import Network
from mnad.model.norm import replaced
from mnad.training.state import precision_of

IMAGES = 4  # of a batch, at most, to time a step with
LEAST, MOST = 3, 20  # steps of each
ENOUGH = 1.0  # seconds, after which the least number of steps will do


def autocast(config: OptimConfig, device: torch.device) -> AbstractContextManager:
    """Context of the forward pass: bfloat16 autocast if the configuration asks for it."""
    if config.precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def ordered(config: OptimConfig) -> torch.memory_format:
    """Memory order of pictures and filters."""
    return torch.channels_last if config.channels_last else torch.preserve_format


def adam(parameters: Iterable[Tensor], config: OptimConfig, device: torch.device) -> torch.optim.Adam:
    """Adam; in one pass over all parameters (fused) where the configuration is fast, or on a GPU.

    Elsewhere it would round otherwise than the revisions that trained what is shipped.
    """
    fused = config.fast or device.type == "cuda"
    return torch.optim.Adam(parameters, lr=config.learning_rate, fused=fused)


def step_of(model: Network, x: Tensor, target: Tensor, config: OptimConfig) -> Callable[[], float]:
    """A forward and backward pass of a copy of ``model``; returns how many seconds it took."""
    device = x.device
    model = copy.deepcopy(model).train()
    model.to(memory_format=ordered(config))
    x = x.contiguous(memory_format=torch.channels_last) if config.channels_last else x

    def step() -> float:
        started = time.perf_counter()
        with autocast(config, device), replaced(model, config.fast):
            out = model(x)
        F.mse_loss(out.output, target).backward()
        finish(device)
        return time.perf_counter() - started

    return step


def seconds_of_steps(model: Network, x: Tensor, target: Tensor, configs: Sequence[OptimConfig]) -> list[float]:
    """The shortest time of a step with each of ``configs``, in turn, so that a busy machine disturbs all of them."""
    steps = [step_of(model, x, target, config) for config in configs]
    found: list[list[float]] = [[] for _ in steps]
    started = time.perf_counter()
    while len(found[-1]) < LEAST or (len(found[-1]) < MOST and time.perf_counter() - started < ENOUGH):
        for times, step in zip(found, steps, strict=True):
            times.append(step())
    return [min(times[1:]) for times in found]  # the first one sets things up


def resolved(config: OptimConfig, model: Network, source: Source, state: Path | None = None) -> OptimConfig:
    """``config`` with the faster precision in place of ``auto``, and a printed line that says which and why.

    The model and the random numbers of torch stay as they are. Of several processes the first decides.

    Args:
        model: on the device that will train it.
        source: the training images.
        state: of a training that goes on, in the precision that it began with.
    """
    if config.precision != "auto":
        return config
    plain = replace(config, precision="float32")
    short = replace(config, precision="bfloat16", channels_last=True)
    device = next(model.parameters()).device
    take_short = torch.zeros((), device=device)
    if across.rank() == 0:
        begun = precision_of(state) if state is not None else None
        if begun is not None:
            take_short.fill_(begun == "bfloat16")
            why = "as the run began"
        else:
            x, target = (part.to(device) for part in source.inputs(np.arange(min(IMAGES, len(source)))))
            with torch.random.fork_rng(), across.apart():
                one, two = seconds_of_steps(model, x, target, (plain, short))
            take_short.fill_(one > FASTER * two)
            why = f"{len(x)} images take {1e3 * one:.3g} ms in float32, {1e3 * two:.3g} ms in bfloat16"
        print(f"optim.precision auto: {'bfloat16, channels last' if take_short else 'float32'} ({why})")
    across.first_decides(take_short)
    return short if take_short else plain
