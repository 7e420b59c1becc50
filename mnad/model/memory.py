"""The memory of MNAD: read, losses and update (Park et al., CVPR 2020, section 3.1 and 3.2).

K queries q_k and M items p_m live on the unit sphere of dimension C.

Where the paper and the official code differ, one named switch chooses; the default is what the official code
does, because its published weights and golden values follow it:

===================== =========================== =============================== ===========================
switch                official (default)          paper                           where
===================== =========================== =============================== ===========================
``detach_attention``  ``True``: no gradient       ``False``: gradient flows       eq. 1-2, read
                      through the read weights    through them
``update_normaliser`` ``"all"``: maximum of v     ``"assigned"``: maximum over    eq. 5, update
                      over every query            the queries nearest the item
``reduction``         ``"mean"`` over K and C     ``"sum"``: sum over K of the    eq. 8 and 10, losses
                      (compactness), over K       squared distances and of the
                      (separateness)              hinges
===================== =========================== =============================== ===========================

Ours, in neither (the default leaves it out): ``temperature`` divides the scores before every softmax (1 is the
faithful value; below 1 sharpens the attention, a remedy for collapse). See also :mod:`mnad.model.health` and
:mod:`mnad.training.remedies`.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnad.config import Reduction, UpdateNormaliser

TRIPLET_MARGIN = 1.0  # eq. 10, alpha


class MemoryRead(NamedTuple):
    """What one read returns, before the items change."""

    read: Tensor  # K x C, attention @ items
    attention: Tensor  # K x M, softmax over the items (eq. 1)
    score: Tensor  # K x M, cosine similarity of query and item


class Memory(nn.Module):
    """M items of dimension C in the registered buffer ``items``; changed by :meth:`update`, never by a gradient."""

    items: Tensor  # M x C, unit norm

    def __init__(
        self,
        items: int = 10,
        dim: int = 512,
        temperature: float = 1.0,
        detach_attention: bool = True,
        update_normaliser: UpdateNormaliser = "all",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.detach_attention = detach_attention
        self.update_normaliser = update_normaliser
        self.reduction = reduction
        self.register_buffer("items", F.normalize(torch.rand(items, dim), dim=1))

    def read(self, queries: Tensor) -> MemoryRead:
        """Read the memory for ``queries`` (K x C, unit norm): eq. 1 and 2."""
        score = queries @ self.items.T  # K x M
        attention = torch.softmax(score / self.temperature, dim=1)
        # official: the weights are detached; paper: they are not
        weights = attention.detach() if self.detach_attention else attention
        return MemoryRead(weights @ self.items, attention, score)

    def squared_distance(self, queries: Tensor, score: Tensor) -> Tensor:
        """Mean over C of the squared difference between each query and its nearest item; K values."""
        return F.mse_loss(queries, self.items[score.argmax(dim=1)], reduction="none").mean(dim=1)

    def compactness(self, queries: Tensor, score: Tensor) -> Tensor:
        """Pull each query to its nearest item: eq. 8."""
        # official: mean over elements; paper: sum over queries of the squared L2 norm
        return F.mse_loss(queries, self.items[score.argmax(dim=1)], reduction=self.reduction)

    def separateness(self, queries: Tensor, score: Tensor) -> Tensor:
        """Triplet margin loss, nearest item against the second nearest: eq. 9 and 10. Zero for a single item."""
        if len(self.items) < 2:
            return queries.new_zeros(())
        first, second = score.topk(2, dim=1).indices.unbind(dim=1)
        return F.triplet_margin_loss(
            queries, self.items[first], self.items[second], margin=TRIPLET_MARGIN, reduction=self.reduction
        )

    @torch.no_grad()
    def updated(self, queries: Tensor, score: Tensor) -> Tensor:
        """Items after one update with ``queries``, M x C: eq. 3 to 5. An item that is nearest to no query stays.

        ``v`` is a softmax over the K queries of the whole batch, so the batch size matters.
        """
        v = torch.softmax(score / self.temperature, dim=0)  # K x M, eq. 4
        assigned = F.one_hot(score.argmax(dim=1), len(self.items)).to(v.dtype)  # K x M, U_m as 0/1
        # official: divide by the maximum over all queries; paper: over U_m (eq. 5)
        largest = (v if self.update_normaliser == "all" else v * assigned).amax(dim=0)
        weights = assigned * v / largest.clamp_min(torch.finfo(v.dtype).tiny)
        return F.normalize(self.items + weights.T @ queries, dim=1)

    @torch.no_grad()
    def update(self, items: Tensor) -> None:
        """Write ``items`` (M x C) into the buffer."""
        self.items.copy_(items)
