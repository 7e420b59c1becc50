"""The one interface of every detector in the comparison. A new method is one file and one line of the registry.

``fit`` sees normal images only. What a method does with known anomalies and with the test set is nothing: the
comparison chooses the threshold by the same rule for all (:func:`mnad.threshold.choose_threshold`) and judges.
"""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from mnad.config import DetectorConfig, OptimConfig
from mnad.data.images import Images, split


class Method(ABC):
    """A detector of anomalies that learns from normal images.

    Args:
        config: model, image size and scores.
        optim: the training loop, for methods that have one.
        seed: of everything the method draws.
        folder: an existing folder for logs and states of the training.
    """

    primary: str = "distance"  # name of the score that `score` returns

    def __init__(self, config: DetectorConfig, optim: OptimConfig, seed: int, folder: Path) -> None:
        self.config, self.optim, self.seed, self.folder = config, optim, seed, folder

    @abstractmethod
    def fit(self, normal: Images, validation: Images | None = None) -> None:
        """Learn from normal images.

        Args:
            normal: to train on.
            validation: further normals, for statistics of scores and the validation loss; without them a
                method that needs some keeps back a share of ``normal``.
        """

    @abstractmethod
    def score(self, images: Images) -> np.ndarray:
        """N images -> N float64, higher is more anomalous."""

    def scores(self, images: Images) -> dict[str, np.ndarray]:
        """Every score of the method by name, N float64 each; one unless a method offers more."""
        return {self.primary: self.score(images)}

    def anomaly_map(self, images: np.ndarray) -> np.ndarray | None:
        """N x H x W x 3 uint8 -> N x H x W float32, higher is more anomalous; None where a method has no map."""
        return None

    @property
    def parameters(self) -> int:
        """How many numbers the fitted method keeps: weights, statistics, stored examples."""
        return 0

    def with_validation(self, normal: Images, validation: Images | None) -> tuple[Images, Images]:
        """``normal`` and ``validation``, the latter split off ``normal`` when there is none."""
        if validation is not None:
            return normal, validation
        train, held = split(len(normal), self.config.images.validation_fraction, self.seed)
        return normal.subset(train), normal.subset(held)
