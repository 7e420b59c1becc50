"""Models by name, and the device that they run on. Baselines are added by ``baselines.register()``."""

import inspect
import math
import os
from dataclasses import asdict
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from mnad.config import FeatureConfig, ModelConfig
from mnad.model.feature_mnad import FeatureMNAD
from mnad.model.mnad import MNAD
from mnad.model.network import Network
from mnad.run import UserError

MODELS: dict[str, type[Network]] = {"mnad": MNAD, "mnad_features": FeatureMNAD}
CONFIGS: dict[str, type[ModelConfig]] = {"mnad_features": FeatureConfig}  # of models with options of their own
FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn}  # what the large tensors are made with
SMALLER = "expected smaller width, items or item_dim"


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
        UserError: unknown name, a variant that the model does not have, or more weights than this machine has memory.
    """
    if config.name not in MODELS:
        raise UserError(f"model.name: expected one of {', '.join(MODELS)}, got {config.name!r}")
    model = MODELS[config.name]
    known = inspect.signature(model).parameters
    if config.variant != "recon" and "variant" not in known:
        raise UserError(f"model.variant: {config.variant!r} with model.name {config.name!r}; expected 'recon'")
    options = {key: value for key, value in (asdict(config) | {"size": size}).items() if key in known}
    try:
        with WithinMemory():
            return model(**options)
    except (RuntimeError, TypeError) as error:
        if "overflow" in str(error).lower():
            raise UserError(f"model: takes more than can be counted; {SMALLER}") from error
        raise


class WithinMemory(TorchFunctionMode):
    """In this block, tensors that together exceed the memory of this machine, as far as that is known, are refused
    before they are made."""

    def __init__(self) -> None:
        super().__init__()
        known = hasattr(os, "sysconf")
        self.room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if known else math.inf  # bytes
        self.taken = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in FACTORIES:
            shape_only = {key: value for key, value in kwargs.items() if key != "generator"} | {"device": "meta"}
            self.taken += func(*args, **shape_only).nbytes
            if self.taken > self.room:
                sizes = f"{self.taken / 1e9:,.0f} GB, and this machine has {self.room / 1e9:,.0f}"
                raise UserError(f"model: takes at least {sizes}; {SMALLER}")
        return func(*args, **kwargs)


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
