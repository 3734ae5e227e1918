"""What waits together is sent together: operations gather while earlier ones are with the database.

The first operation of an idle lane starts a task, which runs at the end of the event loop's iteration and so takes all
operations of that iteration. While it waits for the database, the next batch gathers.

The tasks belong to the engine and not to its callers: cancelling a caller cancels no statement. asyncpg would send a
cancel request to the server, and a COMMIT that waits for its standby then reports success without the standby.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from docstore.engines.shared.fs import copy_error
from docstore.errors import EngineError, StorageUnavailable

BATCH_COUNT_LIMIT: Final = 256
BATCH_SIZE_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of content in a batch, after which it takes no more operations."""
WAITING_LIMIT: Final = 10_000
"""The most waiting operations; a server's limit on connections is usually lower."""


_R = TypeVar("_R")
_log: Final = logging.getLogger(__name__)


@dataclass(slots=True, eq=False, kw_only=True)
class BatchedCall(Generic[_R]):
    """What a caller waits for."""

    key: str
    size: int = 0
    """Bytes of content that it sends."""
    future: asyncio.Future[_R] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def complete(self, result: _R) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


_T = TypeVar("_T", bound=BatchedCall[Any])


class Batcher(Generic[_T]):
    """Runs `run(batch)` for operations that are added, with at most `lanes` batches at a time."""

    def __init__(self, run: Callable[[list[_T]], Awaitable[None]], *, lanes: int) -> None:
        """`run` completes each operation; those that it has not completed when it raises get its error."""
        self._run = run
        self._lanes = lanes
        self._waiting: deque[_T] = deque()
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def add(self, operation: _T) -> None:
        """Raise StorageUnavailable when the engine is closed or too many operations wait."""
        if self._closed or len(self._waiting) >= WAITING_LIMIT:
            raise StorageUnavailable("the store is closed" if self._closed else "too many operations wait")
        self._waiting.append(operation)
        if self._running < self._lanes:
            self._running += 1
            task = asyncio.get_running_loop().create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Complete all operations that were added."""
        self._closed = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._run_batch(self._take())
        finally:
            # Nothing awaits between the last check and this: what is added from now on has a new task.
            self._running -= 1

    async def _run_batch(self, batch: list[_T]) -> None:
        try:
            await self._run(batch)
        except EngineError as error:
            for operation in batch:
                operation.fail(copy_error(error))
        except BaseException as error:
            for operation in batch:  # no caller may wait forever
                operation.fail(EngineError(repr(error)))
            if not isinstance(error, Exception):
                raise
            _log.exception("a batch of operations failed")

    def _take(self) -> list[_T]:
        batch: list[_T] = []
        size = 0
        while self._waiting and len(batch) < BATCH_COUNT_LIMIT and size < BATCH_SIZE_LIMIT:
            batch.append(self._waiting.popleft())
            size += batch[-1].size
        return batch
