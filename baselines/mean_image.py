"""No model at all: the "reconstruction" of every image is the mean of the training images.

The honest control of the table: what a learnt reconstruction adds is its distance from this row.
"""

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from baselines.reconstruction import Reconstruction
from mnad.data.images import Images
from mnad.model import Output


class Constant(nn.Module):
    """Answers every input with ``image`` (3 x H x W in [-1, 1])."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.image = nn.Parameter(image, requires_grad=False)

    def forward(self, x: Tensor) -> Output:
        """B x 3 x H x W -> the image, B times."""
        return Output(self.image.expand_as(x), x.new_zeros(()), ())


class MeanImage(Reconstruction):
    """Mean training image as the reconstruction of everything."""

    def build(self, normal: Images, validation: Images) -> nn.Module:
        """Average the normal images."""
        total = torch.zeros(3, *normal.size, dtype=torch.float64)
        for start in tqdm(range(0, len(normal), 256), "mean image", leave=False):
            x, _ = normal.inputs(np.arange(start, min(start + 256, len(normal))))
            total += x.double().sum(dim=0)
        return Constant((total / len(normal)).float())
