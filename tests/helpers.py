"""What tests import by name: the root of the project, a tiny configuration, the options of a tiny model."""

from pathlib import Path

from mnad.config import ImageConfig, ModelConfig, OptimConfig, TrainConfig

ROOT = Path(__file__).resolve().parents[1]
TINY = ["--model.width=4", "--model.item_dim=16", "--optim.epochs=2", "--optim.threads=1"]


def tiny_config(**changes: object) -> TrainConfig:
    """A configuration that trains in about a second."""
    defaults = {
        "model": ModelConfig(width=4, item_dim=16),
        "images": ImageConfig(validation_fraction=0.25),
        "optim": OptimConfig(epochs=2, batch_size=8, threads=1),
        "compare": [],
    }
    return TrainConfig(**{**defaults, **changes})
