"""White balance and exposure of each picture, estimated on its surroundings and undone (ours).

What lies around the product is the same plate in every picture, so its colour tells the light and the camera's setting.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mnad.config import CorrectionConfig
from mnad.model.ellipse import Ellipse
from mnad.model.order import median
from mnad.run import UserError

DARK = 0.02  # on [0, 2]: darker surroundings count as this bright


class Correction(nn.Module):
    """Multiplies each channel so that the median of the surroundings becomes that of the training images.

    ``gain = reference / median(x + 1 outside the ellipse)``, kept inside ``limits``; ``x -> (x + 1) gain - 1``, not
    clipped at 1. Plain tensor operations; the reference is a buffer and travels in the checkpoint.
    """

    reference: Tensor  # 3, on [0, 2] where black is 0

    def __init__(self, config: CorrectionConfig) -> None:
        super().__init__()
        self.surroundings = Ellipse((config.centre[0], config.centre[1]), (config.radii[0], config.radii[1]))
        self.low, self.high = config.limits
        self.register_buffer("reference", torch.ones(3))

    def estimate(self, x: Tensor) -> Tensor:
        """B x 3 x H x W in [-1, 1] -> B x 3, the median of each channel around the product, on [0, 2].

        Raises:
            UserError: no pixel is outside the ellipse.
        """
        return median(self.surroundings.outside(x.contiguous())) + 1  # the same as the median of x + 1

    @torch.no_grad()
    def fit(self, parts: Iterable[Tensor]) -> "Correction":
        """Take the reference from the training images: the median of their estimates, channel by channel.

        Args:
            parts: of them, B x 3 x H x W in [-1, 1] each.

        Raises:
            UserError: there is none.
        """
        found = [self.estimate(part.to(self.reference.device)) for part in parts]
        if not found:
            raise UserError("correction: no training image; expected at least one")
        self.reference.copy_(torch.cat(found).median(dim=0).values)
        return self

    def gains(self, x: Tensor) -> Tensor:
        """B x 3 x H x W in [-1, 1] -> B x 3, what each channel is multiplied by."""
        return (self.reference / self.estimate(x).clamp_min(DARK)).clamp(self.low, self.high)

    def forward(self, x: Tensor, gains: Tensor | None = None) -> Tensor:
        """B x 3 x H x W in [-1, 1] -> the same shape, from -1 on; above 1 where a highlight was brightened.

        Args:
            gains: what :meth:`gains` gives, where it is known already.
        """
        gains = self.gains(x) if gains is None else gains
        return (x + 1) * gains[:, :, None, None] - 1


def build_correction(config: CorrectionConfig) -> Correction | None:
    """The correction that ``config`` describes, without its reference; None for ``none``."""
    return None if config.kind == "none" else Correction(config)
