"""Remedies for a collapsed memory: k-means start and re-seeding; temperature is in test_parity.py."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mnad.config import OptimConfig
from mnad.model.memory import Memory
from mnad.model.mnad import MNAD
from mnad.training.loop import train
from mnad.training.remedies import kmeans_items, reseed_dead, start_from_queries


class Noise:
    """A source of eight small images."""

    def __init__(self) -> None:
        self.x = torch.rand(8, 3, 8, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def __len__(self) -> int:
        return len(self.x)

    def inputs(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        return self.x[indices], self.x[indices]


def small_model(items: int = 4) -> MNAD:
    torch.manual_seed(0)
    return MNAD(width=2, items=items, item_dim=4)


def config(**changes: object) -> OptimConfig:
    return OptimConfig(epochs=2, batch_size=4, device="cpu", **changes)


def test_kmeans_finds_the_clusters() -> None:
    centres = F.normalize(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0.2, -1]]), dim=1)
    noise = 0.01 * torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    queries = F.normalize(centres.repeat(100, 1) + noise, dim=1)
    items = kmeans_items(queries, 3, seed=0)
    similarity = items @ centres.T
    assert items.dtype == queries.dtype and similarity.argmax(dim=1).unique().numel() == 3
    assert similarity.amax(dim=1).min() > 0.999
    torch.testing.assert_close(items.norm(dim=1), torch.ones(3))


def test_kmeans_start_leaves_no_item_dead() -> None:
    model = small_model()
    model.memory.update(F.normalize(torch.tensor([[1.0, 0, 0, 0]] * 3 + [[-1.0, 0, 0, 0]]), dim=1))  # twins are dead
    source = Noise()
    start_from_queries(model, source, 4, seed=0)
    used = model.train()(source.x).attention.argmax(dim=1).unique()
    assert used.numel() == 4


def test_reseed_moves_dead_items_only_and_onto_far_queries() -> None:
    memory = Memory(4, 2)
    angles = torch.tensor([0.0, 0.1, 3.0, 3.1])
    items = torch.stack((angles.cos(), angles.sin()), dim=1)
    memory.update(items)
    angles = torch.tensor([0.0, 0.2, 1.5, -2.0])
    queries = torch.stack((angles.cos(), angles.sin()), dim=1)
    assert reseed_dead(memory, torch.tensor([5, 0, 0, 7]), queries) == 2
    # live: 0.0 and 3.1. Query 1.5 is 1.5 and 1.6 away, query -2.0 is 2.0 and 1.18 away: 1.5 first, then -2.0.
    torch.testing.assert_close(memory.items, torch.stack((items[0], queries[2], queries[3], items[3])))
    assert reseed_dead(memory, torch.tensor([1, 1, 1, 1]), queries) == 0


@pytest.mark.parametrize("remedy", [{}, {"memory_start": "kmeans"}, {"reseed_dead": True}])
def test_training_with_and_without_remedies(tmp_path: Path, remedy: dict[str, object]) -> None:
    """Items that start opposite to the queries are dead, and the faithful rule never moves them."""
    items, dead = {}, {}
    for name, changes in {"faithful": {}, "remedy": remedy}.items():
        model, source = small_model(), Noise()
        with torch.no_grad():
            towards = model.train()(source.x).queries.flatten(0, 2).mean(dim=0)
        away = F.normalize(torch.eye(4)[:3] * 0.01 - towards, dim=1)
        model.memory.update(torch.cat((F.normalize(towards[None], dim=1), away)))
        (tmp_path / name).mkdir()
        train(model, source, source, config(**changes), 0, tmp_path / name)
        items[name] = model.memory.items
        log = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        assert len(log) == 2 and all(0 <= line["usage_entropy"] <= np.log(4) for line in log)
        dead[name] = [line["dead_items"] for line in log]
    assert dead["faithful"][1] > 0
    assert (dead["remedy"][1] < dead["faithful"][1]) == bool(remedy)
    assert torch.equal(items["faithful"], items["remedy"]) == (not remedy)
