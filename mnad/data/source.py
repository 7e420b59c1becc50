"""What training, scoring and the maps read, whatever it is made of."""

from typing import Protocol

import numpy as np
from torch import Tensor


class Source(Protocol):
    """What the loop and the scores read: photos rebuild themselves, clips of a video predict their next frame."""

    def __len__(self) -> int: ...

    def inputs(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Model input B x C x H x W and target B x 3 x H x W, both float32 in [-1, 1]."""
        ...
