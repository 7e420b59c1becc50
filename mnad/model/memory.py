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

Ours, in neither (the defaults leave them out): ``temperature`` divides the scores before every softmax (1 is the
faithful value; below 1 sharpens the attention, a remedy for collapse), and the memory of ``configs/wells_memory.yaml``:

- ``groups`` G > 1 (scope ``position``): the query of position g reads M items of its own, rows g M to g M + M - 1 of
  ``items``. Whatever is said of M items and K queries below then holds within each position.
- ``unit`` False (query ``standardised``): the score is ``s_km = -|q_k - p_m|^2 / C`` instead of ``q_k . p_m``. On the
  unit sphere both have the same nearest item.
- ``addressing`` ``hard``: the read is the item of the largest score, and the attention 1 there and 0 elsewhere.
- ``update_rule`` ``ema``: items are running means of the queries that are nearest to them, see :meth:`Memory.averaged`;
  ``variance`` V_mc (1 until :mod:`mnad.training.finish` measures it) gives the feature distance a unit:
  ``min_m mean_c (q_kc - p_mc)^2 / V_mc``.

See also :mod:`mnad.model.health` and :mod:`mnad.training.remedies`.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnad.config import Addressing, Reduction, UpdateNormaliser, UpdateRule
from mnad.model import across

TRIPLET_MARGIN = 1.0  # eq. 10, alpha
DECAY = 0.98  # of the running means of `ema`, each batch
LITTLE_SUPPORT = 0.1  # of the even share of the queries; an item with less moves
NEW_SUPPORT = 0.5  # of an item that has just moved


class MemoryRead(NamedTuple):
    """What one read returns, before the items change."""

    read: Tensor  # K x C, attention @ items
    attention: Tensor  # K x M, softmax over the items (eq. 1)
    score: Tensor  # K x M, cosine similarity of query and item; of standardised queries -|q - p|^2 / C


