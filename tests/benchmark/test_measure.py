"""Clocks, the peak, and the pieces of a step."""

import itertools
import time

import pytest
import torch

from mnad.benchmark.config import BenchmarkConfig, TrainBenchmark
from mnad.benchmark.measure import Spread, Stopwatch, matmul_peak, peak_memory
from mnad.benchmark.training import Noise, Ours, Repeated, gflop
from mnad.config import ModelConfig
from mnad.model.clock import in_turn
from mnad.run import UserError

CPU = torch.device("cpu")
TINY = ModelConfig(width=2, items=3, item_dim=4)


def test_spread_is_median_and_extremes():
    assert Spread.of([3.0, 1.0, 10.0, 2.0]) == Spread(2.5, 1.0, 10.0)


def test_contenders_take_turns():
    called = []
    seconds = in_turn({name: lambda n=name: called.append(n) or len(called) for name in "ab"}, 2)
    assert called == ["a", "b", "a", "b"] and seconds == {"a": [1, 3], "b": [2, 4]}


def test_peak_counts_two_operations_for_each_product(monkeypatch):
    monkeypatch.setattr("mnad.benchmark.measure.PEAK_SIZE", 100)
    monkeypatch.setattr("mnad.benchmark.measure.PEAK_SECONDS", 0.0)
    clock = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock) / 100)
    assert matmul_peak(torch.float32, CPU) == pytest.approx(2e6 / 0.01 / 1e9)


def test_peak_memory_sees_what_was_freed_again():
    with peak_memory(CPU) as found:
        torch.ones(50_000_000 // 4)
    if found[0] is None:
        pytest.skip("no high-water mark on this system")
    assert 45 < found[0] < 80


def test_stopwatch_adds_and_passes_over_what_never_began():
    watch = Stopwatch(CPU)
    for _ in range(2):
        watch.begin("a")
        time.sleep(0.01)
        watch.end("a")
    watch.end("b")
    assert list(watch.seconds) == ["a"] and 0.02 <= watch.seconds["a"] < 10


def test_work_of_a_step_counted_by_hand():
    """Forward: convolutions 2 x 9 x in x out x pixels; backward twice that but for the input of the first."""
    config = TrainBenchmark(model=TINY, height=8, width=8, batch_size=2, steps=1)
    ours = Ours(config, Noise(2, 1, 8, 8), "float32", CPU)
    w, c = 2, 4
    convolutions = [(3, w, 64), (w, w, 64), (w, 2 * w, 16), (2 * w, 2 * w, 16), (2 * w, 4 * w, 4), (4 * w, 4 * w, 4)]
    convolutions += [(4 * w, 8 * w, 1), (8 * w, c, 1)]
    convolutions += [(2 * c, 8 * w, 1), (8 * w, 8 * w, 1), (8 * w, 8 * w, 1)]  # the last one transposed, by its input
    convolutions += [(8 * w, 4 * w, 4), (4 * w, 4 * w, 4), (4 * w, 4 * w, 4)]
    convolutions += [(4 * w, 2 * w, 16), (2 * w, 2 * w, 16), (2 * w, 2 * w, 16)]
    convolutions += [(2 * w, w, 64), (w, w, 64), (w, 3, 64)]
    forward = sum(18 * a * b * pixels for a, b, pixels in convolutions)
    first = 18 * 3 * w * 64
    memory = 2 * 3 * c  # a product of queries and items: scores, read, update; scores have no gradient
    assert gflop(ours) * 1e9 == pytest.approx(3 * forward - first + 3 * memory)


def test_pieces_sum_to_the_step():
    config = TrainBenchmark(model=TINY, height=8, width=8, batch_size=2, steps=2)
    pieces = Ours(config, Noise(2, 1, 8, 8), "float32", CPU).pieces()
    total = pieces.pop("total")
    assert sum(pieces.values()) == pytest.approx(total) and all(value > 0 for value in pieces.values())


def test_short_source_begins_again():
    noise = Noise(3, 5, 8, 8)
    x, target = Repeated(noise, 7).inputs(torch.tensor([6, 1]).numpy())
    again, _ = noise.inputs(torch.tensor([0, 1]).numpy())
    assert x.shape == (2, 12, 8, 8) and target.shape == (2, 3, 8, 8) and torch.equal(x, again)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BenchmarkConfig(parts=["traning"]), "'traning': expected some of train, score, growth, or all"),
        (lambda: TrainBenchmark(height=20), "train.height: expected a positive multiple of 8, got 20"),
        (lambda: TrainBenchmark(rounds=0), "train.rounds: expected at least 1, got 0"),
        (lambda: TrainBenchmark(precisions=[]), "train.precisions: expected float32, bfloat16 or both, got []"),
        (lambda: TrainBenchmark(model=ModelConfig(addressing="hard")), "train.model: expected the official one"),
        (lambda: BenchmarkConfig(threads=-1), "threads: expected 0 or more, got -1"),
    ],
)
def test_bad_options(make, message):
    with pytest.raises(UserError) as error:
        make()
    assert str(error.value).startswith(message)
