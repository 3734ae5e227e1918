"""One state of the complete store: a read-only transaction on a connection of its own.

PostgreSQL keeps the rows that the transaction sees, so they take space until it ends, and writers do not wait. Large
content is read outside the transaction, from the chunks, which stay as long as a snapshot is open.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from docstore.content import Content
from docstore.engines.postgresql.asyncpg_errors import ASYNCPG_ERRORS, translate_asyncpg_errors
from docstore.engines.postgresql.connections import READ_TIMEOUT_S, Pool
from docstore.engines.postgresql.schema import Connection
from docstore.engines.postgresql.statements import Statements, document_of, list_arguments, row_meta
from docstore.model import Document, Meta

LONGEST_S: Final = 7 * 86_400
COUNT_TIMEOUT_S: Final = 3600


class PostgresSnapshot:
    """The documents at one instant, and at `now_ns` of the engine's clock."""

    def __init__(
        self,
        connection: Connection,
        place: str,
        statements: Statements,
        now_ns: int,
        content_of: Callable[[asyncpg.Record], Content],
    ) -> None:
        self._connection = connection
        self._place = place
        self._statements = statements
        self._now_ns = now_ns
        self._content_of = content_of
        self._turn = asyncio.Lock()
        self.documents = 0
        self.size = 0

    async def count(self) -> None:
        [(self.documents, self.size)] = await self._fetch(self._statements.count, self._now_ns, limit_s=COUNT_TIMEOUT_S)

    async def _fetch(self, statement: str, *arguments: Any, limit_s: float = READ_TIMEOUT_S) -> list[asyncpg.Record]:
        async with self._turn:
            timer = asyncio.get_running_loop().call_later(limit_s, self._connection.terminate)
            try:
                with translate_asyncpg_errors(self._place):
                    return await self._connection.fetch(statement, *arguments)
            finally:
                timer.cancel()

    async def get(self, key: str) -> Document | None:
        rows = await self._fetch(self._statements.read, [key], [key])
        if not rows or (rows[0]["expires_ns"] is not None and rows[0]["expires_ns"] <= self._now_ns):
            return None
        return document_of(rows[0], self._content_of)

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        rows = await self._fetch(self._statements.list, *list_arguments(prefix, after, self._now_ns, limit))
        return [row_meta(row, row[0]) for row in rows]


@asynccontextmanager
async def open_snapshot(
    pool: Pool, statements: Statements, now_ns: int, content_of: Callable[[asyncpg.Record], Content]
) -> AsyncIterator[PostgresSnapshot]:
    """Open a snapshot. Errors of the caller are raised as they are. Raise EngineError."""
    async with pool.connection(LONGEST_S) as connection:
        with translate_asyncpg_errors(pool.place):
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            snapshot = PostgresSnapshot(connection, pool.place, statements, now_ns, content_of)
            await snapshot.count()
            yield snapshot
        finally:
            try:
                await connection.execute("ROLLBACK")
            except ASYNCPG_ERRORS:
                connection.terminate()
