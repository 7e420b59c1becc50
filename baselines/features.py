"""What PaDiM and PatchCore share: patch features from one frozen network."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.config import PretrainedConfig
from baselines.method import Method
from mnad.config import DetectorConfig, OptimConfig
from mnad.data.images import Images, to_input
from mnad.data.source import index_batches
from mnad.model.build import choose_device
from mnad.model.efficientnet import load_pretrained
from mnad.model.feature_mnad import SHORT_SIDE

MAX_IMAGES = 3_000  # of the training set; a random choice of a larger one, since the network takes most of the time


class PatchFeatures:
    """Maps of several strides, resampled to the finest and joined over channels.

    Args:
        strides: of :data:`mnad.model.efficientnet.TAPS`, finest first.
        pool: average over 3 x 3 positions before joining (PatchCore's local neighbourhood).
        device: as in ``OptimConfig``.
    """

    def __init__(self, strides: Sequence[int], pool: bool, device: str = "cpu") -> None:
        self.network = load_pretrained().to(choose_device(device))
        self.strides, self.pool = strides, pool

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> Tensor:
        """N x H x W x 3 uint8 -> N x C x H' x W'."""
        device = next(self.network.parameters()).device
        x = to_input(images).to(device)
        factor = -(-SHORT_SIDE // min(x.shape[2:]))
        if factor > 1:
            x = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
        maps = self.network.features(x, self.strides)
        if self.pool:
            maps = [F.avg_pool2d(m, 3, stride=1, padding=1, count_include_pad=False) for m in maps]
        size = maps[0].shape[2:]
        return torch.cat([F.interpolate(m, size, mode="bilinear", align_corners=False) for m in maps], dim=1)

    def batches(self, images: Images, name: str, batch_size: int = 32) -> Iterator[Tensor]:
        """Features of all images, a batch at a time."""
        for indices in index_batches(len(images), batch_size, name):
            yield self(images.batch(indices))

    @property
    def parameters(self) -> int:
        """Weights of the whole network (what has to be shipped)."""
        return sum(p.numel() for p in self.network.parameters())


class FeatureMethod(Method):
    """A method that looks at patch features.

    Args:
        pretrained: its settings; None has the defaults.

    Attributes:
        pool: see :class:`PatchFeatures`.
    """

    pool: ClassVar[bool] = False

    def __init__(
        self,
        config: DetectorConfig,
        optim: OptimConfig,
        seed: int,
        folder: Path,
        pretrained: PretrainedConfig | None = None,
    ) -> None:
        super().__init__(config, optim, seed, folder)
        self.pretrained = pretrained or PretrainedConfig()
        self.features = PatchFeatures(self.strides, self.pool, optim.device)

    @property
    @abstractmethod
    def strides(self) -> Sequence[int]:
        """Of the feature maps, finest first."""


def training_part(normal: Images, seed: int) -> Images:
    """At most ``MAX_IMAGES`` of the training images."""
    if len(normal) <= MAX_IMAGES:
        return normal
    return normal.subset(np.sort(np.random.default_rng(seed).permutation(len(normal))[:MAX_IMAGES]))
