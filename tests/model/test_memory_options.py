"""The options of the one memory that are ours, each against a slow loop, and the stages after the epochs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mnad.config import ModelConfig, OptimConfig
from mnad.data.images import Images
from mnad.model.build import build_model
from mnad.model.memory import Memory
from mnad.model.mnad import MNAD
from mnad.run import UserError
from mnad.training.finish import exact_items, exact_statistics, features_of, queries_of
from mnad.training.loop import train
from mnad.training.remedies import start_at_random_queries

SIZE, POSITIONS = (8, 16), 8  # of the tiny pictures; 2 x 4 positions at stride 4
OURS = {
    "encoder": "local",
    "query": "standardised",
    "scope": "position",
    "addressing": "hard",
    "sees": "read",
    "update": "ema",
}


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def memory(groups: int = 3, **options: object) -> Memory:
    torch.manual_seed(0)
    found = Memory(4, 5, groups=groups, **options).double()
    found.items.copy_(noise(groups * 4, 5, seed=2) if not found.unit else F.normalize(noise(groups * 4, 5), dim=1))
    return found


def model(**changes: object) -> MNAD:
    torch.manual_seed(0)
    return build_model(ModelConfig(width=2, items=3, item_dim=4, **{**OURS, **changes}), SIZE)


def pictures(count: int = 12) -> Images:
    return Images(list(np.random.default_rng(0).integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)), SIZE)


def slow_scores(of: Memory, queries: Tensor) -> list[list[float]]:
    size, rows = len(of.items) // of.groups, []
    for k, query in enumerate(queries):
        own = of.items[k % of.groups * size :][:size]
        rows.append([float(query @ p if of.unit else -(query - p).square().mean()) for p in own])
    return rows


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("unit", [True, False])
def test_scores_and_nearest_item_of_the_own_position(groups: int, unit: bool) -> None:
    of, queries = memory(groups, unit=unit), noise(6, 5, seed=3)
    expected = slow_scores(of, queries)
    torch.testing.assert_close(of.compare(queries), torch.tensor(expected, dtype=torch.float64))
    best = [int(np.argmax(row)) + 4 * (k % groups) for k, row in enumerate(expected)]
    assert of.nearest(of.compare(queries)).tolist() == best


@pytest.mark.parametrize("addressing", ["soft", "hard"])
def test_read_of_the_own_position(addressing: str) -> None:
    of, queries = memory(addressing=addressing, unit=False), noise(6, 5, seed=3)
    read, attention, score = of.read(queries)
    for k in range(6):
        own = of.items[4 * (k % 3) :][:4]
        weights = torch.softmax(score[k], 0) if addressing == "soft" else F.one_hot(score[k].argmax(), 4).double()
        torch.testing.assert_close(attention[k], weights)
        torch.testing.assert_close(read[k], weights @ own)


def test_official_rules_hold_within_each_position() -> None:
    together, queries = memory(), F.normalize(noise(12, 5, seed=3), dim=1)
    score = together.compare(queries)
    updated, each = together.updated(queries, score), []
    for g in range(3):
        alone = Memory(4, 5).double()
        alone.items.copy_(together.items[4 * g :][:4])
        each.append(alone.updated(queries[g::3], alone.compare(queries[g::3])))
        torch.testing.assert_close(alone.read(queries[g::3]).read, together.read(queries).read[g::3])
    torch.testing.assert_close(updated, torch.cat(each))


@pytest.mark.parametrize("unit", [True, False])
def test_running_means_against_a_loop(unit: bool) -> None:
    of, queries = memory(unit=unit, update_rule="ema"), noise(30, 5, seed=3)
    of.support.copy_(torch.linspace(0.2, 1.5, 12))  # nothing moves
    items, support = of.averaged(queries, of.compare(queries))
    rows = of.nearest(of.compare(queries)).tolist()
    for m in range(12):
        mine = [queries[k] for k in range(30) if rows[k] == m]
        n, total = len(mine) * 4 / 10, sum(mine, torch.zeros(5, dtype=torch.float64)) * 4 / 10  # M / K of a position
        expected = 0.98 * of.support[m] + 0.02 * n
        mean = (0.98 * of.support[m] * of.items[m] + 0.02 * total) / expected
        torch.testing.assert_close(support[m], expected)
        torch.testing.assert_close(items[m], F.normalize(mean, dim=0) if unit else mean)


def test_an_item_without_support_moves_onto_a_far_query_of_its_position() -> None:
    of, queries = memory(unit=False, update_rule="ema"), noise(30, 5, seed=3)
    of.support[:4] = torch.tensor([0.05, 0.01, 1, 1])  # the least of position 0 moves, nothing else
    queries[9] = 1e6  # 9 % 3 = 0: far, so the draw is certain
    items, support = of.averaged(queries, of.compare(queries))
    torch.testing.assert_close(items[1], queries[9])
    assert support[1] == 0.5 and support[0] < 0.1
    again, _ = of.averaged(queries, of.compare(queries))
    assert torch.equal(items, again)  # the draw depends on the state alone


def test_feature_distance_in_units_of_the_variances() -> None:
    of, queries = memory(unit=False, update_rule="ema").eval(), noise(6, 5, seed=3)
    of.variance.copy_(noise(12, 5, seed=4).square() + 0.1)
    found = of.squared_distance(queries, of.compare(queries))
    for k in range(6):
        own = range(4 * (k % 3), 4 * (k % 3) + 4)
        expected = min(float(((queries[k] - of.items[m]).square() / of.variance[m]).mean()) for m in own)
        assert found[k] == pytest.approx(expected)


def test_queries_are_standardised_at_each_position() -> None:
    net = model()
    features = noise(6, 4, 2, 4).float()
    queries = net.train().query(features)
    for row, column, channel in ((0, 0, 0), (1, 3, 2)):
        values = features[:, channel, row, column]
        expected = (values - values.mean()) / (values.var(unbiased=False) + 1e-5).sqrt()
        torch.testing.assert_close(queries[:, row, column, channel], expected)


def test_a_local_query_sees_twelve_pixels() -> None:
    torch.manual_seed(0)
    net = build_model(ModelConfig(width=8, items=3, item_dim=4, encoder="local")).eval()
    assert net.stride == 4
    x = noise(1, 3, 32, 48).float().requires_grad_()
    net.encoder(x)[0][0, :, 4, 6].sum().backward()
    rows, columns = torch.nonzero(x.grad[0].abs().sum(0)).unbind(1)
    assert int(rows.max() - rows.min()) < 12 and int(columns.max() - columns.min()) < 12
    assert rows.min() >= 12 and rows.max() <= 23  # around the cell 16 to 19


@pytest.mark.parametrize("sees", ["both", "read", "query"])
def test_what_the_decoder_sees(sees: str) -> None:
    net, x = model(sees=sees).eval(), pictures(2).inputs(np.arange(2))[0]
    before = net(x).output
    net.memory.update(net.memory.items + 1)
    assert torch.equal(net(x).output, before) == (sees == "query")
    queries, read = noise(2, 2, 4, 4).float().requires_grad_(), noise(2, 2, 4, 4, seed=5).float()
    seen = net.seen(queries, read)
    expected = {"both": torch.cat((queries, read), -1), "read": read, "query": queries}[sees]
    assert torch.equal(seen, expected.permute(0, 3, 1, 2))
    seen.sum().backward()  # straight through where the decoder sees the read alone
    assert torch.equal(queries.grad, torch.ones_like(queries))


def test_start_at_queries_of_the_own_position() -> None:
    net, source = model(), pictures()
    start_at_random_queries(net, source, 12, seed=0)
    net.standardise.norm.reset_running_stats()
    queries = net.train()(source.inputs(np.arange(12))[0]).queries.flatten(1, 2)
    for m, item in enumerate(net.memory.items):
        assert (queries[:, m // 3] - item).square().mean(dim=1).min() < 1e-8


def test_exact_statistics_and_items_against_a_loop() -> None:
    net, source = model(), pictures()
    start_at_random_queries(net, source, 12, seed=0)
    exact_statistics(net, source)
    features = features_of(net, source)
    queries = queries_of(net, source)
    torch.testing.assert_close(queries.mean(0), torch.zeros(2, 4, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        queries[3, 1, 2], (features[3, 1, 2] - features[:, 1, 2].mean(0)) / (features[:, 1, 2].var(0) + 1e-5).sqrt()
    )
    items = net.memory.items.clone()
    exact_items(net.memory, queries, steps=2)
    for g in range(POSITIONS):
        own, centres = queries.flatten(1, 2)[:, g], items[3 * g :][:3].clone()
        for _ in range(2):
            rows = torch.cdist(own, centres).argmin(1)
            centres = torch.stack([own[rows == m].mean(0) if (rows == m).any() else centres[m] for m in range(3)])
        torch.testing.assert_close(net.memory.items[3 * g :][:3], centres, atol=1e-4, rtol=1e-4)
        rows = torch.cdist(own, centres).argmin(1)
        pooled = (own - centres[rows]).square().mean(0)
        for m in range(3):
            mine = (own[rows == m] - centres[m]).square().sum(0)
            expected = ((mine + 50 * pooled) / ((rows == m).sum() + 50)).clamp_min(1e-3)
            torch.testing.assert_close(net.memory.variance[3 * g + m], expected, atol=1e-4, rtol=1e-3)


def options(**changes: object) -> OptimConfig:
    stages = ["statistics", "items", "decoder"]
    given = {"epochs": 2, "batch_size": 4, "device": "cpu", "memory_start": "queries", "finish": stages}
    return OptimConfig(**{**given, **changes})


def test_stages_leave_encoder_and_items_to_the_decoder_and_resume_gives_the_same(tmp_path: Path) -> None:
    source, (whole, halves) = pictures(), (tmp_path / "whole", tmp_path / "halves")
    whole.mkdir()
    halves.mkdir()
    net = model()
    train(net, source, source, options(), 0, whole)
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3] and lines[2]["stage"] == "decoder"
    without = model()
    train(without, source, source, options(finish=["statistics", "items"]), 0, halves)
    same = {name: torch.equal(value, without.state_dict()[name]) for name, value in net.state_dict().items()}
    assert all(equal for name, equal in same.items() if not name.startswith("decoder."))
    assert not same["decoder.body.0.weight"] and not same["decoder.body.1.running_mean"]
    again = model()
    train(again, source, source, options(), 0, halves, resume=True)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in net.state_dict().items())
    assert len((halves / "log.jsonl").read_text().splitlines()) == 3
    assert all(parameter.requires_grad for parameter in again.parameters())


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    for changes, message in (
        ({"variant": "pred", "encoder": "local"}, "model.encoder: local has no maps for the skips of variant pred"),
        ({"query": "standardised"}, "model.update: official brings items to unit norm; expected ema"),
    ):
        with pytest.raises(UserError, match=message):
            ModelConfig(**changes)
    with pytest.raises(ValueError, match="size: expected"):
        MNAD(scope="position")
    with pytest.raises(ValueError, match=r"input: expected H x W of \(8, 16\)"):
        model()(torch.zeros(1, 3, 16, 16))
    plain = MNAD(width=2, items=3, item_dim=4)
    with pytest.raises(UserError, match=r"optim.finish: statistics needs model.query standardised; expected that"):
        train(plain, pictures(), pictures(), options(memory_start="random"), 0, tmp_path)
