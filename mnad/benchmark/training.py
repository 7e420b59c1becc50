"""Training steps of the real loop beside the straightforward one: images a second, GFLOP/s, memory, pieces."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from mnad.benchmark.config import BenchmarkConfig, TrainBenchmark
from mnad.benchmark.measure import DTYPES, Spread, Stopwatch, matmul_peak, peak_memory
from mnad.benchmark.straightforward import BATCH, LEARNING_RATE, Straightforward, step
from mnad.config import ImageConfig, OptimConfig, past_frames
from mnad.data.clips import clip_input
from mnad.data.dataset import open_dataset
from mnad.data.images import normalised
from mnad.data.source import Source
from mnad.model.build import build_model
from mnad.model.clock import finish, in_turn
from mnad.training.loop import train_one_epoch
from mnad.training.losses import loss_weights
from mnad.training.precision import adam

DRAWN = 64  # pictures or clips, used again and again
STRAIGHTFORWARD = "straightforward float32"


class Noise:
    """Clips or photographs of random pixels, uint8 like decoded ones; a :class:`mnad.data.source.Source`."""

    def __init__(self, count: int, frames: int, height: int, width: int) -> None:
        shape = count, frames, height, width, 3
        self.pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def __len__(self) -> int:
        return len(self.pixels)

    def inputs(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """See :class:`mnad.data.source.Source`."""
        clips = torch.from_numpy(self.pixels[indices])
        return clip_input(normalised(clips.flatten(0, 1)).unflatten(0, clips.shape[:2]))


class Repeated:
    """``count`` entries of a source, from its beginning again where it is shorter; its reading is timed."""

    def __init__(self, source: Source, count: int, watch: Stopwatch | None = None) -> None:
        self.source, self.count, self.watch = source, count, watch

    def __len__(self) -> int:
        return self.count

    def inputs(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """See :class:`mnad.data.source.Source`."""
        if self.watch is not None:
            self.watch.begin("read")
        found = self.source.inputs(indices % len(self.source))
        if self.watch is not None:
            self.watch.end("read")
        return found


@contextmanager
def timed(model: nn.Module, optimizer: torch.optim.Optimizer, watch: Stopwatch) -> Iterator[None]:
    """Time the pieces of training steps of ``model`` by hooks, so that what is timed is the loop as it is.

    ``encoder``, ``decoder``, ``memory`` (the forward pass but for those: read, losses, new items), ``backward`` (all
    between forward pass and optimiser: the losses' sum, the backward pass, writing the items), ``optimiser``.
    """

    def change(ends: str | None = None, begins: str | None = None) -> Callable[..., None]:
        def hook(*_: object) -> None:
            if ends:
                watch.end(ends)
            if begins:
                watch.begin(begins)

        return hook

    handles: list[Any] = []
    for name in ("encoder", "decoder"):
        part = getattr(model, name)
        handles += [part.register_forward_pre_hook(change(begins=name)), part.register_forward_hook(change(name))]
    handles += [
        model.register_forward_pre_hook(change(begins="forward")),
        model.register_forward_hook(change("forward", "backward")),
        optimizer.register_step_pre_hook(change("backward", "optimiser")),
        optimizer.register_step_post_hook(change("optimiser")),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Ours:
    """The project's own loop, :func:`mnad.training.loop.train_one_epoch`."""

    def __init__(self, config: TrainBenchmark, source: Source, precision: str, device: torch.device) -> None:
        torch.manual_seed(0)
        order = torch.channels_last if config.channels_last else torch.preserve_format
        self.model = build_model(config.model, (config.height, config.width))
        self.model.to(device, memory_format=order)  # type: ignore[call-overload]
        self.source, self.batch_size, self.steps = source, config.batch_size, config.steps
        self.optim = OptimConfig(
            epochs=1000,
            batch_size=config.batch_size,
            learning_rate=LEARNING_RATE,
            precision=precision,  # type: ignore[arg-type]
            channels_last=config.channels_last,
        ).resolved(config.model.variant)
        self.weights = loss_weights(self.model, self.optim)
        self.optimizer = adam(self.model.parameters(), self.optim, device)

    def run(self, steps: int, watch: Stopwatch | None = None) -> None:
        """So many training steps."""
        source = Repeated(self.source, steps * self.batch_size, watch)
        with tqdm(disable=True) as bar:
            train_one_epoch(self.model, source, self.optimizer, self.weights, self.optim, 0, 0, bar)

    def pieces(self) -> dict[str, float]:
        """Milliseconds of a step by piece."""
        watch = Stopwatch(next(self.model.parameters()).device)
        watch.begin("total")
        with timed(self.model, self.optimizer, watch):
            self.run(self.steps, watch)
        watch.end("total")
        found = {name: 1000 * seconds / self.steps for name, seconds in watch.seconds.items()}
        found["memory"] = found.pop("forward") - found["encoder"] - found["decoder"]
        found["rest"] = 2 * found["total"] - sum(found.values())
        return {name: found[name] for name in (*PIECES, "total")}


PIECES = ("read", "encoder", "memory", "decoder", "backward", "optimiser", "rest")


class Plain:
    """The straightforward loop."""

    batch_size = BATCH

    def __init__(self, config: TrainBenchmark, source: Source, device: torch.device) -> None:
        torch.manual_seed(0)
        self.model = Straightforward(config.model).to(device).train()
        self.model.items = self.model.items.to(device)
        self.source, self.device, self.steps = source, device, config.steps
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE)

    def run(self, steps: int) -> None:
        """So many training steps."""
        source = Repeated(self.source, steps * BATCH)
        for first in range(0, steps * BATCH, BATCH):
            x, target = source.inputs(np.arange(first, first + BATCH))
            x, target = x.contiguous().to(self.device), target.contiguous().to(self.device)  # NCHW
            step(self.model, self.optimizer, x, target).item()


