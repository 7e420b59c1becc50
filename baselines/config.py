"""Configurations of training and comparison with the options of the baselines."""

from dataclasses import dataclass, field
from pathlib import Path

from mnad.config import DataConfig, DetectorConfig, FeatureConfig, ModelConfig, OptimConfig, TrainConfig
from mnad.run import UserError


@dataclass
class MemAEConfig(ModelConfig):
    """MNAD's network and what only MemAE has.

    Args:
        memae_items: items of MemAE, a baseline; its paper has 100 (digits) to 2000 (video).
    """

    memae_items: int = 500

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a number out of range."""
        super().__post_init__()
        if self.memae_items < 1:
            raise UserError(f"model.memae_items: expected at least 1, got {self.memae_items}")


@dataclass
class AnyModelConfig(MemAEConfig, FeatureConfig):
    """The network, with the options of every model; each ignores those that it does not have."""


def small_model() -> AnyModelConfig:
    """The network of the wells."""
    return AnyModelConfig(width=8, item_dim=64)


@dataclass(kw_only=True)
class TrainWithBaselines(TrainConfig):
    """Train, choose the threshold, judge on the test folder."""

    model: AnyModelConfig = field(default_factory=small_model)
    compare: list[str] | None = None


@dataclass
class PretrainedConfig:
    """What PaDiM and PatchCore take from the frozen network; the defaults are their papers' for a small network.

    Args:
        padim_strides: pixels per position of the feature maps, of 4, 8, 16 and 32, finest first.
        padim_channels: random choice of channels.
        patchcore_strides: as those of PaDiM; ``patchcore_coarse`` has 16 and 32.
        patchcore_candidates: patches drawn from the training images before the thinning; bounds memory and time.
        patchcore_bank: patches kept; 10 % of the candidates is one of the paper's settings.
    """

    padim_strides: list[int] = field(default_factory=lambda: [4, 8, 16])
    padim_channels: int = 100
    patchcore_strides: list[int] = field(default_factory=lambda: [8, 16])
    patchcore_candidates: int = 30_000
    patchcore_bank: int = 3_000

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a number out of range."""
        for key in ("padim_channels", "patchcore_candidates", "patchcore_bank"):
            if getattr(self, key) < 1:
                raise UserError(f"pretrained.{key}: expected at least 1, got {getattr(self, key)}")
        for key in ("padim_strides", "patchcore_strides"):
            if not getattr(self, key) or not set(getattr(self, key)) <= {4, 8, 16, 32}:
                raise UserError(f"pretrained.{key}: expected some of 4, 8, 16 and 32, got {getattr(self, key)}")


@dataclass(kw_only=True)
class CompareConfig(DetectorConfig, DataConfig):
    """What to compare, on which images. An interrupted run resumes where it stopped.

    Args:
        out: folder of the comparison.
        overwrite: empty an existing comparison first.
        seeds: how often each method is trained, with seeds 0, 1, ...
        methods: names, in the order of the table; none is all that learn pixels, or of the model ``mnad_features``
            that one and those on the same frozen network.
        checkpoints: finished detectors that are judged beside the methods, by the name of a shipped one, run folder or
            file; an ensemble has a second row, its members alone.
        resamples: of the bootstrap over test images.
        robustness: judge each method under every change of ``scripts/robustness.py`` as well, which takes as long as
            sixty tests.
        pretrained: settings of ``padim`` and ``patchcore``.
        optim: the training loop.
    """

    out: Path = Path("runs/compare")
    overwrite: bool = False
    seeds: int = 3
    methods: list[str] | None = None
    checkpoints: list[str] = field(default_factory=list)
    resamples: int = 2000
    robustness: bool = False
    pretrained: PretrainedConfig = field(default_factory=PretrainedConfig)
    model: AnyModelConfig = field(default_factory=small_model)
    optim: OptimConfig = field(default_factory=OptimConfig)

    def __post_init__(self) -> None:
        """Replace None by what the variant has; raises ``UserError`` for a number out of range."""
        super().__post_init__()
        self.optim = self.optim.resolved(self.model.variant)
        for key in ("seeds", "resamples"):
            if getattr(self, key) < 1:
                raise UserError(f"{key}: expected at least 1, got {getattr(self, key)}")
