"""Is the memory used? Usage entropy, perplexity, dead items and similarity of the items."""

import torch
from torch import Tensor
from torch.nn import functional as F


def memory_health(counts: Tensor, items: Tensor) -> dict[str, float | int]:
    """Health of M items.

    Args:
        counts: M, how many queries have each item as their nearest.
        items: M x C, of any norm.

    Returns:
        ``usage_entropy`` in nats, -sum u log u with u = counts / sum (at most log M); ``perplexity``, its
        exponential, the effective number of items (1 to M); ``dead_items``, nearest to no query;
        ``item_similarity_mean`` and ``item_similarity_max``, cosine over pairs of different items (1 for one item).
    """
    usage = counts.double() / counts.sum().clamp_min(1)
    entropy = float(torch.special.entr(usage).sum())
    items = F.normalize(items, dim=1)
    similarity = (items @ items.T)[~torch.eye(len(items), dtype=torch.bool, device=items.device)]
    single = len(items) < 2
    return {
        "usage_entropy": entropy,
        "perplexity": float(torch.tensor(entropy).exp()),
        "dead_items": int((counts == 0).sum()),
        "item_similarity_mean": 1.0 if single else float(similarity.mean()),
        "item_similarity_max": 1.0 if single else float(similarity.max()),
    }
