"""Does the memory do anything? Replace what it answers, leave everything else, judge again; and usage in bits."""

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mnad.data.source import Source, batches
from mnad.detector import Detector
from mnad.model.memory import Memory
from mnad.model.mnad import MNAD
from mnad.model.network import Network, Output

LEARNT, RANDOM, MEAN, SHUFFLED = "learnt", "random", "mean", "shuffled"


def altered_items(memory: Memory, how: str, counts: Tensor, seed: int = 0) -> Tensor:
    """Items in place of the learnt ones, in the same order: G M x C.

    Args:
        how: ``mean``: every item is the mean of its group, weighted by ``counts`` (G M, the queries of each);
            ``random``: normal noise (of unit norm where items are); ``shuffled``: each group has the items of another
            one, or one shared group its items in another order.
    """
    random = torch.Generator().manual_seed(seed)
    items = memory.items.view(memory.groups, -1, memory.items.shape[1])
    if how == MEAN:
        weights = counts.to(items).view(memory.groups, -1, 1)
        mean = (weights * items).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True).clamp_min(1)
        found = mean.expand_as(items)
    elif how == RANDOM:
        found = torch.randn(items.shape, generator=random)
    else:
        axis = 0 if memory.groups > 1 else 1
        found = items.index_select(axis, torch.randperm(items.shape[axis], generator=random))
    found = found.flatten(0, 1)
    return F.normalize(found, dim=1) if memory.unit else found


class Altered(Network):
    """``model`` whose every query is answered by the altered item in the place of the one that it would have read.

    The feature distance is that to the altered items. Which item is read, and every weight, is as learnt.
    """

    def __init__(self, model: MNAD, items: Tensor) -> None:
        super().__init__()
        self.inner, self.altered = model, copy.deepcopy(model.memory)
        self.memory = model.memory
        self.altered.update(items)

    def forward(self, x: Tensor) -> Output:
        """See :class:`mnad.model.mnad.MNAD`; eval mode only."""
        features, skips = self.inner.encoder(x)
        queries = self.inner.query(features)
        flat, memory = queries.flatten(0, 2), self.altered
        _, attention, score = self.memory.read(flat)
        weights = memory.grouped(attention)
        read = memory.flat(weights @ memory.by_group(memory.items)).view_as(queries)
        output = self.inner.decoder(self.inner.seen(queries, read), skips)
        out = Output(output.float(), queries, skips, read, attention, self.memory.nearest(score))
        out.distance = memory.squared_distance(flat, memory.compare(flat)).view(queries.shape[:3])
        return out


def with_altered_items(detector: Detector, how: str, counts: Tensor, sources: Mapping[str, Source]) -> Detector:
    """A copy of ``detector`` (one member) with altered items, its scale and threshold chosen anew."""
    found = copy.copy(detector)
    found.scores, found.thresholds = copy.deepcopy(detector.scores), {}
    model = detector.model
    found.models = [Altered(model, altered_items(model.memory, how, counts)).eval()]  # type: ignore[arg-type]
    found.calibrate(sources["validation"], sources.get("known"))
    return found


@torch.inference_mode()
def read_items(model: Network, source: Source) -> np.ndarray:
    """Row of ``model.memory.items`` that is nearest to each query, N x H' W'."""
    parts = [model(x).nearest.view(len(x), -1) for x, _ in batches(source, 256, name="items read")]
    return torch.cat(parts).numpy()


def entropy(counts: np.ndarray) -> float:
    """Bits of the distribution that is proportional to ``counts``."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def mutual_information(table: np.ndarray) -> float:
    """Bits that rows and columns of a table of counts share."""
    return entropy(table.sum(axis=0)) + entropy(table.sum(axis=1)) - entropy(table.ravel())


def usage(normal: np.ndarray, anomalous: np.ndarray, groups: int, count: int, inside: np.ndarray) -> dict[str, float]:
    """What the item that is read says, in bits.

    Args:
        normal: N x P rows of items that normals read; ``anomalous``: K x P of known anomalies.
        groups: of the memory; ``count``: all items.
        inside: P bool, positions of which ``kind`` is averaged.

    Returns:
        ``item``: entropy of the item over all queries of normals; ``position``: what it shares with the position (of
        separate banks it tells the position by construction); ``used``: items in use at a position (perplexity);
        ``kind``: what it shares with normal against anomalous at one position, both equally frequent (at most 1);
        ``kind_chance``: the same with the kinds shuffled, the bias of the estimate.
    """
    positions, size = normal.shape[1], count // groups
    table = np.zeros((positions, count))
    np.add.at(table, (np.tile(np.arange(positions), len(normal)), normal.ravel()), 1)
    rng, kinds, chance = np.random.default_rng(0), [], []  # type: ignore[var-annotated]
    for position in np.flatnonzero(inside):
        first = position * size if groups > 1 else 0
        both = np.concatenate((normal[:, position], anomalous[:, position])) - first
        for values, into in ((both, kinds), (rng.permutation(both), chance)):
            halves = np.split(values, [len(normal)])
            into.append(mutual_information(np.stack([np.bincount(h, minlength=size) / len(h) for h in halves])))
    return {
        "item": entropy(table.sum(axis=0)),
        "position": mutual_information(table),
        "used": float(np.mean([2 ** entropy(row) for row in table])),
        "kind": float(np.mean(kinds)),
        "kind_chance": float(np.mean(chance)),
    }
