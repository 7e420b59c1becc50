"""MNAD written down as one reads the paper: what ours is measured against, and nothing else uses.

NCHW float32; scores are computed anew for the read, for each loss and for the update; the update loops over the items
and builds a graph that nobody needs; the graph is retained in the backward pass. The numbers are those of
:mod:`mnad.model` with its defaults, which a test holds.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mnad.config import PAST_FRAMES, PUBLISHED, ModelConfig

BATCH = 4  # official
LEARNING_RATE = 2e-4  # official


def double(a: int, b: int) -> nn.Sequential:
    """conv3x3-BN-ReLU twice."""
    return nn.Sequential(
        nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(),
        nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(),
    )  # fmt: skip


def up(a: int, b: int) -> nn.Sequential:
    """Transposed convolution to twice the size, BN, ReLU."""
    return nn.Sequential(nn.ConvTranspose2d(a, b, 3, 2, 1, output_padding=1), nn.BatchNorm2d(b), nn.ReLU())


class Straightforward(nn.Module):
    """The network with its memory; parameters in the order of :class:`mnad.model.mnad.MNAD`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        w, c, self.skips = config.width, config.item_dim, config.variant == "pred"
        channels, half = (3 * PAST_FRAMES, 2) if self.skips else (3, 1)
        self.down = nn.ModuleList([double(channels, w), double(w, 2 * w), double(2 * w, 4 * w)])
        self.last = nn.Sequential(
            nn.Conv2d(4 * w, 8 * w, 3, padding=1), nn.BatchNorm2d(8 * w), nn.ReLU(), nn.Conv2d(8 * w, c, 3, padding=1)
        )
        self.up = nn.ModuleList()
        before = 2 * c
        for level in (8 * w, 4 * w, 2 * w):
            self.up += [double(before, level), up(level, level // half)]
            before = level
        self.head = nn.Sequential(double(2 * w, w), nn.Conv2d(w, 3, 3, padding=1), nn.Tanh())
        self.items = F.normalize(torch.rand(config.items, c), dim=1)

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Pictures -> features B x C x H/8 x W/8 and the maps before each pooling."""
        maps = []
        for stage in self.down:
            x = stage(x)
            maps.append(x)
            x = F.max_pool2d(x, 2)
        return self.last(x), maps

    def decode(self, x: Tensor, maps: list[Tensor]) -> Tensor:
        """Queries and what was read, B x 2C x H/8 x W/8 -> picture."""
        for index in range(3):
            x = self.up[2 * index + 1](self.up[2 * index](x))
            if self.skips:
                x = torch.cat([maps[2 - index], x], dim=1)
        return self.head(x)

    def score(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """Softmax of the scores over the queries and over the items, K x M both."""
        score = query @ self.items.t()
        return F.softmax(score, dim=0), F.softmax(score, dim=1)

    def read(self, query: Tensor) -> Tensor:
        """Eq. 1 and 2; official: the weights are detached."""
        return self.score(query)[1].detach() @ self.items

    def compactness(self, query: Tensor) -> Tensor:
        """Eq. 8."""
        nearest = torch.topk(self.score(query)[1], 1, dim=1).indices[:, 0]
        return F.mse_loss(query, self.items[nearest])

    def separateness(self, query: Tensor) -> Tensor:
        """Eq. 9 and 10."""
        nearest = torch.topk(self.score(query)[1], 2, dim=1).indices
        return F.triplet_margin_loss(query, self.items[nearest[:, 0]], self.items[nearest[:, 1]], margin=1.0)

    def update(self, query: Tensor) -> None:
        """Eq. 3 to 5, item by item; official: divided by the largest weight of all queries."""
        over_queries, over_items = self.score(query)
        nearest = over_items.argmax(dim=1)
        rows = []
        for m in range(len(self.items)):
            own = torch.nonzero(nearest == m)[:, 0]
            weights = over_queries[own, m] / over_queries[:, m].max()
            rows.append(self.items[m] + (weights[:, None] * query[own]).sum(dim=0))
        self.items = F.normalize(torch.stack(rows), dim=1).detach()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures -> picture, compactness, separateness; the items are updated after all of them."""
        features, maps = self.encode(x)
        features = F.normalize(features, dim=1)
        query = features.permute(0, 2, 3, 1)
        flat = query.reshape(-1, query.shape[-1])
        separateness, compactness = self.separateness(flat), self.compactness(flat)
        read = self.read(flat).view(query.shape).permute(0, 3, 1, 2)
        self.update(flat)
        return self.decode(torch.cat([features, read], dim=1), maps), compactness, separateness


def step(model: Straightforward, optimizer: torch.optim.Optimizer, x: Tensor, target: Tensor) -> Tensor:
    """One training step with the official weights of the losses; returns the loss."""
    output, compactness, separateness = model(x)
    weight = PUBLISHED["pred" if model.skips else "recon"].memory_loss
    loss = F.mse_loss(output, target) + weight * compactness + weight * separateness
    optimizer.zero_grad()
    loss.backward(retain_graph=True)
    optimizer.step()
    return loss.detach()
