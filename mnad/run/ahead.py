"""Work in a few threads ahead of the one who asks for it, in order and in flat memory."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(work: Callable[[Item], Result], items: Iterable[Item], workers: int, name: str = "work") -> Iterator[Result]:
    """``map(work, items)`` in ``workers`` threads, in order; only a few results wait. 0 workers: in the caller's.

    An item with an attribute ``live`` that is true is waited for at once, and those before it.
    """
    if workers == 0:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(workers, name) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                while waiting and (len(waiting) > 2 * workers or getattr(item, "live", False)):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of ``size`` of ``items``, the last perhaps shorter."""
    rest = iter(items)
    while part := list(itertools.islice(rest, size)):
        yield part
