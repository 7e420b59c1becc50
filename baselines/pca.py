"""PCA reconstruction: the projection on the principal components of the training pixels."""

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from baselines.reconstruction import Reconstruction
from mnad.data.source import Source
from mnad.model.network import Network, Output

COMPONENTS = 32
MAX_IMAGES = 10_000  # what the decomposition sees; a random choice of a larger training set


class Linear(Network):
    """x -> mean + components^T components (x - mean).

    Args:
        mean: D, flattened image.
        components: R x D, orthonormal rows.
    """

    def __init__(self, mean: Tensor, components: Tensor) -> None:
        super().__init__()
        self.mean = nn.Parameter(mean, requires_grad=False)
        self.components = nn.Parameter(components, requires_grad=False)

    def forward(self, x: Tensor) -> Output:
        """B x 3 x H x W -> its projection."""
        centred = x.flatten(1) - self.mean
        rebuilt = self.mean + centred @ self.components.T @ self.components
        return Output(rebuilt.view_as(x), x.new_zeros(()), ())


class PCAReconstruction(Reconstruction):
    """scikit-learn's PCA with at most ``COMPONENTS`` components."""

    def build(self, normal: Source, validation: Source) -> Network:
        """Fit the components to the pixels of the normal images."""
        rng = np.random.default_rng(self.seed)
        chosen = np.sort(rng.permutation(len(normal))[:MAX_IMAGES])
        pixels = normal.inputs(chosen)[0].flatten(1).numpy()
        rank = min(COMPONENTS, *pixels.shape)
        pca = PCA(rank, svd_solver="randomized" if rank < min(pixels.shape) else "full", random_state=self.seed)
        pca.fit(pixels)
        mean, components = (torch.from_numpy(np.ascontiguousarray(v)).float() for v in (pca.mean_, pca.components_))
        return Linear(mean, components)
