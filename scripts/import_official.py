"""Turn an official checkpoint (state dict and items) into a checkpoint of this project.

The official code saves the whole module as a pickle, which runs code when it is read, so it is refused here. Save a
state dict in the official repository first:

    torch.save(torch.load("model.pth", weights_only=False).state_dict(), "state.pth")

The checkpoint has no threshold, since no validation set was seen: it scores videos (scripts/evaluate.py), where the
paper's score needs none.
"""

from dataclasses import dataclass
from pathlib import Path

from mnad.config import DetectorConfig, ImageConfig, ModelConfig, Variant, mnad_score
from mnad.run import UserError
from mnad.run.cli import run


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
    from mnad.detector import Detector
    from mnad.model.official import load_official, read_items, read_state
    from mnad.run.files import free
    from mnad.run.provenance import provenance

    free(config.out, "another --out")
    if config.out.suffix != ".safetensors":
        raise UserError(f"{config.out}: ends in {config.out.suffix!r}; expected a file ending in .safetensors")
    images = ImageConfig(height=config.height, width=config.width)
    model = load_official(read_state(config.weights), read_items(config.items), config.variant)
    count, dim = model.memory.items.shape
    width = len(model.state_dict()["encoder.stage1.0.weight"])
    network = ModelConfig(variant=config.variant, width=width, items=count, item_dim=dim)
    scores = {"mnad": mnad_score(config.variant)}  # the paper's; no threshold, since no validation set was seen
    detector = Detector(DetectorConfig(model=network, images=images, scores=scores, primary="mnad"), model)
    detector.record = provenance() | {"imported": {"weights": config.weights.name, "items": config.items.name}}
    detector.save(config.out)
    print(f"{config.out}: {config.variant}, {detector.parameters} parameters, {count} items, no threshold")


if __name__ == "__main__":
    run(main, ImportConfig, __doc__)
