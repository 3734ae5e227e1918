"""Writes in batches: one round trip and one COMMIT for all that wait together.

All statements of a batch are one transaction, which the server commits before it answers. They run in the order of
their keys, so that two processes lock rows in the same order. If one statement fails, nothing of the batch is applied,
and each write runs again alone.

The outcome of a COMMIT is unknown when the connection is lost, when the answer does not arrive within COMMIT_TIMEOUT_S,
or when the server warns that it stopped waiting for its standbys. Then every write of the batch is OutcomeUnknown.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import asyncpg

from docstore.engines.contract import check_expectation
from docstore.engines.postgresql.asyncpg_errors import (
    ASYNCPG_ERRORS,
    asyncpg_error,
    is_retried,
    is_rolled_back,
    one_line,
)
from docstore.engines.postgresql.batching import BatchedCall
from docstore.engines.postgresql.connections import Pool
from docstore.engines.postgresql.statements import row_meta
from docstore.errors import DocstoreError, EngineError, OutcomeUnknown, StorageUnavailable
from docstore.model import Clock, Expectation

COMMIT_TIMEOUT_S: Final = 30
"""The longest wait for the answer to a batch. A cluster that replaces its leader takes some 10 to 20 seconds."""

COMMIT_ATTEMPTS: Final = 10
"""How often a write runs that other writes of its document prevent."""

_PAUSE_S: Final = 0.05

_T = TypeVar("_T")


@dataclass(slots=True, eq=False, kw_only=True)
class Write(BatchedCall[_T]):
    """A write of one document, and its caller."""

    expect: Expectation
    arguments: Callable[[int], tuple[Any, ...]]
    """The arguments of its statement at a time."""
    result: Callable[[asyncpg.Record, int], _T]
    """The result, from the state that the statement found and the time."""
    needs_row: bool
    """Whether it is complete only when it wrote a row. A deletion that finds no row is complete."""

    def finish(self, found: asyncpg.Record, now_ns: int) -> bool:
        """Complete the caller, from what the statement returned; return False if it must run again."""
        try:
            if not found["done"]:
                current = None if is_absent(found, now_ns) else row_meta(found, self.key)
                check_expectation(self.expect, current)
                if self.needs_row:
                    return False
            self.complete(self.result(found, now_ns))
        except DocstoreError as error:
            self.fail(error)
        return True


def is_absent(found: asyncpg.Record, now_ns: int) -> bool:
    """Return whether the statement found no document, or an expired one."""
    return found["version"] is None or (found["expires_ns"] is not None and found["expires_ns"] <= now_ns)


Batch = list[Write[Any]]


class Writer:
    """Runs batches of one statement."""

    def __init__(self, pool: Pool, clock: Clock, statement: str) -> None:
        self._pool = pool
        self._clock = clock
        self._statement = statement

    async def run(self, batch: Batch) -> None:
        """Complete each write, or raise the EngineError of those that were not completed."""
        waiting = sorted((write for write in batch if not write.future.done()), key=lambda write: write.key)
        failure: EngineError = StorageUnavailable(f"{self._pool.place}: a document is written by too many at once")
        for attempt in range(COMMIT_ATTEMPTS):
            if attempt > 1:
                await asyncio.sleep(random.uniform(0, _PAUSE_S * attempt))  # noqa: S311 - not a secret
            now_ns = self._clock()
            try:
                found = await self._execute([write.arguments(now_ns) for write in waiting])
            except ASYNCPG_ERRORS as error:
                failure = self._failure(error)
                if is_retried(error):
                    continue
                if not is_rolled_back(error) or len(waiting) == 1:
                    raise failure from error
                await self._run_alone(waiting)
                return
            waiting = [write for write, row in zip(waiting, found, strict=True) if not write.finish(row, now_ns)]
            if not waiting:
                return
        raise failure

    async def _run_alone(self, batch: Batch) -> None:
        for write in batch:
            try:
                await self.run([write])
            except EngineError as error:
                write.fail(error)

    async def _execute(self, arguments: list[tuple[Any, ...]]) -> list[asyncpg.Record]:
        """Run the statement for each of `arguments` in one transaction, and return a row for each."""
        async with self._pool.connection(COMMIT_TIMEOUT_S) as connection:
            self._pool.warnings.pop(connection, None)
            found = await connection.fetchmany(self._statement, arguments)
            if warning := self._pool.warnings.pop(connection, None):
                raise OutcomeUnknown(f"{self._pool.place}: {warning}")
            return found

    def _failure(self, error: Exception) -> EngineError:
        if is_rolled_back(error):
            return asyncpg_error(error, self._pool.place)
        return OutcomeUnknown(f"{self._pool.place}: {one_line(error)}")
