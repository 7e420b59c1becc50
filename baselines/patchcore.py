"""PatchCore (Roth et al., CVPR 2022): distance of every patch to a thinned-out memory bank of normal patches."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from baselines.features import FeatureMethod, training_part
from mnad.data.images import Images
from mnad.model.feature_mnad import full_size

PROJECTION = 64  # dimensions of the random projection in which the thinning measures distances
NEIGHBOURS = 9  # b of eq. 7


def coreset(patches: Tensor, count: int, seed: int) -> Tensor:
    """Greedy k-centre selection (algorithm 1): indices of ``count`` rows of ``patches`` (N x D), each the one that
    is farthest from those before it."""
    rng = torch.Generator().manual_seed(seed)
    if patches.shape[1] > PROJECTION:
        projection = torch.randn(patches.shape[1], PROJECTION, generator=rng).to(patches)
        patches = patches @ projection / PROJECTION**0.5
    count = min(count, len(patches))
    chosen = torch.empty(count, dtype=torch.long)
    chosen[0] = torch.randint(len(patches), (1,), generator=rng)
    squares = patches.square().sum(dim=1)
    nearest = torch.full_like(squares, torch.inf)
    for i in tqdm(range(1, count), "PatchCore coreset", disable=count < 1000, leave=False):
        centre = patches[chosen[i - 1]]
        nearest = torch.minimum(nearest, squares - 2 * (patches @ centre) + centre @ centre)
        nearest[chosen[i - 1]] = -torch.inf  # never twice, whatever the rounding
        chosen[i] = nearest.argmax()
    return chosen


class PatchCore(FeatureMethod):
    """Largest distance of a patch to the bank, weighted by how crowded the bank is there (eq. 6 and 7)."""

    bank: Tensor  # K x D
    pool = True

    @property
    def strides(self) -> Sequence[int]:
        """Of the feature maps, finest first."""
        return self.pretrained.patchcore_strides

    def fit(self, normal: Images, validation: Images | None = None) -> None:
        """Keep a coreset of the patches of the normal images."""
        normal = training_part(normal, self.seed)
        rng = np.random.default_rng(self.seed)
        kept = []
        for batch in self.features.batches(normal, "PatchCore fit"):
            patches = batch.permute(0, 2, 3, 1).flatten(0, 2)  # N H' W' x D
            share = min(1.0, self.pretrained.patchcore_candidates / (len(normal) * len(patches) / len(batch)))
            order = rng.permutation(len(patches))[: max(1, round(share * len(patches)))]
            kept.append(patches[torch.from_numpy(order).to(patches.device)])
        patches = torch.cat(kept)
        self.bank = patches[coreset(patches, self.pretrained.patchcore_bank, self.seed).to(patches.device)]

    def distances(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Features N x D x H' x W' -> distances N x P to the nearest bank patch, and scores N (eq. 7)."""
        patches = batch.flatten(2).transpose(1, 2)  # N x P x D
        nearest, index = torch.cdist(patches.flatten(0, 1), self.bank).min(dim=1)
        nearest, index = nearest.view(patches.shape[:2]), index.view(patches.shape[:2])
        largest, worst = nearest.max(dim=1)  # N
        rows = torch.arange(len(batch), device=batch.device)
        patch, match = patches[rows, worst], self.bank[index[rows, worst]]  # N x D each
        count = min(NEIGHBOURS, len(self.bank))
        around = torch.cdist(match, self.bank).topk(count, largest=False).indices  # N x b, the match among them
        spread = torch.linalg.vector_norm(self.bank[around] - patch[:, None], dim=2)  # N x b
        weight = 1 - torch.exp(largest - torch.logsumexp(spread, dim=1)) if count > 1 else torch.ones_like(largest)
        return nearest, weight * largest

    @torch.inference_mode()
    def score(self, images: Images) -> np.ndarray:
        """Weighted distance of the most unusual patch of each image (eq. 7), N float64."""
        batches = self.features.batches(images, "PatchCore score")
        return np.concatenate([self.distances(batch)[1].double().cpu().numpy() for batch in batches])

    @torch.inference_mode()
    def anomaly_map(self, images: np.ndarray) -> np.ndarray:
        """Distances of the patches to the bank, enlarged to N x H x W float32."""
        batch = self.features(images)
        distances = self.distances(batch)[0].view(len(images), *batch.shape[2:])
        return full_size(distances, images.shape[1:3]).cpu().numpy()

    @property
    def parameters(self) -> int:
        """The network's weights and the numbers of the bank."""
        return self.features.parameters + self.bank.numel()


class CoarsePatchCore(PatchCore):
    """The same on the maps of the strides 16 and 32, each patch of which sees most of the image.

    Not the paper's setting (the second and third stage, strides 8 and 16) but the better one on magnetic tiles
    (``figures/surfaces/``).
    """

    strides = (16, 32)
