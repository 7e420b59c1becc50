"""What a checkpoint must hold: configuration, thresholds, record and tensors, each checked before it is believed."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from mnad.config import DetectorConfig
from mnad.model.build import build_model, config_class
from mnad.run.old_keys import modernise
from mnad.scoring.threshold import Threshold


def config_from_json(stored: dict) -> DetectorConfig:
    """The configuration of a checkpoint, checked like one from the command line.

    Raises:
        ValueError: keys or types that ``DetectorConfig`` does not have.
    """
    from mnad.run.cli import ArgumentError, ArgumentParser  # whose settings import no code that a text names

    stored = modernise(stored)
    model = config_class(stored["model"]["name"])
    if "memae_items" not in model.__dataclass_fields__:  # until 2026-11-25 it stood in every model
        stored["model"].pop("memae_items", None)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DetectorConfig, skip={"model"})
    parser.add_class_arguments(model, "model")
    try:
        parsed = parser.parse_object(stored)
    except ArgumentError as error:
        raise ValueError(str(error)) from error
    return DetectorConfig(**parser.instantiate(parsed).as_dict())


def thresholds_from_json(stored: Any, scores: Collection[str]) -> dict[str, Threshold]:
    """The threshold of every score, or none at all for a detector that was not calibrated.

    Raises:
        ValueError: other scores, or see :meth:`mnad.scoring.threshold.Threshold.from_json`.
    """
    if not isinstance(stored, dict) or (stored and set(stored) != set(scores)):
        found = list(stored) if isinstance(stored, dict) else stored
        raise ValueError(f"thresholds of {found!r}, expected of {list(scores)}")
    return {name: Threshold.from_json(modernise(stored[name])) for name in stored}


def record_from_json(stored: Any) -> dict[str, object]:
    """The provenance of the training.

    Raises:
        ValueError: no object, or a ``calibrated`` or ``resumed`` of another kind.
    """
    kinds = {"calibrated": dict, "resumed": list}
    if not isinstance(stored, dict) or any(not isinstance(stored.get(k, kind()), kind) for k, kind in kinds.items()):
        raise ValueError("record of another shape")
    return stored


def check_model(config: DetectorConfig, tensors: Mapping[str, Tensor]) -> None:
    """Compare what ``config`` describes with the tensors of the first model, before memory is taken for it.

    Raises:
        ValueError: a weight that is missing or has another shape.
    """
    with torch.device("meta"):
        model = build_model(config.model, config.images.size)
    held = model.state_dict().keys()  # a model may also name shapes of what it does not store
    for name, shape in ((name, shape) for name, shape in model.configured_shapes().items() if name in held):
        found = tensors.get(f"model.{name}")
        if found is None:
            raise ValueError(f"model.{name} is missing")
        if tuple(found.shape) != shape:
            raise ValueError(f"size mismatch for model.{name}: {tuple(found.shape)}, expected {shape}")


def load_part(module: torch.nn.Module, part: str, tensors: Mapping[str, Tensor]) -> None:
    """Give ``module`` the tensors whose names begin with ``part``.

    Raises:
        ValueError: a tensor of another type, which torch would convert unasked.
        RuntimeError: missing or surplus names, other shapes.
    """
    own = {name.removeprefix(part): value for name, value in tensors.items() if name.startswith(part)}
    for name, value in module.state_dict().items():
        if name in own and own[name].dtype != value.dtype:
            raise ValueError(f"{part}{name} is {own[name].dtype}, expected {value.dtype}")
    module.load_state_dict(own)
