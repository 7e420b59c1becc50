"""What the items of a memory stand for: which queries read them, and where queries leave the bank.

For a memory with a bank at each position (and a shared one as well, whose bank is the same everywhere).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnad.study.interventions import entropy, mutual_information

LEFT = 0.99  # quantile of the normal queries' distances at a position, beyond which a query has left the bank
TRAIN, NORMAL = "train", "normal"  # groups whose queries are the measure: in training, and test normals
MEASURES = {TRAIN: "training", NORMAL: "test normals'"}  # what texts call their queries


@dataclass
class Bank:
    """Items of a memory and the queries of N images that read them, at P positions.

    Attributes:
        size: items that a query can read: M.
        shared: whether all positions read the same items.
        item: N x P int, from 0 to M - 1: the item of its position's bank that each query is nearest to.
        distance: N x P float32, feature distance to it, in the memory's own unit.
        measure: group whose queries say what is usual: ``train``, or ``normal`` (of the test) for items that are
            queries of the training images themselves, which are at no distance from them.
    """

    size: int
    shared: bool
    item: np.ndarray
    distance: np.ndarray
    measure: str = TRAIN

    @classmethod
    def of(cls, banks: tuple[int, int], nearest: np.ndarray, distance: np.ndarray, measure: str = TRAIN) -> "Bank":
        """From ``banks`` of :class:`mnad.model.network.Network`, ``nearest`` and feature distances (N x P each), as the
        model gives them."""
        count, size = banks
        return cls(size, count == 1, nearest % size, distance.astype(np.float32), measure)

    def medoids(self) -> np.ndarray:
        """P x M int, the image whose query at the position is nearest to the item; -1 for an item that none reads."""
        found = np.full((self.item.shape[1], self.size), -1)
        order = np.argsort(-self.distance, axis=0)  # the nearest is written last
        for row in order:
            places = np.arange(self.item.shape[1])
            found[places, self.item[row, places]] = row
        return found

    def reads(self, chosen: np.ndarray) -> np.ndarray:
        """P x M, share of the images (N bool) that read the item at the position; each row sums to 1."""
        some = self.item[chosen]
        return np.stack([np.bincount(column, minlength=self.size) for column in some.T]) / max(len(some), 1)

    def limits(self, groups: Sequence[str] | np.ndarray) -> np.ndarray:
        """P, the ``LEFT`` quantile of the distances of the images of ``measure`` (of all where there are none)."""
        usual = np.asarray(groups) == self.measure
        return np.quantile(self.distance[usual if usual.any() else slice(None)], LEFT, axis=0)

    def left(self, groups: Sequence[str] | np.ndarray) -> np.ndarray:
        """N x P bool, queries farther from their item than the limit of their position."""
        return self.distance > self.limits(groups)


def bank_numbers(bank: Bank, table: pd.DataFrame, kind: str) -> dict[str, object]:
    """What ``latent.json`` keeps.

    Args:
        table: N rows with ``group`` and the column ``kind``.

    Returns:
        ``items`` (of a bank), ``shared``, ``unread`` (items that no sampled image reads); for each value of ``kind``
        its ``images``, and means over the positions: ``left`` (share of the queries beyond the limit), ``used`` (items
        in use, perplexity); ``kind_bits``: what the item at a position shares with the kinds, all equally frequent,
        and ``kind_bits_chance``, the same with the kinds shuffled (the bias of the estimate).
    """
    left = bank.left(table["group"].to_numpy())
    kinds = table[kind].astype(str).to_numpy()
    names = sorted(set(kinds))
    reads = {name: bank.reads(kinds == name) for name in names}
    mixed = np.random.default_rng(0).permutation(kinds)
    chance = {name: bank.reads(mixed == name) for name in names}
    return {
        "items": bank.size,
        "shared": bank.shared,
        "measure": bank.measure,
        "unread": int((bank.medoids() < 0).sum()),
        "kinds": {
            name: {
                "images": int((kinds == name).sum()),
                "left": float(left[kinds == name].mean()),
                "used": float(np.mean([2 ** entropy(row) for row in reads[name]])),
            }
            for name in names
        },
        "kind_bits": shared_bits(reads),
        "kind_bits_chance": shared_bits(chance),
    }


def shared_bits(reads: dict[str, np.ndarray]) -> float:
    """Bits that item and kind share at a position, mean over positions, kinds equally frequent; from kind -> P x M
    shares."""
    joint = np.stack(list(reads.values()))
    return float(np.mean([mutual_information(joint[:, p]) for p in range(joint.shape[1])]))
