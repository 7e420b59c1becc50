"""Training data that holds anomalies, and how to leave the most suspicious images out."""

import numpy as np
import torch
from torch import Tensor

from mnad.data.images import Images
from mnad.data.source import Source
from mnad.model.ellipse import Ellipse

ROUNDS = 4  # of fitting the Gaussians and leaving images out
QUANTILE = 0.3  # over the positions inside the ellipse
RIDGE = 0.05  # added to the variances of standardised queries


def varied(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A copy of H x W x 3 uint8 that is no duplicate: mirrored or not, shifted by up to 2 pixels, up to 10 % brighter
    or darker."""
    if rng.random() < 0.5:
        image = image[:, ::-1]
    height, width = image.shape[:2]
    row, column = rng.integers(0, 5, 2)
    shifted = np.pad(image, ((2, 2), (2, 2), (0, 0)), "edge")[row : row + height, column : column + width]
    return np.clip(shifted * rng.uniform(0.9, 1.1), 0, 255).astype(np.uint8)


def dirtied(sources: dict[str, Source], share: float, seed: int) -> dict[str, Source]:
    """``sources`` with varied copies of half of the known anomalies in place of a ``share`` of the training and of the
    validation normals (their last ones); the other half stays ``known``, for the threshold."""
    known: Images = sources["known"]  # type: ignore[assignment]
    order = np.random.default_rng([seed, 7]).permutation(len(known))
    used, kept = order[: len(order) // 2], order[len(order) // 2 :]
    rng, found = np.random.default_rng([seed, 8]), {"known": known.subset(np.sort(kept))}
    for role in ("train", "validation"):
        clean: Images = sources[role]  # type: ignore[assignment]
        count = round(share * len(clean))
        copies = [varied(known[int(i)], rng) for i in np.resize(used, count)]
        pixels = [clean[i] for i in range(len(clean) - count)]
        found[role] = Images(pixels + copies, clean.size)
    return found  # type: ignore[return-value]


@torch.no_grad()
def cleanest(queries: Tensor, share: float) -> Tensor:
    """Indices of the images that stay when the ``share`` of the farthest is left out.

    One Gaussian for each position inside the wells' ellipse; an image's distance is the 0.3 quantile over them of the
    Mahalanobis distance. Fitted four times, each time to the images that the last fit kept.

    Args:
        queries: N x H' x W' x C of the training images.
    """
    inside = Ellipse().mask(*queries.shape[1:3]).flatten()
    grouped = queries.flatten(1, 2)[:, inside].transpose(0, 1)  # P x N x C
    kept = torch.arange(len(queries))
    for _ in range(ROUNDS):
        mean = grouped[:, kept].mean(dim=1, keepdim=True)
        residual = grouped[:, kept] - mean
        covariance = residual.transpose(1, 2) @ residual / len(kept) + RIDGE * torch.eye(queries.shape[3])
        factor = torch.linalg.cholesky(torch.linalg.inv(covariance))
        distance = ((grouped - mean) @ factor).square().mean(dim=2)  # P x N
        image = torch.quantile(distance, QUANTILE, dim=0)
        kept = torch.nonzero(image <= image.quantile(1 - share)).flatten()
    return kept
