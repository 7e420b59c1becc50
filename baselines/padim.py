"""PaDiM (Defard et al., ICPR 2020): a Gaussian of pretrained features at every position of the image."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.features import FeatureMethod, training_part
from mnad.data.images import Images
from mnad.model.feature_mnad import full_size

REGULARISER = 0.01  # added to the diagonal of every covariance, eq. 1


class PaDiM(FeatureMethod):
    """Mahalanobis distance at each position; the largest one is the score of the image."""

    primary = "mahalanobis"
    mean: Tensor  # P x D
    precision: Tensor  # P x D x D, inverse covariance
    channels: Tensor | None = None  # D of the features' channels, drawn in :meth:`fit`

    @property
    def strides(self) -> Sequence[int]:
        """Of the feature maps, finest first."""
        return self.pretrained.padim_strides

    def patches(self, images: Images, name: str) -> Iterator[Tensor]:
        """Batches P x N x D float64 of the chosen channels."""
        for batch in self.features.batches(images, name):
            if self.channels is None:
                order = np.random.default_rng(self.seed).permutation(batch.shape[1])[: self.pretrained.padim_channels]
                self.channels = torch.from_numpy(np.sort(order)).to(batch.device)
            yield batch[:, self.channels].flatten(2).permute(2, 0, 1).double()

    def fit(self, normal: Images, validation: Images | None = None) -> None:
        """Mean and regularised covariance of the features at each position (eq. 1)."""
        self.channels = None
        normal = training_part(normal, self.seed)
        shift: Any = 0.0
        total: Any = 0.0
        products: Any = 0.0
        for count, batch in enumerate(self.patches(normal, "PaDiM fit")):
            if count == 0:
                shift = batch.mean(dim=1, keepdim=True)  # sums about a point near the mean lose no digits
            batch = batch - shift
            total = total + batch.sum(dim=1)
            products = products + batch.transpose(1, 2) @ batch
        n = len(normal)
        offset = total / n  # P x D
        covariance = (products - n * offset[:, :, None] * offset[:, None, :]) / max(n - 1, 1)
        covariance += REGULARISER * torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
        self.mean = offset + shift[:, 0]
        self.precision = torch.linalg.inv(covariance)

    def distances(self, batch: Tensor) -> Tensor:
        """P x N x D -> N x P Mahalanobis distances (eq. 2)."""
        offset = batch - self.mean[:, None]
        return ((offset @ self.precision) * offset).sum(dim=2).clamp_min(0).sqrt().T

    def score(self, images: Images) -> np.ndarray:
        """Largest distance of each image, N float64."""
        parts = [self.distances(batch).amax(dim=1).cpu().numpy() for batch in self.patches(images, "PaDiM score")]
        return np.concatenate(parts)

    def anomaly_map(self, images: np.ndarray) -> np.ndarray:
        """Distances of the positions, enlarged to N x H x W float32."""
        batch = self.features(images)
        grid = batch.shape[2:]
        batch = batch[:, self.channels].flatten(2).permute(2, 0, 1).double()
        return full_size(self.distances(batch).view(len(images), *grid), images.shape[1:3]).cpu().numpy()

    @property
    def parameters(self) -> int:
        """The network's weights, and mean and precision matrix of each position."""
        return self.features.parameters + self.mean.numel() + self.precision.numel()
