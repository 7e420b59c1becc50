"""Configurations: documented dataclasses; YAML files in ``configs/`` are differences from these.

Nothing here imports torch, so that a command line answers at once.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from mnad.config.data import DataConfig, Fit, ImageConfig, LayoutOptions
from mnad.config.network import (
    PAST_FRAMES,
    PUBLISHED,
    STRIDE,
    Addressing,
    EncoderKind,
    FeatureConfig,
    ModelConfig,
    Published,
    Query,
    Reduction,
    Scope,
    ScorePrecision,
    Sees,
    UpdateNormaliser,
    UpdateRule,
    Variant,
    past_frames,
)
from mnad.config.ranges import check_range, check_seed
from mnad.config.robust import FAMILIES, AugmentationConfig, CalibrationConfig, CorrectionConfig
from mnad.config.scoring import (
    CausalConfig,
    Combine,
    Normalise,
    Rule,
    ScoreConfig,
    TermConfig,
    ThresholdConfig,
    mnad_score,
    surface_score,
    wells_score,
)
from mnad.config.training import MEMORY_LOSSES, OptimConfig
from mnad.run import UserError

MOST_MEMBERS = 100  # of an ensemble

__all__ = [
    "FAMILIES",
    "MEMORY_LOSSES",
    "PAST_FRAMES",
    "PUBLISHED",
    "STRIDE",
    "Addressing",
    "AugmentationConfig",
    "CalibrationConfig",
    "CausalConfig",
    "Combine",
    "CorrectionConfig",
    "DataConfig",
    "DetectorConfig",
    "EncoderKind",
    "FeatureConfig",
    "Fit",
    "ImageConfig",
    "LayoutOptions",
    "ModelConfig",
    "Normalise",
    "OptimConfig",
    "Published",
    "Query",
    "Reduction",
    "Rule",
    "Scope",
    "ScoreConfig",
    "ScorePrecision",
    "Sees",
    "TermConfig",
    "ThresholdConfig",
    "TrainConfig",
    "UpdateNormaliser",
    "UpdateRule",
    "Variant",
    "mnad_score",
    "past_frames",
    "surface_score",
    "wells_score",
]


@dataclass(kw_only=True)
class DetectorConfig:
    """Everything that a checkpoint needs to say about itself.

    Args:
        model: the network.
        images: how images are read.
        scores: scores by name; none is ``wells`` and the paper's ``mnad`` for reconstruction, ``mnad`` for prediction,
            ``surface`` and ``mnad`` for ``mnad_features``.
        primary: the score that gives the verdict; the others are reported beside it; none is ``wells`` for
            reconstruction, ``mnad`` for prediction, ``surface`` for ``mnad_features``.
        threshold: how each score's threshold is chosen.
        correction: white balance and exposure, undone before the network sees an image; photographs only.
        calibration: changed copies of the images that statistics and threshold are taken from; photographs only.
        members: models of an ensemble, trained with the seeds ``seed``, ``seed + 1`` and so on. The score is the mean
            of the members' scores, each on the scale of its own validation normals, with one threshold for the mean.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    images: ImageConfig = field(default_factory=ImageConfig)
    scores: dict[str, ScoreConfig] | None = None
    primary: str | None = None
    threshold: ThresholdConfig = field(default_factory=ThresholdConfig)
    correction: CorrectionConfig = field(default_factory=CorrectionConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    members: int = 1

    def __post_init__(self) -> None:
        """Replace None by what the variant has; raises ``UserError`` for a primary score that is not there, for
        members that cannot be, or for a correction of frames that are predicted."""
        if self.members > 1 and self.model.variant == "pred":
            raise UserError(f"members: expected 1 for variant pred, got {self.members}")
        check_range("members", self.members, 1, MOST_MEMBERS)
        if self.model.variant == "pred" and self.correction.kind != "none":
            raise UserError(f"correction.kind: {self.correction.kind!r} with model.variant pred; expected 'none'")
        own = {"wells": wells_score()} if self.model.variant == "recon" else {}
        if self.model.name == "mnad_features":
            own = {"surface": surface_score()}
        if self.scores is None:
            self.scores = own | {"mnad": mnad_score(self.model.variant)}
        if self.primary is None:
            self.primary = next(iter(own), "mnad")
        if self.primary not in self.scores:
            raise UserError(f"primary: expected one of {', '.join(self.scores)}, got {self.primary!r}")
        if any(self.rule(score).rule == "recent" for score in self.scores):
            raise UserError("threshold.rule: recent only moves an existing one (calibrate.py); expected another")

    def rule(self, score: str) -> ThresholdConfig:
        """How the threshold of ``score`` is chosen: by its own rule, else by the detector's."""
        config = self.scores.get(score) if self.scores else None
        return (config.threshold if config else None) or self.threshold

    def detector(self, **changes: object) -> "DetectorConfig":
        """The part of a longer configuration that a checkpoint keeps, with ``changes``."""
        return DetectorConfig(**{f.name: getattr(self, f.name) for f in fields(DetectorConfig)} | changes)


@dataclass(kw_only=True)
class TrainConfig(DetectorConfig, DataConfig):
    """Train, choose the threshold, judge on the test folder.

    Args:
        out: run folder; none makes ``runs/wells-<date>-<time>``.
        overwrite: empty an existing run folder first.
        resume: continue the run of an existing folder.
        seed: of weights, order and validation split (the synthetic wells are always the same).
        compare: further models, trained and judged by the same loop and scores, for the table; none is ``conv_ae``
            beside a model that rebuilds images, nothing beside ``mnad_features``.
        augmentation: changed copies of the training images; photographs only.
        optim: the training loop.
        log: ``tensorboard`` also writes live curves and reconstructions to ``tensorboard/`` in the run folder (needs
            the extra ``tensorboard``; look with ``tensorboard --logdir runs``).
    """

    out: Path | None = None
    overwrite: bool = False
    resume: bool = False
    seed: int = 0
    compare: list[str] | None = None
    model: ModelConfig = field(default_factory=lambda: ModelConfig(width=8, item_dim=64))
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    log: Literal["none", "tensorboard"] = "none"

    def __post_init__(self) -> None:
        """Replace None by what the variant has; raises ``UserError`` for a seed out of range."""
        super().__post_init__()
        self.optim = self.optim.resolved(self.model.variant)
        if self.compare is None:
            self.compare = [] if self.model.name == "mnad_features" else ["conv_ae"]
        check_seed("seed", self.seed)
