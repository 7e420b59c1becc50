"""Pictures of many clients judged together: batches, bounds, errors, the end."""

import threading

import pytest

from mnad.line.batching import Batcher, Busy


class Gate:
    """Computes squares, when it is let."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.started = threading.Event()
        self.batches: list[list[int]] = []

    def compute(self, values: list[int]) -> list[int]:
        self.started.set()
        assert self.open.wait(10)
        self.batches.append(values)
        return [value * value for value in values]


@pytest.fixture
def gate():
    return Gate()


def make(gate: Gate, **options) -> Batcher:
    return Batcher(lambda item: item + 1, gate.compute, decoders=1, **options)


def test_what_arrives_during_a_batch_is_the_next_one_across_clients(gate):
    told = []
    batcher = make(gate, batch=4, told=told.append)
    futures = batcher.submit("a", [0])
    assert gate.started.wait(10)
    for client, items in (("b", [1, 2]), ("a", [3]), ("c", [4, 5])):
        futures += batcher.submit(client, items)
    assert batcher.depth() == 6
    gate.open.set()
    batcher.close()
    assert [future.result() for future in futures] == [1, 4, 9, 16, 25, 36]
    assert gate.batches == [[1], [2, 3, 4, 5], [6]] and told == [1, 4, 1]
    assert batcher.depth() == 0 and not batcher.weights


def test_bounds_take_all_of_a_request_or_nothing(gate):
    batcher = make(gate, waiting=10, per_client=6)
    batcher.submit("a", [0, 1], weight=3)
    with pytest.raises(Busy) as own:
        batcher.submit("a", [2])
    with pytest.raises(Busy) as full:
        batcher.submit("b", [3, 4, 5, 6, 7])
    assert own.value.own and not full.value.own
    last = batcher.submit("b", [3, 4, 5, 6])
    gate.open.set()
    batcher.close()
    assert [future.result() for future in last] == [16, 25, 36, 49]
    with pytest.raises(Busy):
        batcher.submit("a", [1])


def test_errors_reach_those_who_wait_and_nobody_else():
    def prepare(item: int) -> int:
        if item < 0:
            raise ValueError("below 0")
        return item

    def compute(values: list[int]) -> list[int]:
        if 13 in values:
            raise RuntimeError("13")
        return values

    batcher = Batcher(prepare, compute, batch=1)
    futures = batcher.submit("a", [1, -1, 13, 2])
    batcher.close()
    assert [type(future.exception()) for future in futures] == [type(None), ValueError, RuntimeError, type(None)]
    assert batcher.depth() == 0


def test_cancelled_ones_are_dropped_and_make_room(gate):
    held = threading.Event()
    batcher = Batcher(lambda item: held.wait(10) and item, gate.compute, decoders=1)
    first, second = batcher.submit("a", [1, 2])
    assert second.cancel()
    held.set()
    gate.open.set()
    batcher.close()
    assert first.result() == 1 and gate.batches == [[1]] and batcher.depth() == 0
