"""From the files that the official code leaves (state dict, items) to a detector of this project."""

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mnad.config import DetectorConfig, ImageConfig, ModelConfig
from mnad.detector import Detector
from mnad.errors import UserError
from mnad.model import Variant
from mnad.official import load_official
from mnad.provenance import provenance
from mnad.scores import mnad_score


def read_tensors(path: Path) -> object:
    """What a torch file (tensors only) or a .safetensors file holds, on the CPU.

    Raises:
        UserError: missing, a pickle of other things than tensors, or no such file format.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing; a torch file or .safetensors was expected")
    try:
        return load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: holds more than tensors (a pickled module?); a state dict was expected") from error
    except (SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise UserError(f"{path}: cannot be read; a torch file or .safetensors was expected") from error


def read_items(path: Path) -> Tensor:
    """The one tensor of an items file.

    Raises:
        UserError: it holds something else, or see :func:`read_tensors`.
    """
    content = read_tensors(path)
    tensors = list(content.values()) if isinstance(content, dict) else [content]
    if len(tensors) != 1 or not isinstance(tensors[0], Tensor):
        raise UserError(f"{path}: holds {len(tensors)} entries; one tensor of items, M x C, was expected")
    return tensors[0].detach()


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict of a weights file.

    Raises:
        UserError: it holds something else, or see :func:`read_tensors`.
    """
    state = read_tensors(path)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: is no state dict; parameter names and tensors were expected")
    return state


def official_detector(weights: Path, items: Path, variant: Variant, images: ImageConfig) -> Detector:
    """A detector with the paper's score and without a threshold, since no validation set was seen.

    Raises:
        UserError: see :func:`read_state`, :func:`read_items` and :func:`mnad.official.load_official`.
    """
    model = load_official(read_state(weights), read_items(items), variant)
    count, dim = model.memory.items.shape
    width = model.encoder.stage1[0].out_channels
    detector = Detector(
        DetectorConfig(
            model=ModelConfig(variant=variant, width=width, items=count, item_dim=dim),
            images=images,
            scores={"mnad": mnad_score(variant)},
            primary="mnad",
        ),
        model,
    )
    detector.record = provenance() | {"imported": {"weights": weights.name, "items": items.name}}
    return detector
