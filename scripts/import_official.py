"""Turn an official checkpoint (state dict and items) into a checkpoint of this project.

The official code saves the whole module as a pickle, which runs code when it is read, so it is refused here. Save a
state dict in the official repository first:

    torch.save(torch.load("model.pth", weights_only=False).state_dict(), "state.pth")

The checkpoint has no threshold, since no validation set was seen: it scores videos (scripts/evaluate.py), where the
paper's score needs none.
"""

from dataclasses import dataclass
from pathlib import Path

from mnad.cli import run
from mnad.config import ImageConfig
from mnad.errors import UserError
from mnad.files import free
from mnad.model import Variant
from mnad.official_files import official_detector


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


def main(config: ImportConfig) -> None:
    """Read, map the names, write."""
    free(config.out, "another --out")
    if config.out.suffix != ".safetensors":
        raise UserError(f"{config.out}: ends in {config.out.suffix!r}; a file ending in .safetensors was expected")
    images = ImageConfig(height=config.height, width=config.width)
    detector = official_detector(config.weights, config.items, config.variant, images)
    detector.save(config.out)
    count, items = sum(p.numel() for p in detector.model.parameters()), len(detector.model.memory.items)
    print(f"{config.out}: {config.variant}, {count} parameters, {items} items, no threshold")


if __name__ == "__main__":
    run(main, ImportConfig, __doc__)
