"""Configurations of training: documented dataclasses; YAML files in ``configs/`` are differences from these."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mnad.data.options import LayoutOptions
from mnad.errors import UserError
from mnad.memory import Reduction, UpdateNormaliser
from mnad.model import PUBLISHED, Variant
from mnad.scores import ScoreConfig, mnad_score, wells_score
from mnad.threshold import ThresholdConfig

# MNAD's own terms (None) are weighed as the official code does for the variant, see ``mnad.model.PUBLISHED``;
# ``kl`` of the VAE: see baselines/vae.py; ``entropy`` of MemAE: its paper.
LOSS_WEIGHTS: dict[str, float | None] = {"compactness": None, "separateness": None, "kl": 0.02, "entropy": 0.0002}


@dataclass
class ModelConfig:
    """The network. Keys that a model does not have are ignored by it (a plain autoencoder has no items).

    Args:
        name: one of ``mnad.build.MODELS``.
        variant: ``recon`` or ``pred``.
        width: channels of the first stage; official 64.
        items: number of memory items; official 10.
        item_dim: dimension of queries and items; official 512.
        temperature: divides the scores before every softmax of the memory; 1 is faithful.
        detach_attention: official True, paper False.
        update_normaliser: official ``all``, paper ``assigned``.
        reduction: of the memory losses; official ``mean``, paper ``sum``.
        memae_items: items of MemAE, a baseline; its paper has 100 (digits) to 2000 (video).
    """

    name: str = "mnad"
    variant: Variant = "recon"
    width: int = 64
    items: int = 10
    item_dim: int = 512
    temperature: float = 1.0
    detach_attention: bool = True
    update_normaliser: UpdateNormaliser = "all"
    reduction: Reduction = "mean"
    memae_items: int = 500


@dataclass
class ImageConfig:
    """How images are read.

    Args:
        height: pixels, divisible by 8.
        width: pixels, divisible by 8.
        validation_fraction: share of the training normals (of videos: whole ones) kept back for statistics and
            threshold.
        memory_gb: largest set of decoded images to keep in memory; larger ones are decoded on the fly.
    """

    height: int = 32
    width: int = 48
    validation_fraction: float = 0.1
    memory_gb: float = 4.0

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.height, self.width


@dataclass
class OptimConfig:
    """The training loop.

    Args:
        epochs: passes over the training images.
        batch_size: images; the memory update is a softmax over all queries of a batch, so it matters.
        learning_rate: Adam's, cosine to 0 over all steps (official 2e-4 at batch 4; paper 2e-5 for reconstruction).
        loss_weights: weight of every loss term besides the pixel error; of a term that is not named: 0. None is what
            the authors have; for MNAD's two terms that depends on the variant.
        precision: ``bfloat16`` is faster on CPUs with AMX or AVX512-BF16 and on GPUs, and slower on others.
        device: ``auto`` is CUDA where there is one.
        threads: CPU threads of torch; 0 leaves torch's choice.
        memory_start: where the items start: ``random`` (faithful) or ``kmeans``, cluster centres of the first queries.
        mirror: mirror each training image or clip left to right with probability 1/2 (official: no augmentation).
        reseed_dead: after each epoch, move items that were nearest to no query onto queries (faithful: false).
    """

    epochs: int = 15
    batch_size: int = 16
    learning_rate: float = 1e-3
    loss_weights: dict[str, float | None] = field(default_factory=lambda: dict(LOSS_WEIGHTS))
    precision: Literal["float32", "bfloat16"] = "float32"
    device: str = "auto"
    threads: int = 0
    memory_start: Literal["random", "kmeans"] = "random"
    reseed_dead: bool = False
    mirror: bool = False

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a number out of range or the weight of a term that no model has."""
        for key, least in (("epochs", 1), ("batch_size", 1), ("threads", 0)):
            if getattr(self, key) < least:
                raise UserError(f"optim.{key}: {getattr(self, key)}; at least {least} was expected")
        if not 0 < self.learning_rate < math.inf:
            raise UserError(f"optim.learning_rate: {self.learning_rate}; a number above 0 was expected")
        for name, weight in self.loss_weights.items():
            if name not in LOSS_WEIGHTS:
                expected = ", ".join(LOSS_WEIGHTS)
                raise UserError(f"optim.loss_weights: {name!r} is no loss term; some of {expected} were expected")
            if weight is not None and not math.isfinite(weight):
                raise UserError(f"optim.loss_weights.{name}: {weight}; a finite number was expected")

    def resolved(self, variant: Variant) -> "OptimConfig":
        """The same with the published weight of ``variant`` in place of each None."""
        memory = PUBLISHED[variant].memory_loss
        published = LOSS_WEIGHTS | {"compactness": memory, "separateness": memory}
        weights = {name: published[name] if weight is None else weight for name, weight in self.loss_weights.items()}
        return replace(self, loss_weights=weights)


@dataclass
class DetectorConfig:
    """Everything that a checkpoint needs to say about itself.

    Args:
        model: the network.
        images: how images are read.
        scores: scores by name. None, here and of ``primary``, is replaced by ``wells`` and the paper's ``mnad`` for
            reconstruction, by ``mnad`` for prediction.
        primary: the score that gives the verdict; the others are reported beside it.
        threshold: how each score's threshold is chosen.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    images: ImageConfig = field(default_factory=ImageConfig)
    scores: dict[str, ScoreConfig] | None = None
    primary: str | None = None
    threshold: ThresholdConfig = field(default_factory=ThresholdConfig)

    def __post_init__(self) -> None:
        """Replace None by what the variant has."""
        photographs = self.model.variant == "recon"
        if self.scores is None:
            wells = {"wells": wells_score()} if photographs else {}
            self.scores = wells | {"mnad": mnad_score(self.model.variant)}
        if self.primary is None:
            self.primary = "wells" if photographs else "mnad"


@dataclass
class TrainConfig(DetectorConfig):
    """Train, choose the threshold, judge on the test folder.

    Args:
        data: folder of photographs or of videos (``mnad.data.layout``, ``mnad.data.videos``); none draws the
            synthetic wells into ``data/synthetic_wells``.
        layout: how ``data`` is laid out; ``auto`` looks at its folders.
        layout_options: names and shares of the layouts that need some.
        out: run folder; none makes ``runs/wells-<date>-<time>``.
        overwrite: empty an existing run folder first.
        resume: go on in an existing run folder.
        seed: of weights, order and validation split (the synthetic wells are always the same).
        compare: further models, trained and judged by the same loop and scores, for the table.
        model: the network.
        images: how images are read.
        scores: scores by name; none is ``wells`` and the paper's for reconstruction, the paper's for prediction.
        primary: the score that gives the verdict; the others are reported beside it; none is ``wells`` for
            reconstruction, ``mnad`` for prediction.
        threshold: how each score's threshold is chosen.
        optim: the training loop.
    """

    data: Path | None = None
    layout: str = "auto"
    layout_options: LayoutOptions = field(default_factory=LayoutOptions)
    out: Path | None = None
    overwrite: bool = False
    resume: bool = False
    seed: int = 0
    compare: list[str] = field(default_factory=lambda: ["conv_ae"])
    model: ModelConfig = field(default_factory=lambda: ModelConfig(width=8, item_dim=64))
    optim: OptimConfig = field(default_factory=OptimConfig)

    def __post_init__(self) -> None:
        """Replace None by what the variant has; raises ``UserError`` for a negative seed."""
        super().__post_init__()
        self.optim = self.optim.resolved(self.model.variant)
        if self.seed < 0:
            raise UserError(f"seed: {self.seed}; 0 or more was expected")
