"""Methods that rebuild an image and score the difference: every trained model, PCA and the mean image.

All of them share the scores of :mod:`mnad.scoring`, so the table separates what the model contributes from what
the score contributes: ``psnr`` is the plain one, the others are those of the configuration.
"""

from abc import abstractmethod
from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor

from baselines.method import Method
from mnad.config import ScoreConfig, TermConfig, surface_score
from mnad.data.images import Images
from mnad.data.source import Source
from mnad.detector import Detector
from mnad.model.build import build_model
from mnad.model.correction import build_correction
from mnad.model.network import Network
from mnad.scoring.scores import build_term
from mnad.training.corrected import corrected, fit_correction
from mnad.training.loop import train

PLAIN = "psnr"  # the plain score: minus PSNR, the logarithm of the mean squared error
SURFACE = "surface"  # that of a model that rebuilds features


def offered_scores(scores: dict[str, ScoreConfig], gives: Collection[str]) -> dict[str, ScoreConfig]:
    """The plain score and those of ``scores`` all of whose terms a model that ``gives`` this has.

    Raises:
        UserError: see :func:`mnad.scoring.scores.build_term`.
    """
    plain = {PLAIN: ScoreConfig([TermConfig(PLAIN)])} if "image" in gives else {SURFACE: surface_score()}
    offered = plain | scores
    return {
        name: score for name, score in offered.items() if all(build_term(term).needs in gives for term in score.terms)
    }


def numbers_kept(model: Network) -> int:
    """Weights, buffers and memory items of a network, frozen weights too."""
    kept = sum(value.numel() for value in model.state_dict().values() if value.is_floating_point())
    return kept + sum(p.numel() for p in model.frozen_parameters())


class Detecting(Method):
    """A method that judges by a detector."""

    detector: Detector

    def score_all(self, images: Images, name: str = "images", counts: Tensor | None = None) -> dict[str, np.ndarray]:
        """Every score of the detector, N float64 each."""
        return self.detector.score_all(images, name, counts)

    def score(self, images: Images) -> np.ndarray:
        """The primary score, N float64."""
        return self.detector.score(images)

    def anomaly_map(self, images: np.ndarray) -> np.ndarray:
        """See :meth:`mnad.detector.Detector.anomaly_map`; N x H x W float32."""
        return self.detector.anomaly_map(images)

    @property
    def parameters(self) -> int:
        """Weights, buffers and memory items of all members, frozen weights too."""
        return sum(numbers_kept(model) for model in self.detector.models)


class Reconstruction(Detecting):
    """A network that is trained or fitted, inside a detector with the plain score and those of the configuration whose
    terms it has."""

    @abstractmethod
    def build(self, normal: Source, validation: Source) -> Network:
        """The fitted network."""

    def fit(self, normal: Images, validation: Images | None = None) -> None:
        """Build the network; take the statistics of the scores from the validation normals."""
        normal, validation = self.with_validation(normal, validation)
        correction = build_correction(self.config.correction)
        fit_correction(correction, normal)
        model = self.build(corrected(normal, correction), corrected(validation, correction))
        scores = offered_scores(self.config.scores, model.gives)
        self.primary = self.config.primary if self.config.primary in scores else next(iter(scores))
        self.config = self.config.detector(scores=scores, primary=self.primary)
        self.detector = Detector(self.config, model)
        self.detector.correction = correction
        self.detector.to(self.optim.device)
        self.detector.fit(corrected(normal, correction))
        self.detector.calibrate(validation, None)

    @property
    def model(self) -> Network:
        """The fitted network."""
        return self.detector.model

    def calibrate(
        self, validation: Images, known: Images | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """See :class:`baselines.method.Method`; a network that has seen the validation images has others instead."""
        if self.model.held_out is None:
            return super().calibrate(validation, known)
        found = self.detector.calibrate(validation, known)
        self.thresholds = self.detector.thresholds
        return found


class Trained(Reconstruction):
    """A model of :data:`mnad.model.build.MODELS`, named by ``config.model.name``, in the one training loop."""

    def build(self, normal: Source, validation: Source) -> Network:
        """Train it; the run's state and log go to the folder of the method."""
        torch.manual_seed(self.seed)
        model = build_model(self.config.model, self.config.images.size)
        train(model, normal, validation, self.optim, self.seed, self.folder)
        return model
