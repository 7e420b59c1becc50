"""What each memory item stands for: how often it is the nearest of a query, where in the picture, and of which."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mnad.data.images import Images
from mnad.data.source import index_batches
from mnad.detector import Detector

MOST = 2000  # pictures to look at


@dataclass
class Reader:
    """A query near to an item: the place in the picture, in positions of the query map, and 1 - cosine to the item."""

    image: int
    row: int
    column: int
    distance: float


@dataclass
class Item:
    """One memory item, as the pictures of a test read it.

    Attributes:
        number: row in the memory.
        share: of all queries, in [0, 1], that have it as their nearest item.
        flagged: the same among the queries of flagged pictures; None without any.
        attention: H' x W', weight with which each position reads it, mean over the pictures.
        readers: the nearest queries, each of another picture, the nearest first.
    """

    number: int
    share: float
    flagged: float | None
    attention: np.ndarray
    readers: list[Reader] = field(default_factory=list)


def nearest_readers(distance: Tensor, nearest: Tensor, numbers: np.ndarray, item: int, most: int) -> list[Reader]:
    """The ``most`` queries of a batch that are nearest to ``item`` among those whose nearest item it is, at most one of
    each picture.

    Args:
        distance: B x H' x W', 1 - cosine to each query's nearest item.
        nearest: B x H' x W', the number of that item.
        numbers: B, of the pictures.
    """
    width = distance.shape[2]
    own = torch.where(nearest == item, distance, torch.inf).flatten(1)
    values, places = own.min(dim=1)
    found = []
    for image in values.argsort()[:most].tolist():
        if torch.isfinite(values[image]):
            row, column = divmod(int(places[image]), width)
            found.append(Reader(int(numbers[image]), row, column, float(values[image])))
    return found


@torch.inference_mode()
def read_items(detector: Detector, images: Images, flagged: np.ndarray, readers: int = 4) -> list[Item]:
    """What each item of the first model's memory stands for in ``images``, the most used first; empty without a memory
    that all positions share.

    Args:
        images: N photographs, of which at most 2,000, evenly spaced, are looked at.
        flagged: N, whether each is judged anomalous.
        readers: queries to keep of each item.
    """
    memory = detector.model.memory
    if memory is None or memory.groups > 1 or not len(images):
        return []
    items = F.normalize(memory.items.detach(), dim=1)
    count = len(items)
    found: list[list[Reader]] = [[] for _ in range(count)]
    used, used_flagged = np.zeros(count), np.zeros(count)
    attention: Any = 0.0  # H' x W' x M
    chosen = np.unique(np.linspace(0, len(images) - 1, min(len(images), MOST)).astype(int))
    for part in index_batches(chosen, 64, "memory items"):
        out = detector.outputs(images.batch(part))
        shape = out.queries.shape[:3]
        nearest = out.nearest.view(shape).cpu()
        cosine = (F.normalize(out.queries, dim=-1) * items[out.nearest].view(*shape, -1)).sum(dim=-1)
        distance = (1 - cosine).cpu()
        here = np.stack([np.bincount(one.flatten(), minlength=count) for one in nearest.numpy()])
        used += here.sum(axis=0)
        used_flagged += here[flagged[part]].sum(axis=0)
        attention = attention + out.attention.view(*shape, count).sum(dim=0).cpu().numpy()
        for item in range(count):
            nearer = found[item] + nearest_readers(distance, nearest, part, item, readers)
            found[item] = sorted(nearer, key=lambda reader: reader.distance)[:readers]
    total, total_flagged = used.sum(), used_flagged.sum()
    return [
        Item(
            int(m),
            float(used[m] / total),
            float(used_flagged[m] / total_flagged) if total_flagged else None,
            attention[..., m] / len(chosen),
            found[m],
        )
        for m in np.argsort(-used, kind="stable")
    ]
