"""Pictures of many clients judged together: a few threads decode, one computes, and only so many wait."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")
Ready = TypeVar("Ready")
Result = TypeVar("Result")


class Busy(Exception):
    """As many pictures wait as may; ``own`` if they are the asking client's."""

    def __init__(self, own: bool = False) -> None:
        super().__init__()
        self.own = own


@dataclass
class _Job(Generic[Item, Ready, Result]):
    """One picture on its way."""

    item: Item | None  # dropped when it is prepared: it may hold a whole file
    client: str
    weight: int
    ready: Ready | None = None
    future: Future[Result] = field(default_factory=Future)


class Batcher(Generic[Item, Ready, Result]):
    """Turns items into results; those that arrive while a batch is computed make up the next one.

    Args:
        prepare: called for each item, in the decoding threads.
        compute: called in the one computing thread, with what ``prepare`` gave for some items; a result for each.
        batch: weight of the items that are computed at once; one heavier item is a batch of its own.
        waiting: weight of the items that may wait, all clients together.
        per_client: weight of the items of one client that may wait.
        decoders: threads that prepare.
        told: called with the weight of each batch.
    """

    def __init__(
        self,
        prepare: Callable[[Item], Ready],
        compute: Callable[[list[Ready]], Sequence[Result]],
        batch: int = 64,
        waiting: int = 1024,
        per_client: int = 1024,
        decoders: int = 2,
        told: Callable[[int], None] | None = None,
    ) -> None:
        self.prepare, self.compute = prepare, compute
        self.batch, self.waiting, self.per_client = batch, waiting, per_client
        self.weights: Counter[str] = Counter()  # of what waits, by client
        self.told = told
        self.closed = False
        self._lock = threading.Lock()
        self._ready: SimpleQueue[_Job[Item, Ready, Result] | None] = SimpleQueue()
        self._decoders = ThreadPoolExecutor(decoders, "decode")
        self._worker = threading.Thread(target=self._work, name="judge", daemon=True)
        self._worker.start()

    def submit(self, client: str, items: Sequence[Item], weight: int = 1) -> list[Future[Result]]:
        """A future for each of ``items``, each of ``weight``: all are taken, or none. A cancelled one is dropped.

        Raises:
            Busy: too many wait already, or the batcher is closed.
        """
        heavy = weight * len(items)
        with self._lock:
            if self.closed or self.weights.total() + heavy > self.waiting:
                raise Busy
            if self.weights[client] + heavy > self.per_client:
                raise Busy(own=True)
            self.weights[client] += heavy
            jobs = [_Job[Item, Ready, Result](item, client, weight) for item in items]
            for job in jobs:
                self._decoders.submit(self._prepare, job)
        return [job.future for job in jobs]

    def depth(self) -> int:
        """Weight of what waits or is computed."""
        with self._lock:
            return self.weights.total()

    def close(self) -> None:
        """Finish what was taken, take no more, end the threads."""
        with self._lock:
            self.closed = True
        self._decoders.shutdown(wait=True)
        self._ready.put(None)
        self._worker.join()

    def _prepare(self, job: _Job[Item, Ready, Result]) -> None:
        item, job.item = job.item, None
        if not job.future.set_running_or_notify_cancel():  # from here on it cannot be cancelled
            self._release(job)
            return
        try:
            job.ready = self.prepare(item)
        except BaseException as error:  # whoever waits for it is told
            self._release(job)
            job.future.set_exception(error)
        else:
            self._ready.put(job)

    def _work(self) -> None:
        while (job := self._ready.get()) is not None:
            jobs = [job]
            while sum(job.weight for job in jobs) < self.batch:
                try:
                    more = self._ready.get_nowait()
                except Empty:
                    break
                if more is None:
                    self._ready.put(None)  # the last one, seen again when this batch is done
                    break
                jobs.append(more)
            self._finish(jobs)

    def _finish(self, jobs: list[_Job[Item, Ready, Result]]) -> None:
        if self.told is not None:
            self.told(sum(job.weight for job in jobs))
        try:
            results = self.compute([job.ready for job in jobs])
        except BaseException as error:
            for job in jobs:
                self._release(job)
                job.future.set_exception(error)
            return
        for job, result in zip(jobs, results, strict=True):
            self._release(job)
            job.future.set_result(result)

    def _release(self, job: _Job[Item, Ready, Result]) -> None:
        with self._lock:
            self.weights[job.client] -= job.weight
            if self.weights[job.client] <= 0:
                del self.weights[job.client]
