"""Live curves of a training in TensorBoard; nothing of the training depends on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mnad.data.source import Source
from mnad.model.network import Network
from mnad.run import not_installed

SAMPLES = 8  # validation images whose reconstructions are logged
MEMORY = ("usage_entropy", "perplexity", "dead_items", "item_similarity_mean", "item_similarity_max")
SPEED = ("learning_rate", "seconds", "images_per_second")


def check_tensorboard() -> None:
    """Raises ``NotInstalled`` where TensorBoard is missing; before anything is read or written."""
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise not_installed("log", "tensorboard", "tensorboard") from error


def tag(name: str) -> str:
    """Where in TensorBoard a value of the log stands: ``loss/pixel``, ``validation/pixel``, ``memory/perplexity``."""
    if name in MEMORY:
        return f"memory/{name}"
    if name in SPEED:
        return f"speed/{name}"
    group, _, rest = name.partition("_")
    return f"validation/{rest}" if group == "validation" else f"loss/{name}"


class TensorBoard:
    """Writes each epoch's line of the log as scalars, and what the model rebuilds as a picture.

    Args:
        folder: of the event files, made if need be.
        validation: images that are not trained on; the first ones are shown.
    """

    def __init__(self, folder: Path, validation: Source) -> None:
        self.folder = folder
        self.writer: Any = None
        self.samples = validation.inputs(np.arange(min(SAMPLES, len(validation))))

    def __call__(self, model: Network, record: Mapping[str, object]) -> None:
        """After an epoch: ``record`` is its line of the log, ``epoch`` among its values."""
        step = int(record["epoch"])  # type: ignore[call-overload]
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.folder), purge_step=step)  # of a resumed run: later steps are hidden
        for name, value in record.items():
            if name != "epoch" and isinstance(value, int | float):
                self.writer.add_scalar(tag(name), value, step)
        if "image" in model.gives:
            self.writer.add_image("validation/input_and_reconstruction", self.picture(model), step)
        self.writer.flush()

    @torch.inference_mode()
    def picture(self, model: Network) -> torch.Tensor:
        """Inputs above what the model rebuilds, 3 x H x W in [0, 1]."""
        from torchvision.utils import make_grid

        device = next(model.parameters()).device
        training = model.training
        x, target = self.samples
        output = model.eval()(x.to(device)).output.cpu()
        model.train(training)
        return make_grid(torch.cat([target, output]).add(1).div(2).clamp(0, 1), nrow=len(target))

    def close(self) -> None:
        """Write what is left."""
        if self.writer is not None:
            self.writer.close()
