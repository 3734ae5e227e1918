"""The batch queue: all writes of a turn of the loop together, and the next batch after their answers."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docstore.engines.sqlite.group_commit import BatchQueue
from tests.engines.sqlite.stores import opened, put, seen_connections

WAITS_S = 30


class Worker:
    """A thread that takes batches, and completes each when the test allows it."""

    def __init__(self, limit: int = 100) -> None:
        self.batches: BatchQueue[int] = BatchQueue(limit)
        self.taken: list[list[int]] = []
        self.taken_one = threading.Semaphore(0)
        self.may_answer = threading.Semaphore(0)
        self.thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        while batch := self.batches.take():
            self.taken.append(batch)
            self.taken_one.release()
            assert self.may_answer.acquire(timeout=WAITS_S)
            self.batches.done()

    def put(self, *items: int) -> None:
        for item in items:
            self.batches.put(item, asyncio.get_running_loop())

    async def takes(self) -> list[int]:
        """The next batch that is taken."""
        assert await asyncio.to_thread(self.taken_one.acquire, timeout=WAITS_S)
        return self.taken[-1]


@contextmanager
def worker(limit: int = 100) -> Iterator[Worker]:
    worker = Worker(limit)
    worker.thread.start()
    try:
        yield worker
    finally:
        worker.batches.end()
        worker.may_answer.release(100)
        worker.thread.join(WAITS_S)
    assert not worker.thread.is_alive()


def test_the_writes_of_one_loop_iteration_are_one_batch_and_later_ones_wait() -> None:
    async def run(worker: Worker) -> None:
        worker.put(1, 2)
        worker.put(3)
        assert await worker.takes() == [1, 2, 3]
        worker.put(4)
        await asyncio.sleep(0)
        worker.put(5)
        await asyncio.sleep(0)
        assert len(worker.taken) == 1
        worker.may_answer.release()
        assert await worker.takes() == [4, 5]

    with worker() as one:
        asyncio.run(run(one))


def test_writes_over_the_limit_of_a_batch_are_the_next_batch() -> None:
    async def run(worker: Worker) -> None:
        worker.put(*range(5))
        for batch in ([0, 1], [2, 3], [4]):
            assert await worker.takes() == batch
            worker.may_answer.release()

    with worker(limit=2) as one:
        asyncio.run(run(one))


def test_writes_that_wait_at_the_close_are_executed() -> None:
    async def run(worker: Worker) -> None:
        worker.put(1)
        assert await worker.takes() == [1]
        worker.put(2)
        worker.batches.end()
        worker.may_answer.release()
        assert await worker.takes() == [2]

    with worker() as one:
        asyncio.run(run(one))


def test_a_loop_closed_before_its_batch_ends_does_not_block_another() -> None:
    async def begin(worker: Worker) -> None:
        worker.put(1)
        await worker.takes()

    async def go_on(worker: Worker) -> None:
        worker.put(2)
        worker.may_answer.release()
        assert await worker.takes() == [2]
        worker.may_answer.release()
        worker.put(3)
        assert await worker.takes() == [3]

    with worker() as one:
        asyncio.run(begin(one))
        asyncio.run(go_on(one))


def test_writes_of_one_loop_iteration_share_one_commit(tmp_path: Path) -> None:
    async def run() -> int:
        commits = 0

        def committed() -> bool:
            nonlocal commits
            commits += 1
            return False

        with seen_connections() as connections:
            async with opened(tmp_path / "docs.db") as engine:
                connections[0].set_commit_hook(committed)
                await asyncio.gather(*(put(engine, f"key{n}") for n in range(50)))
                connections[0].set_commit_hook(None)
        return commits

    assert asyncio.run(run()) == 1
