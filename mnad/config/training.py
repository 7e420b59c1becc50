"""The training loop's settings."""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from mnad.config.network import PUBLISHED, Variant
from mnad.config.ranges import check_range, check_threads
from mnad.run import UserError

Finish = Literal["statistics", "items", "decoder"]
MEMORY_LOSSES = ("compactness", "separateness")


@dataclass
class OptimConfig:
    """The training loop.

    Args:
        epochs: passes over the training images.
        batch_size: images; the memory update is a softmax over all queries of a batch, so it matters.
        learning_rate: Adam's, cosine to 0 over all steps (official 2e-4 at batch 4; paper 2e-5 for reconstruction).
        loss_weights: weight of every loss term besides the pixel error; a baseline's own term that is not named has
            the weight of its paper. None is what the authors have, which for MNAD's two terms depends on the variant.
        precision: ``bfloat16`` is faster on CPUs with AMX or AVX512-BF16 and on GPUs, and slower on others. ``auto``
            measures which is faster here, says so, and takes it: bfloat16 then with ``channels_last``.
        device: ``auto`` is CUDA where there is one.
        threads: CPU threads of torch, at most 64 or one for each processor; 0 leaves torch's choice.
        memory_start: where the items start: ``random`` (faithful); ``kmeans``, cluster centres of the first queries;
            ``queries``, random queries of the first batch.
        channels_last: memory order of the pictures and filters; the same numbers but for rounding, on many processors
            sooner. With bfloat16 batch normalisation (:mod:`mnad.model.norm`) and Adam take their fast ways then, too,
            which also round otherwise.
        mirror: mirror each training image or clip left to right with probability 1/2 (official: no augmentation).
        reseed_dead: after each epoch, move items that were nearest to no query onto queries (faithful: false).
        finish: stages after the epochs, see :mod:`mnad.training.finish` (faithful: none).
    """

    epochs: int = 15
    batch_size: int = 16
    learning_rate: float = 1e-3
    loss_weights: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(MEMORY_LOSSES))
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    device: str = "auto"
    threads: int = 0
    memory_start: Literal["random", "kmeans", "queries"] = "random"
    channels_last: bool = False
    reseed_dead: bool = False
    mirror: bool = False
    finish: list[Finish] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a number out of range."""
        for key in ("epochs", "batch_size"):
            check_range(f"optim.{key}", getattr(self, key), 1)
        check_threads("optim.threads", self.threads)
        if not 0 < self.learning_rate < math.inf:
            raise UserError(f"optim.learning_rate: expected a number above 0, got {self.learning_rate}")
        for name, weight in self.loss_weights.items():
            if weight is not None and not math.isfinite(weight):
                raise UserError(f"optim.loss_weights.{name}: expected a finite number, got {weight}")

    @property
    def fast(self) -> bool:
        """Whether the fast ways that round otherwise are taken: in bfloat16 with ``channels_last``."""
        return self.precision == "bfloat16" and self.channels_last

    def resolved(self, variant: Variant) -> "OptimConfig":
        """The same with the published weight of ``variant`` in place of each None."""
        published = dict.fromkeys(MEMORY_LOSSES, PUBLISHED[variant].memory_loss)
        weights = {n: published.get(n) if weight is None else weight for n, weight in self.loss_weights.items()}
        return replace(self, loss_weights={n: weight for n, weight in weights.items() if weight is not None})
