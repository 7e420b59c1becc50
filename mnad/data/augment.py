"""Augmentation of training batches; the official code has none."""

import numpy as np
import torch
from torch import Tensor


def mirror(x: Tensor, target: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mirror each input together with its target left to right, with probability 1/2.

    Args:
        x: B x C x H x W; all frames of a clip turn together.
        target: B x 3 x H x W.

    Returns:
        new tensors of the same shapes and memory formats.
    """
    chosen = torch.from_numpy(rng.random(len(x)) < 0.5)
    x, target = x.clone(), target.clone()
    x[chosen], target[chosen] = x[chosen].flip(-1), target[chosen].flip(-1)
    return x, target
