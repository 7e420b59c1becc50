"""What every model is to the rest of the library: a module from a batch to an :class:`Output`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from mnad.config import PAST_FRAMES, STRIDE, Variant

if TYPE_CHECKING:
    from mnad.model.memory import Memory


@dataclass
class Output:
    """What a forward pass returns; H' = H/8, W' = W/8, K = B * H' * W' in the order (batch, row, column)."""

    output: Tensor  # B x 3 x H x W in [-1, 1]
    queries: Tensor  # B x H' x W' x C, unit norm
    skips: tuple[Tensor, ...]  # the encoder's three maps, finest first
    read: Tensor | None = None  # B x H' x W' x C
    attention: Tensor | None = None  # K x M, softmax over the items
    distance: Tensor | None = None  # B x H' x W', mean squared difference to the nearest item
    compactness: Tensor | None = None  # scalar
    separateness: Tensor | None = None  # scalar, train mode only
    updated_items: Tensor | None = None  # M x C, train mode only; written by `Memory.update`
    extra_losses: dict[str, Tensor] = field(default_factory=dict)  # a baseline's own terms, such as "kl"


class Network(nn.Module):
    """A model of photographs (``recon``) or of videos (``pred``).

    Attributes:
        variant: see :class:`mnad.config.ModelConfig`.
        in_channels: of the input, 3 for each frame that the variant sees.
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
        self.memory = None

    def check_input(self, x: Tensor) -> None:
        """Raise ``ValueError`` unless ``x`` is B x in_channels x H x W with H and W divisible by 8."""
        if x.ndim != 4 or x.shape[1] != self.in_channels or x.shape[2] % STRIDE or x.shape[3] % STRIDE or 0 in x.shape:
            raise ValueError(
                f"input: expected B x {self.in_channels} x H x W with H and W divisible by {STRIDE}, "
                f"got {tuple(x.shape)}"
            )
