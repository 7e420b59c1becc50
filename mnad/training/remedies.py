"""Remedies for a collapsed memory, both off by default as the official code has neither.

The update rule moves an item only while it is the nearest of some query. An item that starts where no query is stays
there for ever (dead), and the live ones share all queries.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mnad.data.source import Source, batches
from mnad.model.memory import Memory
from mnad.model.network import Network

QUERIES_PER_ITEM = 500  # enough for centres; keeps k-means at a second


def kmeans_items(queries: Tensor, count: int, seed: int) -> Tensor:
    """Items at the centres of the queries: K x C unit vectors -> count x C unit vectors (Lloyd, then L2 norm)."""
    from sklearn.cluster import KMeans  # a detector loads without it

    centres = KMeans(count, n_init=1, random_state=seed).fit(queries.double().cpu().numpy()).cluster_centers_
    return F.normalize(torch.from_numpy(centres).to(queries), dim=1)


@torch.no_grad()
def start_from_queries(model: Network, source: Source, batch_size: int, seed: int) -> None:
    """Set the items of ``model.memory`` to cluster centres of its first training queries (start ``kmeans``).

    Runs batches of ``source`` through the model in train mode, as training will,
    so the running statistics of batch normalisation see them too.
    """
    model.train()
    memory = model.memory
    device = memory.items.device
    wanted = QUERIES_PER_ITEM * len(memory.items)
    order = np.random.default_rng(seed).permutation(len(source))
    parts, total = [], 0
    for x, _ in batches(source, batch_size, order, device):
        parts.append(model(x).queries.flatten(0, 2))
        total += len(parts[-1])
        if total >= wanted:
            break
    queries = torch.cat(parts)
    if len(queries) >= len(memory.items):
        memory.update(kmeans_items(queries, len(memory.items), seed))


@torch.no_grad()
def start_at_random_queries(model: Network, source: Source, batch_size: int, seed: int) -> None:
    """Set the items of each group to random queries of that group in one batch (start ``queries``).

    The batch runs through the model in train mode, as training will. Without enough queries some are taken twice.
    """
    model.train()
    memory, rng = model.memory, np.random.default_rng(seed)
    order = rng.permutation(len(source))[:batch_size]
    x, _ = next(batches(source, batch_size, order, memory.items.device))
    queries = memory.grouped(model(x).queries.flatten(0, 2)).reshape(memory.groups, -1, memory.items.shape[1])
    count, few = len(memory.items) // memory.groups, queries.shape[1]
    drawn = np.stack([rng.choice(few, count, replace=few < count) for _ in range(memory.groups)])
    chosen = torch.from_numpy(drawn).to(queries.device)[..., None].expand(-1, -1, queries.shape[2])
    memory.update(queries.gather(1, chosen).flatten(0, 1))


@torch.no_grad()
def reseed_dead(memory: Memory, counts: Tensor, queries: Tensor) -> int:
    """Move every dead item onto the query that is farthest from all items, one after the other.

    Args:
        memory: changed in place.
        counts: M, how many queries had each item as their nearest.
        queries: K x C, unit norm.

    Returns:
        number of moved items.
    """
    items = memory.items.clone()
    dead = torch.nonzero(counts == 0).flatten().tolist()
    live = torch.nonzero(counts > 0).flatten().tolist()
    for item in dead:
        nearest = (queries @ items[live].T).amax(dim=1)  # K, similarity to the nearest live item
        items[item] = queries[nearest.argmin()]
        live.append(item)
    memory.update(items)
    return len(dead)
