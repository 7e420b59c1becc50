"""Work ahead: in order, flat, errors where they belong."""

import threading
import time
from dataclasses import dataclass

import pytest

from mnad.run.ahead import ahead, batched


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_order(workers):
    def work(item):
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(ahead(work, range(20), workers)) == [i * i for i in range(20)]


def test_only_a_few_wait():
    taken = []
    results = ahead(lambda item: item, (taken.append(i) or i for i in range(100)), 2)
    assert [next(results) for _ in range(10)] == list(range(10))
    assert len(taken) <= 10 + 2 * 2 + 1
    results.close()


def test_work_is_done_in_other_threads():
    assert threading.get_ident() not in set(ahead(lambda _: threading.get_ident(), range(8), 2))


def test_an_error_comes_where_its_result_would():
    def work(item):
        if item == 2:
            raise ValueError("two")
        return item

    results = ahead(work, range(5), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)


def test_a_live_item_is_waited_for_before_the_next_is_taken():
    @dataclass
    class Item:
        live: bool = True

    taken = []
    results = ahead(lambda item: item, (taken.append(i) or Item() for i in range(5)), 2)
    next(results)
    assert len(taken) == 1


def test_batched():
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