def open_source(config: BenchmarkConfig) -> tuple[Source, float | None]:
    """What is trained on, and the seconds until it was open; drawn without ``data``, and not timed.

    Raises:
        UserError: see :func:`mnad.data.dataset.open_dataset`.
    """
    own = config.train
    if config.data is None:
        return Noise(DRAWN, past_frames(own.model.variant) + 1, own.height, own.width), None
    started = time.perf_counter()
    data = open_dataset(config, ImageConfig(height=own.height, width=own.width), own.model.variant)
    return data.sources(0)["train"], time.perf_counter() - started


def gflop(contender: Ours | Plain) -> float:
    """GFLOP of a training step for each image: convolutions and matrix products, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        contender.run(1)
    return counter.get_total_flops() / contender.batch_size / 1e9


def measure_training(config: BenchmarkConfig, device: torch.device) -> dict[str, Any]:
    """Every contender of ``config.train`` in turn; JSON-able.

    Raises:
        UserError: data that cannot be read.
    """
    own = config.train
    source, start = open_source(config)
    contenders: dict[str, Ours | Plain] = {STRAIGHTFORWARD: Plain(own, source, device)}
    contenders |= {f"ours {precision}": Ours(own, source, precision, device) for precision in own.precisions}
    work = {name: gflop(contender) for name, contender in contenders.items()}  # a first step as well
    memory = {}
    for name, contender in contenders.items():
        with peak_memory(device) as found:
            contender.run(1)
        memory[name] = found[0]
    peaks = {name: [matmul_peak(dtype, device)] for name, dtype in DTYPES.items()}
    with tqdm(total=own.rounds * len(contenders), desc="training steps", leave=False) as bar:

        def turn(contender: Ours | Plain) -> float:
            started = time.perf_counter()
            contender.run(own.steps)
            finish(device)
            bar.update()
            return time.perf_counter() - started

        seconds = in_turn({name: lambda c=c: turn(c) for name, c in contenders.items()}, own.rounds)  # type: ignore[misc]
    for name, dtype in DTYPES.items():
        peaks[name].append(matmul_peak(dtype, device))  # after the rounds as well as before them
    highest = {name: max(values) for name, values in peaks.items()}
    rows = {}
    for name, contender in contenders.items():
        images = own.steps * contender.batch_size
        speed = Spread.of([images / value for value in seconds[name]])
        pairs = zip(seconds[STRAIGHTFORWARD], seconds[name], strict=True)
        faster = Spread.of([plain / BATCH * contender.batch_size / mine for plain, mine in pairs])
        rows[name] = {
            "images_per_second": vars(speed),
            "times_straightforward": vars(faster),
            "gflop_per_image": work[name],
            "gflops": work[name] * speed.median,
            "share_of_peak": work[name] * speed.median / highest[name.split()[-1]],
            "peak_memory_mb": memory[name],
            "milliseconds_of_a_step": contender.pieces() if isinstance(contender, Ours) else None,
        }
    return {
        "matmul_gflops": {name: max(values) for name, values in peaks.items()},
        "start_seconds": start,
        "rows": rows,
    }
