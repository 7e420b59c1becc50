"""Training images seen through the detector's first step (:mod:`mnad.model.correction`)."""

import numpy as np
import torch
from torch import Tensor

from mnad.data.source import Source, batches
from mnad.model.correction import Correction


def fit_correction(correction: Correction | None, source: Source) -> None:
    """Take the reference of ``correction`` from the training images; nothing where there is no correction."""
    if correction is not None:
        correction.fit(target for _, target in batches(source, 256, name="white balance"))


class Corrected:
    """A source of photographs seen through a correction; what training reads. Each is measured once."""

    def __init__(self, source: Source, correction: Correction) -> None:
        self.source, self.correction = source, correction
        self.gains = torch.full((len(source), 3), torch.nan, device=correction.reference.device)

    def __len__(self) -> int:
        return len(self.source)

    @torch.no_grad()
    def inputs(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Model input and target, the same B x 3 x H x W float32."""
        _, target = self.source.inputs(indices)
        target = target.to(self.gains.device)
        gains = self.gains[indices]
        if gains.isnan().any():
            gains = self.gains[indices] = self.correction.gains(target)
        target = self.correction(target, gains)
        return target, target


def corrected(source: Source, correction: Correction | None) -> Source:
    """``source`` seen through ``correction``; itself where there is none."""
    return source if correction is None else Corrected(source, correction)
