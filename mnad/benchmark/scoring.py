"""From JPEG files to verdicts, as ``scripts/score.py`` does it: images a second, GFLOP/s, memory, pieces."""

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from mnad.benchmark.config import BenchmarkConfig
from mnad.benchmark.measure import DTYPES, Spread, matmul_peak, peak_memory
from mnad.data.clips import Windows
from mnad.data.drawing import KINDS, draw_well
from mnad.data.paths import find_images
from mnad.detector import Detector
from mnad.line.cuts import Wanted, cut_shot
from mnad.line.scoring import BATCH, score
from mnad.line.sources import Shot, shots
from mnad.line.summary import Summary
from mnad.model.clock import finish, in_turn
from mnad.run import UserError
from mnad.run.files import write_bytes

DRAWN = 256  # photographs, used again and again
BUSY = "while True: pass"  # the other process


@contextmanager
def photographs(config: BenchmarkConfig) -> Iterator[list[Path]]:
    """Files to score: those of ``config.data``, or drawn wells in a folder that is gone afterwards.

    Raises:
        UserError: no image.
    """
    if config.data is not None:
        found = list(find_images([config.data]))
        if not found:
            raise UserError(f"{config.data}: holds no image; expected photographs")
        yield found
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number:04d}.jpg" for number in range(DRAWN)]
        for number, path in enumerate(paths):
            image = draw_well(np.random.default_rng(number), KINDS[number % len(KINDS)])
            write_bytes(path, cv2.imencode(".jpg", image[..., ::-1])[1].tobytes())
        yield paths


def repeated(paths: list[Path], count: int) -> Iterator[Shot]:
    """So many shots of ``paths``, from the beginning again where they are fewer."""
    return itertools.islice(shots(map(str, itertools.cycle(paths))), count)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many other processes that compute all the time."""
    with ExitStack() as stack:
        for _ in range(processes):
            other = subprocess.Popen([sys.executable, "-c", BUSY])
            stack.callback(other.wait)
            stack.callback(other.kill)
        yield


def run_score(detector: Detector, paths: list[Path], count: int, threads: int | None = None) -> list[bool]:
    """Score so many photographs; which are anomalous."""
    summary, verdicts = Summary(0, 20), []
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        for one in score(detector, repeated(paths, count), Wanted()):
            summary.add(one.verdict)
            verdicts.append(one.verdict.anomalous)
    finally:
        torch.set_num_threads(before)
    return verdicts


def gflop_of_an_image(detector: Detector) -> float:
    """GFLOP of one image: convolutions and matrix products of the network and of the terms."""
    blank = np.full((1, 1, *detector.size, 3), 128, np.uint8)
    with FlopCounterMode(display=False) as counter:
        detector.judge(["blank"], blank)
    return counter.get_total_flops() / 1e9


def pieces(detector: Detector, paths: list[Path]) -> dict[str, float]:
    """Milliseconds of an image by piece, a batch of ``BATCH`` in one thread, the median of seven: ``read`` (file to
    pixels), ``network``, ``terms`` (all terms of the verdict's score), ``rest`` (correction, verdicts, the check for
    colour)."""
    given = list(repeated(paths, BATCH))
    cuts = [cut_shot(shot, detector.size, Wanted())[0][0] for shot in given]
    frames = np.stack([cut.pixels for cut in cuts if cut.pixels is not None])[:, None]
    x, target = (part.to(detector.device) for part in Windows(frames).inputs(np.arange(len(frames))))
    x, target = detector.corrected(x, target)
    out = detector._run(detector.model, x)

    def milliseconds(work: Callable[[], object]) -> float:
        taken = []
        for _ in range(8):
            started = time.perf_counter()
            work()
            finish(detector.device)
            taken.append(time.perf_counter() - started)
        return 1000 * float(np.median(taken[1:])) / len(frames)

    with detector.one_thread_each(), torch.inference_mode():
        found = {
            "read": milliseconds(lambda: [cut_shot(shot, detector.size, Wanted()) for shot in given]),
            "network": milliseconds(lambda: detector._run(detector.model, x)),
            "terms": milliseconds(lambda: detector.scores[detector.primary].raw(target, out)),
        }
        judged = milliseconds(lambda: detector.judge([""] * len(frames), frames))
    found["rest"] = judged - found["network"] - found["terms"]
    return found | {"total": found["read"] + judged}


def measure_scoring(config: BenchmarkConfig, device: torch.device) -> dict[str, Any]:
    """Every precision of ``config.score``, on an idle machine and beside busy processes, in turn; JSON-able.

    Raises:
        UserError: no such checkpoint, one that predicts frames of videos, or photographs that cannot be read.
    """
    own = config.score
    detectors = {name: Detector.load(own.checkpoint).to(config.device).use(name) for name in own.precisions}
    rows: dict[str, Any] = {}
    with photographs(config) as paths:
        verdicts, memory = {}, {}
        for name, detector in detectors.items():
            detector.check_photographs()
            verdicts[name] = run_score(detector, paths, len(paths))  # a first pass as well
            with peak_memory(device) as few:
                run_score(detector, paths, own.images)
            with peak_memory(device) as many:
                run_score(detector, paths, 2 * own.images)
            memory[name] = few[0], many[0]
        work = {name: gflop_of_an_image(detector) for name, detector in detectors.items()}
        peaks = {name: matmul_peak(dtype, device) for name, dtype in DTYPES.items()}

        processor_time: dict[str, list[float]] = {}

        def timed(row: str, detector: Detector, others: int) -> float:
            with busy(others):
                started, used = time.perf_counter(), time.process_time()
                run_score(detector, paths, own.images)
                processor_time.setdefault(row, []).append(time.process_time() - used)
                return time.perf_counter() - started

        places = {f"{name}{BESIDE * bool(others)}": (name, others) for others in (0, 1) for name in detectors}
        seconds = in_turn(
            {row: lambda r=row, c=case: timed(r, detectors[c[0]], c[1]) for row, case in places.items()},  # type: ignore[misc]
            own.rounds,
        )
        for row, (name, _) in places.items():
            speed = Spread.of([own.images / value for value in seconds[row]])
            rows[row] = {
                "images_per_second": vars(speed),
                "processor_milliseconds_of_an_image": 1000 * min(processor_time[row]) / own.images,
                "gflop_per_image": work[name],
                "gflops": work[name] * speed.median,
                "share_of_peak": work[name] * speed.median / peaks[name],
            }
        first = verdicts[own.precisions[0]]
        for name, detector in detectors.items():
            rows[name] |= {
                "peak_memory_mb": memory[name][0],
                "peak_memory_mb_of_twice_as_many": memory[name][1],
                "milliseconds_of_an_image": pieces(detector, paths),
                "other_verdicts": sum(a != b for a, b in zip(first, verdicts[name], strict=True)),
                "photographs": len(paths),
            }
    return {"matmul_gflops": peaks, "images": own.images, "rows": rows}


BESIDE = " beside a busy process"
PIECES = ("read", "network", "terms", "rest", "total")
