"""Where the product is in its crop: an ellipse, the pixels inside it and those of its surroundings."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mnad.model.order import quantile
from mnad.run import UserError


@dataclass(frozen=True)
class Ellipse:
    """Where the well is, in fractions of the height and the width. The crops are cut around the well's rim; the
    default keeps 0.8 of the rim's radii, so the rim, the plate and most of what enters from the sides stay outside.
    """

    centre: tuple[float, float] = (0.52, 0.50)  # y, x
    radii: tuple[float, float] = (0.336, 0.352)  # y, x

    def mask(self, height: int, width: int) -> np.ndarray:
        """H x W bool, True inside (pixel centres)."""
        y = ((np.arange(height, dtype=np.float32) + 0.5) / height - self.centre[0]) / self.radii[0]
        x = ((np.arange(width, dtype=np.float32) + 0.5) / width - self.centre[1]) / self.radii[1]
        return y[:, None] ** 2 + x[None, :] ** 2 < 1

    def inside(self, values: Tensor) -> Tensor:
        """... x H x W -> ... x P, the pixels inside.

        Raises:
            UserError: there is none.
        """
        return self._pixels(values, True)

    def outside(self, values: Tensor) -> Tensor:
        """... x H x W -> ... x P, the pixels that are not inside.

        Raises:
            UserError: there is none.
        """
        return self._pixels(values, False)

    def _pixels(self, values: Tensor, inside: bool) -> Tensor:
        height, width = values.shape[-2:]
        found = places(*self.centre, *self.radii, height, width, inside)
        if len(found) == 0:
            where, expected = "outside", "smaller radii"
            if inside:
                where, expected = "inside", "radii above 0 and a centre in [0, 1]"
            raise UserError(f"ellipse {self}: no pixel {where}; expected {expected}")
        return values.flatten(-2).index_select(-1, found.to(values.device))

    def quantile(self, values: Tensor, q: float) -> Tensor:
        """B x H x W -> B: the ``q`` quantile of the pixels inside. A nuisance that covers less than 1 - q (from
        above) or q (from below) of the well cannot move it far, which a mean does not offer."""
        return quantile(self.inside(values), q)


@lru_cache(maxsize=64)
def places(y: float, x: float, ry: float, rx: float, height: int, width: int, inside: bool) -> Tensor:
    """Numbers of the pixels inside (or outside) an ellipse, row by row; not a mask, so that an export can hold them."""
    mask = Ellipse((y, x), (ry, rx)).mask(height, width)
    return torch.from_numpy(np.flatnonzero(mask if inside else ~mask))


SURROUNDINGS = Ellipse(radii=(0.45, 0.47))  # what lies outside it is plate and rim
