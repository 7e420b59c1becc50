"""MNAD: encode, read, decode, losses, update, in the paper's order.

Differences between the paper and the official code in the memory are switches of :class:`mnad.memory.Memory`.
The others:

- Loss weights (eq. 7): the official reconstruction trainer unpacks its two losses in swapped order. Both weights
  are 0.01 there, so the total is the same and only its log lines are wrong. Ours keeps each name with its value.
- Pixel loss (eq. 6): official mean over elements, paper an L2 norm; ours is the official one
  (``mnad.training``).
- Learning rate of reconstruction: official 2e-4, paper 2e-5; a field of the training configuration.
- The official encoder holds a batch norm that nothing uses; ours has none (:mod:`mnad.official` drops it).
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnad.blocks import Decoder, Encoder
from mnad.memory import Memory, Reduction, UpdateNormaliser

Variant = Literal["recon", "pred"]

STRIDE = 8  # pixels of the input per position of the query map
PAST_FRAMES = 4  # frames the prediction variant sees; the next one is its target


@dataclass(frozen=True)
class Published:
    """What the authors' code sets differently for the two variants."""

    memory_loss: float  # weight of compactness, and of separateness (eq. 7)
    psnr_share: float  # lambda of the score: of PSNR; the rest is the feature distance's
    gamma: float  # the memory is updated at test time only below this E_t (eq. 14)


PUBLISHED: dict[Variant, Published] = {
    "recon": Published(memory_loss=0.01, psnr_share=0.7, gamma=0.015),
    "pred": Published(memory_loss=0.1, psnr_share=0.6, gamma=0.01),
}


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


class MNAD(nn.Module):
    """Memory-guided autoencoder.

    Args:
        variant: ``"recon"`` rebuilds its input (B x 3 x H x W); ``"pred"`` is a U-Net that predicts the frame
            after four (B x 12 x H x W).
        width: channels of the first stage (official 64).
        items: M, number of memory items (official 10).
        item_dim: C, dimension of queries and items (official 512).
        temperature, detach_attention, update_normaliser, reduction: see :mod:`mnad.memory`.
    """

    def __init__(
        self,
        variant: Variant = "recon",
        width: int = 64,
        items: int = 10,
        item_dim: int = 512,
        temperature: float = 1.0,
        detach_attention: bool = True,
        update_normaliser: UpdateNormaliser = "all",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        if variant not in ("recon", "pred"):
            raise ValueError(f"variant: expected 'recon' or 'pred', got {variant!r}")
        self.variant = variant
        self.in_channels = input_channels(variant)
        self.encoder = Encoder(self.in_channels, width, item_dim)
        self.memory = Memory(items, item_dim, temperature, detach_attention, update_normaliser, reduction)
        self.decoder = Decoder(2 * item_dim, width, skips=variant == "pred")

    def forward(self, x: Tensor) -> Output:
        """B x in_channels x H x W in [-1, 1] -> :class:`Output`. H and W must be divisible by 8.

        Reading and losses use the items from before the update (official and paper). The items themselves are
        not touched: the training loop calls ``model.memory.update(out.updated_items)``.
        """
        check_input(x, self.in_channels)
        # Encode
        features, skips = self.encoder(x)  # B x C x H' x W'
        queries = F.normalize(features.float(), dim=1).permute(0, 2, 3, 1)  # B x H' x W' x C
        flat = queries.reshape(-1, queries.shape[-1])  # K x C
        # Read (eq. 1-2)
        read, attention, score = self.memory.read(flat)
        read = read.view_as(queries)
        # Decode
        joined = torch.cat((queries, read), dim=-1).permute(0, 3, 1, 2)  # B x 2C x H' x W'
        output = self.decoder(joined, skips)
        # Losses (eq. 8-10)
        out = Output(output.float(), queries, skips, read, attention)
        out.distance = self.memory.squared_distance(flat, score).view(queries.shape[:3])
        out.compactness = self.memory.compactness(flat, score)
        if self.training:
            out.separateness = self.memory.separateness(flat, score)
            # Update (eq. 3-5)
            out.updated_items = self.memory.updated(flat, score)
        return out


def input_channels(variant: Variant) -> int:
    """Channels of the model input: 3 for each frame that the variant sees."""
    return 3 * PAST_FRAMES if variant == "pred" else 3


def check_input(x: Tensor, channels: int) -> None:
    """Raise ``ValueError`` unless ``x`` is B x channels x H x W with H and W divisible by 8."""
    if x.ndim != 4 or x.shape[1] != channels or x.shape[2] % STRIDE or x.shape[3] % STRIDE or 0 in x.shape:
        raise ValueError(
            f"input of shape {tuple(x.shape)}: expected B x {channels} x H x W with H and W divisible by {STRIDE}"
        )
