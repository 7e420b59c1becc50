"""Models by name. Baselines are named, not imported, until one is asked for: ``mnad`` does not depend on them."""

import importlib
import inspect
from dataclasses import asdict

from torch import nn

from mnad.config import ModelConfig
from mnad.errors import UserError

MODELS = {
    "mnad": "mnad.model:MNAD",
    "conv_ae": "baselines.conv_ae:ConvAE",
    "vae": "baselines.vae:VAE",
    "memae": "baselines.memae:MemAE",
}


def build_model(config: ModelConfig) -> nn.Module:
    """The model that ``config`` describes, with freshly drawn weights (seed torch first).

    Raises:
        UserError: unknown name, a size below 1, or a variant that the model does not have.
    """
    if config.name not in MODELS:
        raise UserError(f"model.name: {config.name!r}; one of {', '.join(MODELS)} was expected")
    for key in ("width", "items", "item_dim", "memae_items"):
        if getattr(config, key) < 1:
            raise UserError(f"model.{key}: {getattr(config, key)}; at least 1 was expected")
    if config.temperature <= 0:
        raise UserError(f"model.temperature: {config.temperature}; a number above 0 was expected")
    module, name = MODELS[config.name].split(":")
    model_class = getattr(importlib.import_module(module), name)
    known = inspect.signature(model_class).parameters
    if config.variant != "recon" and "variant" not in known:
        raise UserError(f"model.variant: {config.variant!r} with model.name {config.name!r}; 'recon' was expected")
    return model_class(**{key: value for key, value in asdict(config).items() if key in known})
