"""Where the product is in its crop: an ellipse, the pixels inside it and those of its surroundings."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

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

    def inside(self, values: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """... x H x W -> ... x P, the pixels inside.

        Args:
            size: (H, W) of the picture, where ``values`` are only its :meth:`window`.

        Raises:
            UserError: there is none.
        """
        found = self._layout(*(size or values.shape[-2:]))
        return self._pixels(values, found.inside if size is None else found.inside_window, "inside")

    def outside(self, values: Tensor) -> Tensor:
        """... x H x W -> ... x P, the pixels that are not inside.

        Raises:
            UserError: there is none.
        """
        return self._pixels(values, self._layout(*values.shape[-2:]).outside, "outside")

    def window(self, size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the smallest rectangle that has all pixels inside, of a picture of ``size``."""
        return self._layout(*size).window

    def _layout(self, height: int, width: int) -> "Layout":
        return layout(*self.centre, *self.radii, height, width)

    def _pixels(self, values: Tensor, places: Tensor, where: str) -> Tensor:
        if len(places) == 0:
            expected = "radii above 0 and a centre in [0, 1]" if where == "inside" else "smaller radii"
            raise UserError(f"ellipse {self}: no pixel {where}; expected {expected}")
        return values.flatten(-2).index_select(-1, places.to(values.device))

    def quantile(self, values: Tensor, q: float, size: tuple[int, int] | None = None) -> Tensor:
        """B x H x W -> B: the ``q`` quantile of the pixels inside. A nuisance that covers less than 1 - q (from
        above) or q (from below) of the well cannot move it far, which a mean does not offer. ``size``: :meth:`inside`.
        """
        return quantile(self.inside(values, size), q)


class Layout(NamedTuple):
    """Where an ellipse lies in pictures of one size; numbers of pixels, not masks, so that an export can hold them."""

    inside: Tensor
    outside: Tensor
    window: tuple[slice, slice]
    inside_window: Tensor  # counted within the window


@lru_cache(maxsize=64)
def layout(y: float, x: float, ry: float, rx: float, height: int, width: int) -> Layout:
    """The layout of one ellipse; numbers count row by row."""
    mask = Ellipse((y, x), (ry, rx)).mask(height, width)
    window = slice(0, height), slice(0, width)
    if mask.any():
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    inside, outside, within = (torch.from_numpy(np.flatnonzero(part)) for part in (mask, ~mask, mask[window]))
    return Layout(inside, outside, window, within)


SURROUNDINGS = Ellipse(radii=(0.45, 0.47))  # what lies outside it is plate and rim
