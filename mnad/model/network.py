"""What every model is to the rest of the library: a module from a batch to an :class:`Output`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from mnad.config import PAST_FRAMES, STRIDE, Variant

if TYPE_CHECKING:
    from mnad.model.memory import Memory


@dataclass
class Output:
    """What a forward pass returns; H' = H/stride, W' = W/stride, K = B * H' * W' in the order (batch, row, column)."""

    output: Tensor  # B x 3 x H x W in [-1, 1]
    queries: Tensor  # B x H' x W' x C, unit norm unless standardised
    skips: tuple[Tensor, ...]  # the encoder's three maps, finest first; the local one has none
    read: Tensor | None = None  # B x H' x W' x C
    attention: Tensor | None = None  # K x M, softmax over the items (of the query's position)
    nearest: Tensor | None = None  # K, row of the nearest item in `Memory.items`
    distance: Tensor | None = None  # B x H' x W', mean squared difference to the nearest item
    compactness: Tensor | None = None  # scalar
    separateness: Tensor | None = None  # scalar, train mode only
    updated_items: Tensor | None = None  # like `Memory.items`, train mode only; written by `Memory.update`
    updated_support: Tensor | None = None  # like `Memory.support`, with it
    extra_losses: dict[str, Tensor] = field(default_factory=dict)  # a baseline's own terms, such as "kl"


class Network(nn.Module):
    """A model of photographs (``recon``) or of videos (``pred``).

    Attributes:
        variant: see :class:`mnad.config.ModelConfig`.
        in_channels: of the input, 3 for each frame that the variant sees.
        stride: pixels of the input for each position of the query map.
        size: (height, width) that the input must have; None for any.
        memory: None for a model without one.
        loss_weights: the terms of its loss besides the pixel error, with the weight of their paper (None: it depends
            on the variant, see :meth:`mnad.config.OptimConfig.resolved`).
    """

    memory: "Memory | None"
    loss_weights: ClassVar[dict[str, float | None]] = {}

    def __init__(self, variant: Variant = "recon") -> None:
        super().__init__()
        if variant not in ("recon", "pred"):
            raise ValueError(f"variant: expected 'recon' or 'pred', got {variant!r}")
        self.variant: Variant = variant
        self.in_channels = 3 * PAST_FRAMES if variant == "pred" else 3
        self.stride = STRIDE
        self.size: tuple[int, int] | None = None
        self.memory = None

    def check_input(self, x: Tensor) -> None:
        """Raise ``ValueError`` unless ``x`` is B x in_channels x H x W with H and W divisible by the stride, or as
        ``size`` says."""
        stride = self.stride
        if x.ndim != 4 or x.shape[1] != self.in_channels or x.shape[2] % stride or x.shape[3] % stride or 0 in x.shape:
            raise ValueError(
                f"input: expected B x {self.in_channels} x H x W with H and W divisible by {stride}, "
                f"got {tuple(x.shape)}"
            )
        if self.size is not None and tuple(x.shape[2:]) != tuple(self.size):
            raise ValueError(f"input: expected H x W of {tuple(self.size)}, got {tuple(x.shape)}")
