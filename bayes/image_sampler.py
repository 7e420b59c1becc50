"""Drawing images, many at once or one at a time without end: what the generators of images share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from bayes.style_generator import RandomState
from bayes.validation import check_n, make_rng


class ImageSampler(ABC):
    """Mixin of estimators with a ``random_state`` that ``draw`` an image and tell its ``log_probability``."""

    random_state: RandomState

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """One image (H, W, C) uint8 drawn with ``rng``."""

    @abstractmethod
    def log_probability(self, images: np.ndarray) -> Any:
        """ln P of one image (H, W, C) as a float, or of n images (n, H, W, C) as an array (n,); uint8."""

    def sample(self, n: int = 1, random_state: RandomState = None) -> tuple[np.ndarray, np.ndarray]:
        """Draw ``n`` independent images.

        Args:
            n: number of images, at least 1.
            random_state: seed or Generator; None takes the estimator's own.

        Returns:
            Images (n, H, W, C) uint8 and their log probabilities (n,).

        Raises:
            UserError: ``n`` is no whole number of at least 1, or the seed is negative.
            NotFittedError: before ``fit``.
        """
        check_is_fitted(self)
        rng = make_rng(self.random_state if random_state is None else random_state)
        images = np.stack([self.draw(rng) for _ in range(check_n(n))])
        return images, self.log_probability(images)

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        """Endless (image, log probability); the first n are those of ``sample(n)`` with the same seed."""
        check_is_fitted(self)
        rng = make_rng(self.random_state)
        while True:
            image = self.draw(rng)
            yield image, self.log_probability(image)
