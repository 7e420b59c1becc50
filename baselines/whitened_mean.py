"""No network at all: the mean image, and each pixel's difference from it in units of what is usual there.

The control that a learnt reconstruction has to beat: no encoder, no memory, no colour made for the product. The
residual against the mean training image is whitened by each pixel's 3 x 3 covariance (:mod:`mnad.scoring.whitening`)
and split by a Gaussian blur into slow and fine parts. The score is the larger of the two logarithmic errors, each on
the scale of the validation normals.
"""

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from baselines.method import Method
from mnad.config import DetectorConfig
from mnad.data.images import Images, to_input
from mnad.data.source import batches
from mnad.model.ellipse import Ellipse
from mnad.scoring.scores import build_term
from mnad.scoring.terms import TINY
from mnad.scoring.whitening import Whitening

SIGMA = 1.5  # pixels, of the blur; 13 x 13
SLOW, FINE = 0.5, 0.7  # quantiles of the errors over the pixels


def region(config: DetectorConfig) -> Ellipse | None:
    """Where to look: the ellipse of the configured primary score, None (everywhere) if it has none."""
    terms = [build_term(term) for term in config.scores[config.primary].terms]
    return next((term.ellipse for term in terms if hasattr(term, "ellipse")), None)


class WhitenedMean(Method):
    """Mean image, whitened residual, the larger of its slow and its fine error."""

    whitening: Whitening
    scale: tuple[Tensor, Tensor]  # median and 99 % quantile of both errors over the validation normals

    def fit(self, normal: Images, validation: Images | None = None) -> None:
        """Mean and covariance of every pixel; the scale of both errors from the validation normals."""
        normal, validation = self.with_validation(normal, validation)
        self.ellipse, self.whitening = region(self.config), Whitening(normal.size)
        for x, _ in batches(normal, 256, name="whitened mean"):
            self.whitening.add(x, torch.zeros_like(x))
        self.whitening.close()
        errors = self.errors(validation)
        self.scale = errors.quantile(0.5, dim=0), errors.quantile(0.99, dim=0)

    def errors(self, images: Images) -> Tensor:
        """Logarithms of the slow and of the fine error, N x 2 float64."""
        parts = []
        for x, _ in batches(images, 256, name="whitened mean"):
            whitened = self.whitening(x, torch.zeros_like(x))
            side = 2 * round(4 * SIGMA) + 1
            slow = gaussian_blur(whitened, [side, side], [SIGMA, SIGMA])
            both = ((slow, SLOW), (whitened - slow, FINE))
            parts.append(torch.stack([self.pooled(part, quantile) for part, quantile in both], dim=1).double())
        return torch.cat(parts)

    def pooled(self, part: Tensor, quantile: float) -> Tensor:
        """Logarithm of the quantile of the squared values, B x 3 x H x W -> B."""
        error = part.square().mean(dim=1)
        inside = error.flatten(1) if self.ellipse is None else self.ellipse.inside(error)
        return torch.log(inside.quantile(quantile, dim=1) + TINY)

    def score(self, images: Images) -> np.ndarray:
        """The larger of both errors, N float64."""
        low, high = self.scale
        return ((self.errors(images) - low) / (high - low)).amax(dim=1).numpy()

    def anomaly_map(self, images: np.ndarray) -> np.ndarray:
        """Whitened squared error of every pixel, mean over channels: N x H x W float32."""
        x = to_input(images)
        return self.whitening(x, torch.zeros_like(x)).square().mean(dim=1).numpy()

    @property
    def parameters(self) -> int:
        """Mean and whitening matrix of every pixel."""
        return sum(value.numel() for value in self.whitening.state_dict().values())
