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

from mnad.config import MEMORY_LOSSES, Reduction, UpdateNormaliser, Variant
from mnad.model.blocks import Decoder, Encoder
from mnad.model.memory import Memory
from mnad.model.network import Network, Output


class MNAD(Network):
    """Memory-guided autoencoder.

    Args:
        variant: ``"recon"`` rebuilds its input (B x 3 x H x W); ``"pred"`` is a U-Net that predicts the frame
            after four (B x 12 x H x W).
        width: channels of the first stage (official 64).
        items: M, number of memory items (official 10).
        item_dim: C, dimension of queries and items (official 512).
        temperature, detach_attention, update_normaliser, reduction: see :mod:`mnad.model.memory`.
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
    ) -> None:
        super().__init__(variant)
        self.encoder = Encoder(self.in_channels, width, item_dim)
        self.memory = Memory(items, item_dim, temperature, detach_attention, update_normaliser, reduction)
        self.decoder = Decoder(2 * item_dim, width, skips=variant == "pred")

    def forward(self, x: Tensor) -> Output:
        """B x in_channels x H x W in [-1, 1] -> :class:`Output`. H and W must be divisible by 8.

        Reading and losses use the items from before the update (official and paper). The items themselves are
        not touched: the training loop calls ``model.memory.update(out.updated_items)``.
        """
        self.check_input(x)
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
