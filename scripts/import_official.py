"""Turn an official checkpoint (state dict and items) into a checkpoint of this project.

The official code saves the whole module as a pickle, which runs code when it is read, so it is refused here. Save a
state dict in the official repository first:

    torch.save(torch.load("model.pth", weights_only=False).state_dict(), "state.pth")

The checkpoint has no threshold, since no validation set was seen: it scores videos (scripts/evaluate.py), where the
paper's score needs none.
"""

import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mnad.cli import run
from mnad.config import DetectorConfig, ImageConfig, ModelConfig
from mnad.detector import Detector
from mnad.errors import UserError
from mnad.files import free
from mnad.model import Variant
from mnad.official import load_official
from mnad.provenance import provenance
from mnad.scores import mnad_score

PAPER_WEIGHT = {"recon": 0.7, "pred": 0.6}  # lambda of the score


@dataclass
class ImportConfig:
    """What to import.

    Args:
        weights: official state dict, a torch file or .safetensors.
        items: official memory items (keys.pt), M x C, a torch file or .safetensors with one tensor.
        out: checkpoint to write (.safetensors); must not exist.
        variant: recon or pred.
        height: pixels the frames are resized to; official 256.
        width: pixels the frames are resized to; official 256.
    """

    weights: Path
    items: Path
    out: Path
    variant: Variant = "pred"
    height: int = 256
    width: int = 256


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
        raise UserError(
            f"{path}: holds more than tensors (a pickled module?); a state dict was expected, see --help"
        ) from error
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


def main(config: ImportConfig) -> None:
    """Read, map the names, write."""
    free(config.out, "another --out")
    if config.out.suffix != ".safetensors":
        raise UserError(f"{config.out}: ends in {config.out.suffix!r}; a file ending in .safetensors was expected")
    state = read_tensors(config.weights)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{config.weights}: is no state dict; parameter names and tensors were expected")
    model = load_official(state, read_items(config.items), config.variant)
    detector = Detector(
        DetectorConfig(
            model=ModelConfig(
                variant=config.variant,
                width=model.encoder.stage1[0].out_channels,
                items=len(model.memory.items),
                item_dim=model.memory.items.shape[1],
            ),
            images=ImageConfig(height=config.height, width=config.width),
            scores={"mnad": mnad_score(PAPER_WEIGHT[config.variant])},
            primary="mnad",
        ),
        model,
    )
    detector.record = provenance() | {"imported": {"weights": config.weights.name, "items": config.items.name}}
    detector.save(config.out)
    count = sum(p.numel() for p in model.parameters())
    print(f"{config.out}: {config.variant}, {count} parameters, {len(model.memory.items)} items, no threshold")


if __name__ == "__main__":
    run(main, ImportConfig, __doc__)