class Memory(nn.Module):
    """M items of dimension C in the registered buffer ``items``; changed by :meth:`update`, never by a gradient.

    Queries are K x C in the order (batch, row, column); with G groups, K is a multiple of G.
    """

    items: Tensor  # G M x C; unit norm, unless queries are standardised
    support: Tensor  # G M, `ema` only: running share of the queries, 1 is an even share of those of the group
    variance: Tensor  # G M x C, `ema` only
    moves: Tensor  # scalar, `ema` only: updates so far, the seed of the next draw

    def __init__(
        self,
        items: int = 10,
        dim: int = 512,
        temperature: float = 1.0,
        detach_attention: bool = True,
        update_normaliser: UpdateNormaliser = "all",
        reduction: Reduction = "mean",
        *,
        groups: int = 1,
        unit: bool = True,
        addressing: Addressing = "soft",
        update_rule: UpdateRule = "official",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.detach_attention = detach_attention
        self.update_normaliser = update_normaliser
        self.reduction = reduction
        self.groups, self.unit, self.addressing, self.update_rule = groups, unit, addressing, update_rule
        self.register_buffer("items", F.normalize(torch.rand(groups * items, dim), dim=1))
        if update_rule == "ema":
            self.register_buffer("support", torch.ones(groups * items))
            self.register_buffer("variance", torch.ones(groups * items, dim))
            self.register_buffer("moves", torch.zeros((), dtype=torch.long))

    def grouped(self, rows: Tensor) -> Tensor:
        """Values of queries, K x D -> G x K/G x D; unchanged for one group."""
        return rows if self.groups == 1 else rows.view(-1, self.groups, rows.shape[1]).transpose(0, 1)

    def by_group(self, rows: Tensor) -> Tensor:
        """Values of items, G M x D -> G x M x D; unchanged for one group."""
        return rows if self.groups == 1 else rows.view(self.groups, -1, rows.shape[1])

    def flat(self, values: Tensor) -> Tensor:
        """The inverse of :meth:`grouped`."""
        return values if self.groups == 1 else values.transpose(0, 1).flatten(0, 1)

    def row(self, chosen: Tensor) -> Tensor:
        """Items of the queries' own groups, K numbers from 0 to M - 1 -> rows of ``items``."""
        if self.groups == 1:
            return chosen
        size = len(self.items) // self.groups
        return chosen + size * (torch.arange(len(chosen), device=chosen.device) % self.groups)

    def nearest(self, score: Tensor) -> Tensor:
        """Row of ``items`` that has the largest score, for each of K queries (scores K x M)."""
        return self.row(score.argmax(dim=1))

    def compare(self, queries: Tensor) -> Tensor:
        """Scores K x M: ``q . p``, of standardised queries ``-|q - p|^2 / C``."""
        grouped, items = self.grouped(queries), self.by_group(self.items)
        if self.unit:
            return self.flat(grouped @ items.transpose(-1, -2))
        return -self.flat(scaled_distance(grouped, items))

    def read(self, queries: Tensor) -> MemoryRead:
        """Read the memory for ``queries`` (K x C, unit norm): eq. 1 and 2."""
        score = self.compare(queries)  # K x M
        if self.addressing == "hard":
            attention = F.one_hot(score.argmax(dim=1), score.shape[1]).to(score.dtype)
            return MemoryRead(self.items[self.nearest(score)], attention, score)
        attention = torch.softmax(score / self.temperature, dim=1)
        # official: the weights are detached; paper: they are not
        weights = attention.detach() if self.detach_attention else attention
        return MemoryRead(self.flat(self.grouped(weights) @ self.by_group(self.items)), attention, score)

    def squared_distance(self, queries: Tensor, score: Tensor) -> Tensor:
        """Mean over C of the squared difference between each query and its nearest item; K values.

        ``ema``, in eval mode: in units of the variances, ``min_m mean_c (q_c - p_mc)^2 / V_mc``.
        """
        if self.update_rule == "ema" and not self.training:
            grouped, items, variance = self.grouped(queries), self.by_group(self.items), self.by_group(self.variance)
            return self.flat(scaled_distance(grouped, items, variance)).amin(dim=1)
        return F.mse_loss(queries, self.items[self.nearest(score)], reduction="none").mean(dim=1)

    def compactness(self, queries: Tensor, score: Tensor) -> Tensor:
        """Pull each query to its nearest item: eq. 8."""
        # official: mean over elements; paper: sum over queries of the squared L2 norm
        return F.mse_loss(queries, self.items[self.nearest(score)], reduction=self.reduction)

    def separateness(self, queries: Tensor, score: Tensor) -> Tensor:
        """Triplet margin loss, nearest item against the second nearest: eq. 9 and 10. Zero for a single item."""
        if score.shape[1] < 2:
            return queries.new_zeros(())
        first, second = map(self.row, score.topk(2, dim=1).indices.unbind(dim=1))
        return F.triplet_margin_loss(
            queries, self.items[first], self.items[second], margin=TRIPLET_MARGIN, reduction=self.reduction
        )

    def of_all_processes(self, queries: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and scores of the whole batch, where several processes share it (:mod:`mnad.model.across`)."""
        if across.count() == 1:
            return queries, score
        queries = across.gathered(queries)
        return queries, self.compare(queries)

    @torch.no_grad()
    def updated(self, queries: Tensor, score: Tensor) -> Tensor:
        """Items after one update with ``queries``, G M x C. An item that is nearest to no query stays.

        The official rule is eq. 3 to 5: ``v`` is a softmax over the K queries of the whole batch, so the batch size
        matters. For ``ema`` see :meth:`averaged`. Of several processes each hands in its own queries, and all get
        the same items.
        """
        if self.update_rule == "ema":
            return self.averaged(queries, score)[0]
        queries, score = self.of_all_processes(queries, score)
        queries, score, items = self.grouped(queries), self.grouped(score), self.by_group(self.items)
        v = torch.softmax(score / self.temperature, dim=-2)  # K x M, eq. 4
        assigned = F.one_hot(score.argmax(dim=-1), items.shape[-2]).to(v.dtype)  # K x M, U_m as 0/1
        # official: divide by the maximum over all queries; paper: over U_m (eq. 5)
        largest = (v if self.update_normaliser == "all" else v * assigned).amax(dim=-2, keepdim=True)
        weights = assigned * v / largest.clamp_min(torch.finfo(v.dtype).tiny)
        return F.normalize(items + weights.transpose(-1, -2) @ queries, dim=-1).flatten(0, -2)

    @torch.no_grad()
    def averaged(self, queries: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Items and support after one batch of the rule ``ema`` (the k-means update of VQ-VAE).

        With n_m queries of the batch nearest to item m, of K in its group, whose sum is t_m, and a = 0.98:

        ``support' = a support + (1 - a) n_m M / K``,
        ``items' = (a support items + (1 - a) t_m M / K) / support'`` (unit queries: then L2 norm).

        In each group, the item of the least support moves onto a query of the batch if it has less than a tenth of
        an even share; the query is drawn in proportion to its squared distance from its nearest item.
        """
        queries, score = self.of_all_processes(queries, score)
        rows, (count, groups) = self.nearest(score), (len(self.items), self.groups)
        share = count / len(queries)  # M / K within a group, as both are G times as many
        taken = torch.bincount(rows, minlength=count).to(queries.dtype) * share
        total = torch.zeros_like(self.items).index_add_(0, rows, queries) * share
        support = DECAY * self.support + (1 - DECAY) * taken
        kept = (DECAY * self.support)[:, None] * self.items
        items = (kept + (1 - DECAY) * total) / support.clamp_min(1e-6)[:, None]
        if self.unit:
            items = F.normalize(items, dim=1)
        least, which = support.view(groups, -1).min(dim=1)
        moving = torch.nonzero(least < LITTLE_SUPPORT).flatten()
        if len(moving):
            distance = (queries - self.items[rows]).square().mean(dim=1).clamp_min(1e-9)
            chances = distance.view(-1, groups).T[moving]  # groups x K/G
            random = torch.Generator(queries.device).manual_seed(int(self.moves))
            drawn = torch.multinomial(chances, 1, generator=random).flatten()
            target = which[moving] + moving * (count // groups)
            items[target] = queries.view(-1, groups, queries.shape[1])[drawn, moving]
            support[target] = NEW_SUPPORT
        return items, support

    @torch.no_grad()
    def update(self, items: Tensor, support: Tensor | None = None) -> None:
        """Write ``items`` (G M x C), and with the rule ``ema`` their ``support``, into the buffers."""
        self.items.copy_(items)
        if support is not None:
            self.support.copy_(support)
            self.moves += 1


def scaled_distance(queries: Tensor, items: Tensor, variance: Tensor | None = None) -> Tensor:
    """``mean_c (q_kc - p_mc)^2 / V_mc`` in float32, ... x K x C and ... x M x C -> ... x K x M; V is 1 unless given."""
    with torch.autocast(queries.device.type, enabled=False):
        if variance is None:
            squares = queries.square().sum(-1, keepdim=True) + items.square().sum(-1).unsqueeze(-2)
            return (squares - 2 * queries @ items.transpose(-1, -2)).clamp_min(0) / queries.shape[-1]
        weight = 1 / variance
        squares = queries.square() @ weight.transpose(-1, -2) + (weight * items.square()).sum(-1).unsqueeze(-2)
        return (squares - 2 * queries @ (weight * items).transpose(-1, -2)).clamp_min(0) / queries.shape[-1]
