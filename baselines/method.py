"""The one interface of every detector in the comparison. A new method is one file and one line of the registry.

``fit`` sees normal images only; the threshold is chosen for every method by the same rule, from validation normals
and known anomalies, and the test set is judged by the comparison.
"""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
from torch import Tensor

from mnad.config import DetectorConfig, OptimConfig
from mnad.data.changes import calibration_sets
from mnad.data.images import Images, split
from mnad.run import UserError
from mnad.scoring.threshold import Threshold, choose_thresholds


class Method(ABC):
    """A detector of anomalies that learns from normal images.

    Args:
        config: model, image size and scores.
        optim: the training loop, for methods that have one.
        seed: of everything the method draws.
        folder: an existing folder for logs and states of the training.

    Attributes:
        primary: name of the score that :meth:`score` returns.
        thresholds: of every score, after :meth:`calibrate`.
        digest: of the file, for a detector that was trained elsewhere.
    """

    primary: str = "distance"
    digest: str | None = None

    def __init__(self, config: DetectorConfig, optim: OptimConfig, seed: int, folder: Path) -> None:
        self.config, self.optim, self.seed, self.folder = config, optim, seed, folder
        self.thresholds: dict[str, Threshold] = {}

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

    def score_all(self, images: Images, name: str = "images", counts: Tensor | None = None) -> dict[str, np.ndarray]:
        """Every score of the method by name, N float64 each; one unless a method offers more."""
        return {self.primary: self.score(images)}

    def calibrate(
        self, validation: Images, known: Images | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Choose the thresholds; returns the scores of the validation normals and of the known anomalies by name.

        Raises:
            UserError: scores that are not finite.
        """
        sets = calibration_sets(validation, known, self.config.calibration)
        normal, anomalous = (self._joined(parts) for parts in sets)
        for role, found in (("validation", normal), ("known", anomalous)):
            for name, values in found.items():
                if not np.isfinite(values).all():
                    raise UserError(f"score {name!r}: not finite for {(~np.isfinite(values)).sum()} {role} images")
        self.thresholds = choose_thresholds(self.config, normal, anomalous)
        return normal, anomalous

    def _joined(self, parts: list[Images]) -> dict[str, np.ndarray]:
        """Every score of one source after the other; empty without any."""
        found = [self.score_all(part, part.name) for part in parts]
        return {key: np.concatenate([of[key] for of in found]) for key in found[0]} if found else {}

    def anomaly_map(self, images: np.ndarray) -> np.ndarray | None:
        """N x H x W x 3 uint8 -> N x H x W float32, higher is more anomalous; None where a method has no map."""
        return None

    @property
    def parameters(self) -> int:
        """How many numbers the fitted method keeps (weights, statistics, stored examples); 0 if not counted."""
        return 0

    def with_validation(self, normal: Images, validation: Images | None) -> tuple[Images, Images]:
        """``normal`` and ``validation``, the latter split off ``normal`` when there is none."""
        if validation is not None:
            return normal, validation
        train, held = split(len(normal), self.config.images.validation_fraction, self.seed)
        return normal.subset(train), normal.subset(held)
