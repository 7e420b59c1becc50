"""Nearest neighbour on raw pixels: the distance to the most similar training image."""

import cv2
import numpy as np
from sklearn.neighbors import NearestNeighbors

from baselines.method import Method
from mnad.data.images import Images
from mnad.data.reading import resize
from mnad.data.source import index_batches

MAX_SIDE = 48  # longer sides are shrunk, since the search is linear in the number of pixels
MAX_IMAGES = 20_000  # stored; a random choice of a larger training set
SMOOTHING = 0.7  # pixels; a neighbour that is shifted by one pixel remains one


class PixelNeighbours(Method):
    """Mean squared pixel difference (on [0, 1]) to the nearest training image, by scikit-learn's brute force."""

    index: NearestNeighbors

    def pixels(self, images: Images, indices: np.ndarray) -> np.ndarray:
        """Slightly smoothed images, flattened: N x D float32 in [0, 1]."""
        height, width = images.size
        shrink = min(1.0, MAX_SIDE / max(height, width))
        size = max(1, round(height * shrink)), max(1, round(width * shrink))
        small = [cv2.GaussianBlur(resize(image, size), (0, 0), SMOOTHING) for image in images.batch(indices)]
        return np.stack(small).reshape(len(small), -1).astype(np.float32) / 255

    def fit(self, normal: Images, validation: Images | None = None) -> None:
        """Store the normal images, a sample if there are too many."""
        chosen = np.random.default_rng(self.seed).permutation(len(normal))[:MAX_IMAGES]
        self.index = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(self.pixels(normal, np.sort(chosen)))

    def score(self, images: Images) -> np.ndarray:
        """Distance of each image to its neighbour, N float64."""
        parts = []
        for indices in index_batches(len(images), 256, "pixel neighbours"):
            pixels = self.pixels(images, indices)
            parts.append(self.index.kneighbors(pixels)[0][:, 0].astype(np.float64) ** 2 / pixels.shape[1])
        return np.concatenate(parts)

    @property
    def parameters(self) -> int:
        """Numbers of the stored images."""
        return int(self.index.n_samples_fit_ * self.index.n_features_in_)
