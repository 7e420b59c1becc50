"""The proof of an export: scores and verdicts beside those of PyTorch, image by image."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mnad.data.drawing import KINDS, draw_well
from mnad.data.reading import resize
from mnad.detector import Detector
from mnad.line.sources import shots
from mnad.run import UserError
from mnad.runtime.model import Model

TOLERANCE = 1e-4  # of a score
BATCH = 16  # clips of one size that are compared as one batch, too

Named = tuple[str, np.ndarray]  # name; (P + 1) x H x W x 3 uint8 of any size


def drawn_size(sides: np.ndarray) -> tuple[int, int]:
    """(height, width) of two drawn numbers."""
    return int(sides[0]), int(sides[1])


def drawn_clips(size: tuple[int, int], past: int, count: int, seed: int) -> Iterator[Named]:
    """``count`` drawn wells of every kind and noise, in turn: as they are drawn, at random sizes up to three times
    ``size``, by whole factors of it. Clips of prediction are one picture that wanders."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        picture = draw_well(rng, kind)
        if number % 4 == 1:
            kind, picture = "noise", rng.integers(0, 256, (*rng.integers(8, 3 * np.array(size)), 3), dtype=np.uint8)
        if number % 4 == 2:
            picture = resize(picture, drawn_size(rng.integers(8, 3 * np.array(size))))
        if number % 4 == 3:
            picture = resize(picture, drawn_size(np.array(size) * rng.integers(1, 4, 2)))
        yield f"{kind} {number}", np.stack([np.roll(picture, step, axis=1) for step in range(past + 1)])


def read_clips(words: Iterable[str | Path], past: int, unread: list[str]) -> Iterator[Named]:
    """Photographs and films of ``words`` at their own size; what cannot be read is named in ``unread``."""
    film = ""
    window: deque[np.ndarray] = deque(maxlen=past + 1)
    for shot in shots(words):
        try:
            picture = shot.load()
        except UserError as error:
            unread.append(str(error))
            window.clear()
            continue
        if shot.film != film or (window and window[-1].shape != picture.shape):
            window.clear()
        film = shot.film
        window.append(picture)
        if len(window) > past:
            yield shot.name, np.stack(tuple(window))


@dataclass
class Proof:
    """What a comparison found.

    Attributes:
        images: compared; ``anomalous`` of them by PyTorch.
        difference: largest between two scores.
        where: the image of it.
        nearest: smallest distance of a score of PyTorch to the threshold.
        differing: images whose verdicts differ.
    """

    images: int = 0
    anomalous: int = 0
    difference: float = 0.0
    where: str = ""
    nearest: float = np.inf
    differing: list[str] = field(default_factory=list)

    def add(self, name: str, expected: float, found: float, anomalous: bool, threshold: float) -> None:
        """Compare one score, and the graph's verdict ``anomalous``."""
        difference = abs(found - expected)
        if not difference <= self.difference:  # also NaN
            self.difference, self.where = difference, name
        self.images += 1
        self.anomalous += expected >= threshold
        self.nearest = min(self.nearest, abs(expected - threshold))
        if anomalous != (expected >= threshold) or anomalous != (found >= threshold):
            self.differing.append(name)

    def line(self, backend: str) -> str:
        """The proof in one line."""
        return (
            f"{backend}: {self.images:,} images ({self.anomalous:,} anomalous), {len(self.differing)} verdicts differ; "
            f"largest difference of a score {self.difference:.2g} ({self.where}), nearest to the threshold "
            f"{self.nearest:.2g}"
        )

    def check(self, path: Path, tolerance: float = TOLERANCE) -> None:
        """Raises ``UserError`` for a verdict that differs, a score that differs by more, or nothing compared."""
        if not self.images:
            raise UserError(f"{path}: no image to compare with PyTorch; expected at least one")
        if self.differing:
            named, count = ", ".join(self.differing[:3]), len(self.differing)
            raise UserError(f"{path}: {count} of {self.images} verdicts differ from PyTorch's ({named}); expected none")
        if not self.difference <= tolerance:
            raise UserError(
                f"{path}: the score of {self.where} differs from PyTorch's by {self.difference:.2g}; expected at most "
                f"{tolerance:g}"
            )


def prove(detector: Detector, model: Model, clips: Iterable[Named], inside: bool = True) -> Proof:
    """Compare ``model`` with ``detector``: each clip by itself, and the first few as one batch.

    Args:
        inside: give each clip at its own size, so that it is resized inside the graph.
    """
    proof = Proof()
    batch: list[tuple[str, np.ndarray, float]] = []
    for name, clip in tqdm(clips, "compare", leave=False, disable=None):
        small = np.stack([resize(frame, detector.size) for frame in clip])
        (verdict,) = detector.judge([name], small[None])
        given = clip if inside else small
        found = model.run(given[None] if model.past else given)
        proof.add(name, verdict.score, float(found["score"][0]), bool(found["anomalous"][0]), model.threshold)
        if len(batch) < BATCH:
            batch.append((f"{name} in a batch", small, verdict.score))
    if batch:
        stacked = np.stack([small for _, small, _ in batch])
        found = model.run(stacked if model.past else stacked[:, 0])
        for (name, _, expected), score, anomalous in zip(batch, found["score"], found["anomalous"], strict=True):
            proof.add(name, expected, float(score), bool(anomalous), model.threshold)
    return proof
