"""MNAD: encode, read, decode, losses, update, in the paper's order.

Differences between the paper and the official code in the memory are switches of :class:`mnad.model.memory.Memory`.
The others:

- Loss weights (eq. 7): the official reconstruction trainer unpacks its two losses in swapped order. Both weights
  are 0.01 there, so the total is the same and only its log lines are wrong. Ours keeps each name with its value.
- Pixel loss (eq. 6): official mean over elements, paper an L2 norm; ours is the official one
  (``mnad.training.loop``).
- Learning rate of reconstruction: official 2e-4, paper 2e-5; a field of the training configuration.
- The official encoder holds a batch norm that nothing uses; ours has none (:mod:`mnad.model.official` drops it).
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mnad.config import (
    MEMORY_LOSSES,
    Addressing,
    EncoderKind,
    Query,
    Reduction,
    Scope,
    Sees,
    UpdateNormaliser,
    UpdateRule,
    Variant,
)
from mnad.model.blocks import Decoder, Encoder
from mnad.model.local import LocalDecoder, LocalEncoder, Standardise
from mnad.model.memory import Memory
from mnad.model.network import Network, Output, full


class MNAD(Network):
    """Memory-guided autoencoder.

    Args:
        variant: ``"recon"`` rebuilds its input (B x 3 x H x W); ``"pred"`` is a U-Net that predicts the frame
            after four (B x 12 x H x W).
        width: channels of the first stage (official 64).
        items: M, number of memory items (official 10).
        item_dim: C, dimension of queries and items (official 512).
        temperature, detach_attention, update_normaliser, reduction: see :mod:`mnad.model.memory`.
        encoder, query, scope, addressing, sees, update: ours, see :class:`mnad.config.ModelConfig`.
        size: (height, width) of the input, needed where each position has statistics or items of its own.
    """

    memory: Memory
    loss_weights: ClassVar[dict[str, float | None]] = dict.fromkeys(MEMORY_LOSSES)

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
        encoder: EncoderKind = "official",
        query: Query = "unit",
        scope: Scope = "shared",
        addressing: Addressing = "soft",
        sees: Sees = "both",
        update: UpdateRule = "official",
        size: tuple[int, int] | None = None,
    ) -> None:
        """Raises ``ValueError`` where a size is needed and none is given."""
        super().__init__(variant)
        local = encoder == "local"
        self.encoder = (LocalEncoder if local else Encoder)(self.in_channels, width, item_dim)
        self.stride = self.encoder.stride
        self.size = size if query == "standardised" or scope == "position" else None
        if self.size is None and (query == "standardised" or scope == "position"):
            raise ValueError("size: expected (height, width) for standardised queries or a memory of each position")
        rows, columns = (side // self.stride for side in self.size or (self.stride, self.stride))
        self.standardise = Standardise((rows, columns), item_dim) if query == "standardised" else None
        self.memory = Memory(
            items,
            item_dim,
            temperature,
            detach_attention,
            update_normaliser,
            reduction,
            groups=rows * columns if scope == "position" else 1,
            unit=query == "unit",
            addressing=addressing,
            update_rule=update,
        )
        self.sees: Sees = sees
        seen = 2 * item_dim if sees == "both" else item_dim
        self.decoder = LocalDecoder(seen, width) if local else Decoder(seen, width, skips=variant == "pred")

    def query(self, features: Tensor) -> Tensor:
        """B x C x H' x W' -> B x H' x W' x C: of unit norm, or standardised at each position."""
        if self.standardise is not None:
            return self.standardise(full(features).permute(0, 2, 3, 1))
        return F.normalize(full(features), dim=1).permute(0, 2, 3, 1)

    def seen(self, queries: Tensor, read: Tensor) -> Tensor:
        """What the decoder gets, B x H' x W' x C twice -> B x (2C or C) x H' x W'.

        ``both`` is ``(q, read)``. ``read`` is the read alone; where that carries no gradient of its own it hands the
        decoder's to the query, straight through: ``read + q - stop(q)``.
        """
        if self.sees == "both":
            return torch.cat((queries, read), dim=-1).permute(0, 3, 1, 2)
        if self.sees == "query":
            return queries.permute(0, 3, 1, 2)
        return (read if read.requires_grad else read + (queries - queries.detach())).permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Output:
        """B x in_channels x H x W in [-1, 1] -> :class:`Output`. H and W must be divisible by the stride.

        Reading and losses use the items from before the update (official and paper). The items themselves are
        not touched: the training loop calls ``model.memory.update(out.updated_items, out.updated_support)``.
        """
        self.check_input(x)
        # Encode
        features, skips = self.encoder(x)  # B x C x H' x W'
        queries = self.query(features)  # B x H' x W' x C
        flat = queries.reshape(-1, queries.shape[-1])  # K x C
        # Read (eq. 1-2)
        read, attention, score = self.memory.read(flat)
        read = read.view_as(queries)
        # Decode
        output = self.decoder(self.seen(queries, read), skips)
        # Losses (eq. 8-10)
        out = Output(full(output), queries, skips, read, attention, self.memory.nearest(score))
        out.distance = self.memory.squared_distance(flat, score).view(queries.shape[:3])
        out.compactness = self.memory.compactness(flat, score)
        if self.training:
            out.separateness = self.memory.separateness(flat, score)
            # Update (eq. 3-5)
            if self.memory.update_rule == "ema":
                out.updated_items, out.updated_support = self.memory.averaged(flat, score)
            else:
                out.updated_items = self.memory.updated(flat, score)
        return out
