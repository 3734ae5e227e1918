"""The engine of `postgresql:` URLs: reads and writes in batches, listings and large content one at a time.

Reads that wait together are one statement too. So a process needs few connections however many clients it has, which
matters to PostgreSQL, where each connection is a process. Only the primary is read: a replica may be behind.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from docstore.content import Content
from docstore.engines.contract import PutRequest
from docstore.engines.postgresql.batching import BatchedCall, Batcher
from docstore.engines.postgresql.connections import Pool
from docstore.engines.postgresql.contents import Contents
from docstore.engines.postgresql.snapshot import PostgresSnapshot, open_snapshot
from docstore.engines.postgresql.statements import (
    Statements,
    document_of,
    expected,
    list_arguments,
    put_arguments,
    row_meta,
)
from docstore.engines.postgresql.writer import Write, Writer, is_absent
from docstore.engines.shared.columns import limit_times
from docstore.model import ANY, Clock, Document, Expectation, Meta, WriteResult

READ_LANES: Final = 2
WRITE_LANES: Final = 2
"""Batches that run at a time: while the database works on one, the next is made from what arrived."""

ORPHANS_PER_SWEEP: Final = 100


@dataclass(slots=True, eq=False, kw_only=True)
class _Read(BatchedCall["asyncpg.Record | None"]):
    with_data: bool


class Postgres:
    """The documents in the tables of one prefix. Used by one event loop."""

    def __init__(self, pool: Pool, statements: Statements, clock: Clock) -> None:
        self._pool = pool
        self._statements = statements
        self._clock = clock
        self._contents = Contents(pool, statements)
        self._reads = Batcher(self._read, lanes=READ_LANES)
        self._puts = self._batcher(statements.put, WRITE_LANES)
        self._large_puts = self._batcher(statements.put_large, 1)
        self._deletions = self._batcher(statements.delete, 1)

    def _batcher(self, statement: str, lanes: int) -> Batcher[Write[Any]]:
        return Batcher(Writer(self._pool, self._clock, statement).run, lanes=lanes)

    async def get(self, key: str) -> Document | None:
        row = await self._row(key, with_data=True)
        return None if row is None else document_of(row, self._content)

    async def head(self, key: str) -> Meta | None:
        row = await self._row(key, with_data=False)
        return None if row is None else row_meta(row, key)

    async def _row(self, key: str, *, with_data: bool) -> asyncpg.Record | None:
        read = _Read(key=key, with_data=with_data)
        self._reads.add(read)
        row = await read.future
        return None if row is None or is_absent(row, self._clock()) else row

    async def _read(self, batch: list[_Read]) -> None:
        keys = {read.key for read in batch}
        with_data = {read.key for read in batch if read.with_data}
        rows = {row[0]: row for row in await self._pool.fetch(self._statements.read, keys, with_data)}
        for read in batch:
            read.complete(rows.get(read.key))

    def _content(self, row: asyncpg.Record) -> Content:
        return self._contents.open(row["content"], row["size"])

    async def put(self, request: PutRequest) -> WriteResult:
        received = await self._contents.receive(request.upload)
        content = received.content and received.content.id
        # The statement has the meta of its time, and the result the same.
        meta: Meta

        def arguments(now_ns: int) -> tuple[Any, ...]:
            nonlocal meta
            meta = limit_times(request.meta(received.digest, received.size, now_ns))
            values = (*put_arguments(request, meta, now_ns), content, received.data)
            return values if content is None else (*values, received.chunks)

        def result(found: asyncpg.Record, now_ns: int) -> WriteResult:
            return WriteResult(meta, created=is_absent(found, now_ns))

        size = 0 if received.data is None else len(received.data)
        write = Write(
            key=request.key, size=size, expect=request.expect, arguments=arguments, result=result, needs_row=True
        )
        (self._puts if content is None else self._large_puts).add(write)
        return await write.future

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        def arguments(now_ns: int) -> tuple[Any, ...]:
            return key, expected(expect), now_ns

        def result(found: asyncpg.Record, now_ns: int) -> Meta | None:
            return None if is_absent(found, now_ns) else row_meta(found, key)

        write = Write(key=key, expect=expect, arguments=arguments, result=result, needs_row=False)
        self._deletions.add(write)
        return await write.future

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        arguments = list_arguments(prefix, after, self._clock(), limit)
        return [row_meta(row, row[0]) for row in await self._pool.fetch(self._statements.list, *arguments)]

    async def sweep(self, *, limit: int = 1000) -> int:
        [(removed,)] = await self._pool.fetch(self._statements.sweep, self._clock(), limit)
        await self._contents.collect(ORPHANS_PER_SWEEP)
        return int(removed)

    async def probe(self) -> None:
        await self._pool.fetch(self._statements.probe)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[PostgresSnapshot]:
        self._contents.snapshots += 1
        self._contents.extend()
        try:
            async with open_snapshot(self._pool, self._statements, self._clock(), self._content) as snapshot:
                yield snapshot
        finally:
            self._contents.snapshots -= 1

    async def close(self) -> None:
        for batcher in (self._puts, self._large_puts, self._deletions, self._reads):
            await batcher.close()
        await self._contents.close()
        await self._pool.close()
