"""MemAE (Gong et al., ICCV 2019): an autoencoder whose decoder sees memory items only, addressed sparsely.

Against MNAD: the items are trained parameters, the decoder gets the read without the query, small addressing
weights are set to zero, and an entropy loss makes the addressing sparse.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnad.model.blocks import Decoder, Encoder
from mnad.model.network import Network, Output

TINY = 1e-12


def hard_shrink(weights: Tensor, threshold: float) -> Tensor:
    """Eq. 7 and the renormalisation after it: weights (... x N, sum 1) at or below ``threshold`` become 0, the rest
    sums to 1 again. The continuous form max(w - t, 0) * w / (|w - t| + tiny) lets the gradient through."""
    shrunk = F.relu(weights - threshold) * weights / ((weights - threshold).abs() + TINY)
    return F.normalize(shrunk, p=1, dim=-1, eps=TINY)


class MemAE(Network):
    """Encode, address, read, decode.

    Args:
        width: channels of the first stage.
        item_dim: channels of queries and items.
        memae_items: N, number of memory items.
    """

    loss_weights: ClassVar[dict[str, float | None]] = {"entropy": 0.0002}  # the paper's

    def __init__(self, width: int = 64, item_dim: int = 512, memae_items: int = 500) -> None:
        super().__init__()
        self.encoder = Encoder(3, width, item_dim)
        self.decoder = Decoder(item_dim, width)
        # PyTorch's default bound of a linear layer, as the authors draw them.
        self.items = nn.Parameter(torch.empty(memae_items, item_dim).uniform_(-1, 1) / item_dim**0.5)
        self.threshold = 1.0 / memae_items  # the paper: between 1/N and 3/N

    def address(self, queries: Tensor) -> Tensor:
        """Queries K x C -> sparse weights K x N, rows sum to 1 (eq. 4 to 7: cosine similarity, softmax, shrinkage)."""
        similarity = F.normalize(queries, dim=1) @ F.normalize(self.items, dim=1).T
        return hard_shrink(torch.softmax(similarity, dim=1), self.threshold)

    def forward(self, x: Tensor) -> Output:
        """B x 3 x H x W in [-1, 1] -> :class:`mnad.model.network.Output` with the extra loss ``entropy``
        (eq. 9, mean over the K queries)."""
        self.check_input(x)
        features, skips = self.encoder(x)
        queries = features.float().permute(0, 2, 3, 1)  # B x H' x W' x C
        weights = self.address(queries.flatten(0, 2))
        read = (weights @ self.items).view_as(queries)
        output = self.decoder(read.permute(0, 3, 1, 2), skips).float()
        entropy = -(weights * (weights + TINY).log()).sum(dim=1).mean()
        return Output(output, F.normalize(queries, dim=-1), skips, read, weights, extra_losses={"entropy": entropy})
