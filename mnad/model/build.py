"""Models by name, and the device that they run on. Baselines are added by ``baselines.register()``."""

import inspect
import os
from dataclasses import asdict
from typing import Any

import torch

from mnad.config import FeatureConfig, ModelConfig
from mnad.model.feature_mnad import FeatureMNAD
from mnad.model.mnad import MNAD
from mnad.model.network import Network
from mnad.run import UserError

MODELS: dict[str, type[Network]] = {"mnad": MNAD, "mnad_features": FeatureMNAD}
CONFIGS: dict[str, type[ModelConfig]] = {"mnad_features": FeatureConfig}  # of models with options of their own


def register(name: str, model: type[Network], config: type[ModelConfig] = ModelConfig) -> None:
    """Let configurations and checkpoints name ``model``; ``config`` has the options that are the model's own."""
    MODELS[name] = model
    CONFIGS[name] = config


def config_class(name: str) -> type[ModelConfig]:
    """The class of ``model`` in the configuration of a checkpoint of the model ``name``."""
    return CONFIGS.get(name, ModelConfig)


def loss_names() -> set[str]:
    """Terms that some model has besides the pixel error."""
    return {name for model in MODELS.values() for name in model.loss_weights}


def build_model(config: ModelConfig, size: tuple[int, int] | None = None) -> Network:
    """The model that ``config`` describes, with freshly drawn weights (seed torch first).

    Args:
        size: (height, width) of its images, for models whose positions have statistics or items of their own.

    Raises:
        UserError: unknown name, or a variant that the model does not have.
    """
    if config.name not in MODELS:
        raise UserError(f"model.name: expected one of {', '.join(MODELS)}, got {config.name!r}")
    model = MODELS[config.name]
    known = inspect.signature(model).parameters
    if config.variant != "recon" and "variant" not in known:
        raise UserError(f"model.variant: {config.variant!r} with model.name {config.name!r}; expected 'recon'")
    options = asdict(config) | {"size": size}
    options = {key: value for key, value in options.items() if key in known}
    check_memory(model, options)
    return model(**options)


def check_memory(model: type[Network], options: dict[str, Any]) -> None:
    """Raises ``UserError`` for a model that is larger than the memory of this machine, as far as that is known."""
    expected = "expected smaller width, items or item_dim"
    try:
        with torch.device("meta"):  # only shapes
            skeleton = model(**options)
    except (RuntimeError, TypeError) as error:
        if "overflow" in str(error).lower():
            raise UserError(f"model: takes more than can be counted; {expected}") from error
        return  # one that cannot be built without its memory
    size = sum(tensor.nbytes for tensor in (*skeleton.parameters(), *skeleton.buffers()))
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else size
    if size > room:
        raise UserError(f"model: takes {size / 1e9:,.0f} GB, and this machine has {room / 1e9:,.0f}; {expected}")


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one, else the CPU.

    Raises:
        UserError: a name torch does not know, or CUDA where there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"device: {name!r} is not available on this machine; expected auto, cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"device: expected auto, cpu or cuda, got {name!r}")
    return device
