"""How the cost of scoring grows: with the number of images, their size, width and items of the network, threads."""

import time
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from mnad.benchmark.config import BenchmarkConfig
from mnad.benchmark.measure import peak_memory
from mnad.benchmark.scoring import photographs, run_score
from mnad.config import DetectorConfig, ImageConfig, ModelConfig
from mnad.detector import Detector
from mnad.line.scoring import BATCH
from mnad.model.clock import finish

HEIGHT, WIDTH = 32, 48  # pixels of the smallest images
REPEATS = 5


def exponent(x: list[float], y: list[float]) -> float | None:
    """k of ``y = a x^k``, by least squares of the logarithms; None for a single point."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0]) if len(x) > 1 else None


def untrained(factor: int = 1, **model: int) -> Detector:
    """A detector of drawn weights, for images ``factor`` times as high and wide; such cost what trained ones cost."""
    torch.manual_seed(0)
    config = DetectorConfig(
        model=ModelConfig(**{"width": 8, "item_dim": 64, **model}),  # type: ignore[arg-type]
        images=ImageConfig(height=HEIGHT * factor, width=WIDTH * factor),
    )
    detector = Detector(config)
    detector.calibrate(noise(detector, 4))
    return detector


def noise(detector: Detector, count: int) -> np.ndarray:
    """Random pixels, N x H x W x 3 uint8 of the detector's size."""
    return np.random.default_rng(0).integers(0, 256, (count, *detector.size, 3), dtype=np.uint8)


def clock(device: torch.device) -> float:
    """Seconds of the processor, all threads together, so that other work on the machine counts little; of a card those
    of the clock."""
    finish(device)
    return time.process_time() if device.type == "cpu" else time.perf_counter()


def milliseconds(detector: Detector) -> float:
    """Of the processor for an image, from pixels to its verdict, in one thread; the median of ``REPEATS`` batches."""
    height, width = detector.size
    frames = noise(detector, max(1, BATCH * HEIGHT * WIDTH // (height * width)))[:, None]
    taken = []
    with detector.one_thread_each():
        for _ in range(REPEATS + 1):
            started = clock(detector.device)
            detector.judge([""] * len(frames), frames)
            taken.append(clock(detector.device) - started)
    return 1000 * float(np.median(taken[1:])) / len(frames)


def measure_growth(config: BenchmarkConfig, device: torch.device) -> dict[str, Any]:
    """Each of ``config.growth`` alone, the rest as in the shipped detector ``wells``: ``x``, ``y`` and the exponent of
    ``y = a x^k``; JSON-able. With the number of images also the peak memory.

    Raises:
        UserError: photographs that cannot be read.
    """
    own = config.growth
    found: dict[str, dict[str, Any]] = {}
    shipped = Detector.load("wells").to(config.device)
    cases = {
        "pixels": [(factor**2 * HEIGHT * WIDTH, {"factor": factor}) for factor in own.sizes],
        "width": [(width, {"width": width, "item_dim": 8 * width}) for width in own.widths],
        "items": [(items, {"items": items}) for items in own.items],
    }
    for name, several in cases.items():
        x, y = [], []
        for value, options in tqdm(several, name, leave=False):
            x.append(float(value))
            y.append(milliseconds(untrained(**options).to(config.device)))
        found[name] = {"x": x, "y": y, "unit": "CPU ms of an image", "exponent": exponent(x, y)}
    with photographs(config) as paths:
        run_score(shipped, paths, 4 * BATCH)
        x, y, memory = [], [], []
        for count in tqdm(own.images, "images", leave=False):
            with peak_memory(device) as peak:
                started = clock(device)
                run_score(shipped, paths, count)
                y.append(clock(device) - started)
            x.append(float(count))
            memory.append(peak[0])
        found["images"] = {"x": x, "y": y, "unit": "CPU s", "exponent": exponent(x, y), "peak_memory_mb": memory}
        x, y = [], []
        for threads in own.threads:
            started = time.perf_counter()
            run_score(shipped, paths, own.images[0], threads)
            x.append(float(threads))
            y.append(own.images[0] / (time.perf_counter() - started))
        found["threads"] = {"x": x, "y": y, "unit": "images/s", "exponent": exponent(x, y)}
    return found
