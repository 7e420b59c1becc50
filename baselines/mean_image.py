"""No model at all: the "reconstruction" of every image is the mean of the training images.

The honest control of the table: what a learnt reconstruction adds is its distance from this row.
"""

import torch
from torch import Tensor, nn

from baselines.reconstruction import Reconstruction
from mnad.data.source import Source, batches
from mnad.model.network import Network, Output


class Constant(Network):
    """Answers every input with ``image`` (3 x H x W in [-1, 1])."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.image = nn.Parameter(image, requires_grad=False)

    def forward(self, x: Tensor) -> Output:
        """B x 3 x H x W -> the image, B times."""
        return Output(self.image.expand_as(x), x.new_zeros(()), ())


class MeanImage(Reconstruction):
    """Mean training image as the reconstruction of everything."""

    def build(self, normal: Source, validation: Source) -> Network:
        """Average the normal images."""
        total = torch.zeros(3, *self.config.images.size, dtype=torch.float64)
        for x, _ in batches(normal, 256, name="mean image"):
            total += x.double().sum(dim=0)
        return Constant((total / len(normal)).float())
