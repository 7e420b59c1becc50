"""What every model is to the rest of the library: a module from a batch to an :class:`Output`."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnad.config import PAST_FRAMES, STRIDE, Variant

if TYPE_CHECKING:
    from mnad.model.memory import Memory


def full(x: Tensor) -> Tensor:
    """``x`` in at least float32."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


@dataclass
class Output:
    """What a forward pass returns; H' = H/stride, W' = W/stride, K = B * H' * W' in the order (batch, row, column)."""

    output: Tensor  # B x 3 x H x W in [-1, 1]; of a model that rebuilds features those, B x D x H' x W'
    queries: Tensor  # B x H' x W' x C, unit norm unless standardised
    skips: tuple[Tensor, ...]  # the encoder's three maps, finest first; the local one has none
    read: Tensor | None = None  # B x H' x W' x C
    attention: Tensor | None = None  # K x M, softmax over the items (of the query's position)
    nearest: Tensor | None = None  # K, row of the nearest item in `Memory.items`, or bank by bank
    distance: Tensor | None = None  # B x H' x W', mean squared difference to the nearest item
    error: Tensor | None = None  # B x H' x W', error of the rebuilt features in units of normal ones
    detail: Tensor | None = None  # B x H' x W', the same, geometric mean over strides, for maps
    compactness: Tensor | None = None  # scalar
    separateness: Tensor | None = None  # scalar, train mode only
    updated_items: Tensor | None = None  # like `Memory.items`, train mode only; written by `Memory.update`
    updated_support: Tensor | None = None  # like `Memory.support`, with it
    extra_losses: dict[str, Tensor] = field(default_factory=dict)  # a baseline's own terms, such as "kl"

    def only(self, inside: Tensor, target: Tensor) -> "Output":
        """The same with errors and distances only where ``inside`` (B x H x W bool): elsewhere an output that is an
        image is the ``target``, B x 3 x H x W, and error and distance are 0."""
        found = replace(self)
        if self.output.shape == target.shape:
            found.output = torch.where(inside[:, None], self.output, target)
        for name in ("distance", "error", "detail"):
            values = getattr(self, name)
            if values is not None:
                share = F.adaptive_avg_pool2d(inside[:, None].float(), values.shape[1:])[:, 0]
                setattr(found, name, values * (share >= 0.5))
        return found


class Network(nn.Module):
    """A model of photographs (``recon``) or of videos (``pred``).

    Attributes:
        variant: see :class:`mnad.config.ModelConfig`.
        in_channels: of the input, 3 for each frame that the variant sees.
        stride: pixels of the input for each position of the query map.
        size: (height, width) that the input must have; None for any.
        memory: None for a model without one, or with one that no gradient step touches.
        gives: what its output holds besides queries: ``image`` (``output`` is one), ``distance``, ``features``
            (``output`` are those, with their ``error``). Terms that need another thing are dropped from its scores.
        held_out: output of normals that was taken before the last fit, which has seen them; calibration takes it in
            place of the validation images. None for a model that has not seen those.
        map_ceiling: value of :meth:`anomaly_map` that is the brightest in a written picture of it, the same in all.
        loss_weights: the terms of its loss besides the pixel error, with the weight of their paper (None: it depends
            on the variant, see :meth:`mnad.config.OptimConfig.resolved`).
    """

    memory: "Memory | None"
    held_out: "Output | None" = None
    map_ceiling: ClassVar[float] = 0.05
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

    @property
    def gives(self) -> frozenset[str]:
        """See :class:`Network`."""
        return frozenset({"image"} if self.memory is None else {"image", "distance"})

    @property
    def banks(self) -> tuple[int, int] | None:
        """(number of banks, items in each): one shared bank, or one at each position; ``nearest`` of an output counts
        the items bank by bank. None without a memory."""
        return None if self.memory is None else (self.memory.groups, len(self.memory.items) // self.memory.groups)

    def query_grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """(H', W') of the query map of images of ``size`` (H, W)."""
        return size[0] // self.stride, size[1] // self.stride

    def frozen_parameters(self) -> Iterator[Tensor]:
        """Weights that the model uses and its state does not hold."""
        return iter(())

    def configured_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every weight and buffer that follows from the configuration alone."""
        return {name: tuple(value.shape) for name, value in self.state_dict().items()}

    def anomaly_map(self, target: Tensor, out: Output) -> Tensor:
        """Squared error of every pixel, mean over channels, on [0, 1] images: B x H x W.

        Args:
            target: B x 3 x H x W in [-1, 1].
            out: what the model made of it.
        """
        return ((out.output - target) / 2).square().mean(dim=1)

    def posed(self, maps: Tensor, pictures: Tensor) -> Tensor:
        """Maps of ``pictures``, B x H x W, as the model looks at them: a model that turns parts turns them alike.

        Args:
            pictures: B x 3 x H x W in [-1, 1].
        """
        return maps

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
