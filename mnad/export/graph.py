"""A detector as one module: uint8 images of the configured size in; score, verdict, terms and map out."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from mnad.data.clips import clip_input
from mnad.data.images import normalised
from mnad.detector import Detector
from mnad.model.inference import fold_batch_norms
from mnad.scoring.scores import measure


class DetectorGraph(nn.Module):
    """Everything after resizing. The memory stays as it was trained: no update at test time.

    Args:
        detector: a calibrated one; it is not changed.

    Raises:
        UserError: the detector is not calibrated.
    """

    def __init__(self, detector: Detector) -> None:
        detector.check_calibrated()
        super().__init__()
        self.models = nn.ModuleList(fold_batch_norms(model).cpu() for model in detector.models)
        self.correction = None if detector.correction is None else copy.deepcopy(detector.correction).cpu()
        self.score = copy.deepcopy(detector.scores[detector.primary]).cpu()
        self.threshold = detector.thresholds[detector.primary].value
        self.past = detector.past
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What :data:`mnad.runtime.model.OUTPUTS` names: N float64, N bool, N x T float64 (raw terms), N x H x W
        float32 (squared error, mean over channels, on [0, 1] images).

        Args:
            images: N x H x W x 3 uint8; N x 5 x H x W x 3 for the prediction variant, whose last frame is judged.
        """
        clips = images if self.past else images[:, None]
        x, target = clip_input(normalised(clips.flatten(0, 1)).unflatten(0, clips.shape[:2]))
        if self.correction is not None:
            x = target = self.correction(target)
        models: Any = self.models
        _, found = measure(models, {"score": self.score}, x, target)
        raw = found["score"]
        score = self.score(raw)
        errors = [((model(x).output - target) / 2).square().mean(dim=1) for model in models]
        terms = raw.unflatten(1, (len(models), -1)).mean(dim=1)  # over the members
        return score, score >= self.threshold, terms, torch.stack(errors).mean(dim=0)
