"""What ``scripts/benchmark.py`` measures."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mnad.config import STRIDE, DataConfig, ModelConfig
from mnad.run import UserError
from mnad.run.cli import POSITIONAL

PARTS = ("train", "score", "growth")
Precision = Literal["float32", "bfloat16"]


def at_least(group: str, config: object, **least: int) -> None:
    """Raise ``UserError`` for a field of ``config`` below its ``least`` value."""
    for key, value in least.items():
        if getattr(config, key) < value:
            raise UserError(f"{group}.{key}: expected at least {value}, got {getattr(config, key)}")


def check_precisions(group: str, precisions: list[Precision]) -> None:
    """Raise ``UserError`` for a list that is empty or names one twice."""
    if not precisions or len(set(precisions)) < len(precisions):
        raise UserError(f"{group}.precisions: expected float32, bfloat16 or both, got {precisions}")


@dataclass
class TrainBenchmark:
    """Training steps, ours beside the straightforward loop (batch 4, float32) in turn.

    Args:
        model: the network; the default is the official architecture.
        height: pixels, divisible by 8.
        width: pixels, divisible by 8.
        batch_size: of ours.
        precisions: of ours.
        channels_last: memory order of ours.
        rounds: in each, every contender takes its turn; reported are the median of the rounds and both extremes.
        steps: of each contender in a round.
    """

    model: ModelConfig = field(default_factory=lambda: ModelConfig(variant="pred"))
    height: int = 64
    width: int = 64
    batch_size: int = 4
    precisions: list[Precision] = field(default_factory=lambda: ["float32", "bfloat16"])
    channels_last: bool = True
    rounds: int = 5
    steps: int = 3

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a number out of range, or a network that the straightforward loop does not have."""
        at_least("train", self, batch_size=1, rounds=1, steps=1)
        check_precisions("train", self.precisions)
        for key in ("height", "width"):
            value = getattr(self, key)
            if value < STRIDE or value % STRIDE:
                raise UserError(f"train.{key}: expected a positive multiple of {STRIDE}, got {value}")
        own = ModelConfig(
            variant=self.model.variant, width=self.model.width, items=self.model.items, item_dim=self.model.item_dim
        )
        if self.model != own:
            raise UserError("train.model: expected the official one (variant, width, items, item_dim may differ)")


@dataclass
class ScoreBenchmark:
    """From JPEG files to verdicts, on an otherwise idle machine and beside a process that computes all the time.

    Args:
        checkpoint: run folder, .safetensors file, or the name of a shipped detector.
        images: so many in each round, the same files again and again.
        precisions: of the convolutions.
        rounds: in each, every case takes its turn; reported are the median of the rounds and both extremes.
    """

    checkpoint: Path = Path("wells")
    images: int = 4000
    precisions: list[Precision] = field(default_factory=lambda: ["float32", "bfloat16"])
    rounds: int = 3

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a number out of range."""
        at_least("score", self, images=1, rounds=1)
        check_precisions("score", self.precisions)


@dataclass
class GrowthBenchmark:
    """How the cost of scoring grows; one of these at a time, the rest as in the shipped detector ``wells``.

    Args:
        images: numbers of photographs.
        sizes: factors of 32 x 48 pixels, along both sides.
        widths: channels of the first stage; the items have eight times as many.
        items: of the memory.
        threads: that score at the same time.
    """

    images: list[int] = field(default_factory=lambda: [1000, 10_000])
    sizes: list[int] = field(default_factory=lambda: [1, 2, 4, 8])
    widths: list[int] = field(default_factory=lambda: [8, 16, 32, 64])
    items: list[int] = field(default_factory=lambda: [10, 100, 1000])
    threads: list[int] = field(default_factory=lambda: [1, 2])

    def __post_init__(self) -> None:
        """Raises ``UserError`` for an empty list or a number below 1."""
        for key in ("images", "sizes", "widths", "items", "threads"):
            values = getattr(self, key)
            if not values or min(values) < 1:
                raise UserError(f"growth.{key}: expected numbers of at least 1, got {values}")


@dataclass(kw_only=True)
class BenchmarkConfig(DataConfig):
    """What to measure.

    Args:
        parts: train, score, growth or all (the default).
        json: file for the numbers; only an earlier result is replaced.
        data: dataset to train on and to score; none draws pictures, which cost the same.
        threads: CPU threads of torch; 0 leaves torch's choice.
        device: auto, cpu or cuda.
        train: the training part.
        score: the scoring part.
        growth: how the cost of scoring grows.
    """

    parts: list[str] = field(default_factory=list, metadata=POSITIONAL)
    json: Path | None = None
    threads: int = 0
    device: str = "auto"
    train: TrainBenchmark = field(default_factory=TrainBenchmark)
    score: ScoreBenchmark = field(default_factory=ScoreBenchmark)
    growth: GrowthBenchmark = field(default_factory=GrowthBenchmark)

    def __post_init__(self) -> None:
        """Replace ``all`` by its parts; raises ``UserError`` for an unknown part or a negative number."""
        for part in self.parts:
            if part not in (*PARTS, "all"):
                raise UserError(f"{part!r}: expected some of {', '.join(PARTS)}, or all")
        self.parts = [part for part in PARTS if not self.parts or "all" in self.parts or part in self.parts]
        if self.threads < 0:
            raise UserError(f"threads: expected 0 or more, got {self.threads}")
