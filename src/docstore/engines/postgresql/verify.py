"""`docstore check`: each document and its content, contents without a document, and orphans that no sweep removed.

It reads one state of the store, so it may run beside servers.
"""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import asyncpg

from docstore.engines.postgresql.asyncpg_errors import ASYNCPG_ERRORS, one_line, translate_asyncpg_errors
from docstore.engines.postgresql.connections import connect
from docstore.engines.postgresql.opening import Database
from docstore.engines.postgresql.schema import Connection, read_version
from docstore.engines.postgresql.statements import row_meta
from docstore.engines.registry import EngineURL
from docstore.engines.shared.verify import Checked, Finding, fault_of
from docstore.errors import CorruptData, OpenError
from docstore.model import Meta

_PAGE_LENGTH: Final = 100
_CHUNKS_LENGTH: Final = 8

_PAGE: Final = """
SELECT key, version, size, digest, fields, modified_ns, expires_ns, content, data,
    EXISTS (SELECT 1 FROM {o} WHERE {o}.content = {d}.content) AS orphan
FROM {d} WHERE key > $1 ORDER BY key LIMIT $2"""
_CHUNKS: Final = "SELECT number, data FROM {c} WHERE content = $1 AND number >= $2 ORDER BY number LIMIT $3"
_LOST: Final = """
SELECT DISTINCT content FROM {c} WHERE NOT EXISTS (SELECT 1 FROM {d} WHERE {d}.content = {c}.content)
AND NOT EXISTS (SELECT 1 FROM {o} WHERE {o}.content = {c}.content)"""
_LEFT: Final = "SELECT content FROM {o} WHERE keep_until < now() - interval '10 minutes'"
"""Servers sweep more often."""


def check_tables(url: EngineURL, repair: bool) -> Checked:
    """Yield the Meta of each sound document and a Finding for everything else. Raise OpenError without tables."""
    database = Database.parse(url)
    with ThreadPoolExecutor(1) as thread:
        loop = asyncio.new_event_loop()
        checking = _check(database, repair)

        def following() -> Meta | Finding | None:
            return loop.run_until_complete(_next(checking))

        try:
            while (checked := thread.submit(following).result()) is not None:
                yield checked
        finally:
            thread.submit(loop.run_until_complete, checking.aclose()).result()
            loop.close()


async def _next(checking: AsyncIterator[Meta | Finding]) -> Meta | Finding | None:
    return await anext(checking, None)


async def _check(database: Database, repair: bool) -> AsyncGenerator[Meta | Finding, None]:
    try:
        connection = await connect(database.urls)
    except (*ASYNCPG_ERRORS, ValueError) as error:
        raise OpenError(f"cannot open {database.place}: {one_line(error)}") from error
    try:
        with translate_asyncpg_errors(database.place):
            if await read_version(connection, database.prefix) is None:
                raise OpenError(f"{database.place}: there are no tables {database.prefix}_*")
            tables = _Tables(connection, database.prefix)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                async for checked in tables.documents():
                    yield checked
                orphans = [(id, why) async for id, why in tables.orphans()]
            for id, why in orphans:
                if repair:
                    await tables.remove(id)
                yield Finding(f"{database.place}: content {id}", why, orphan=True, removed=repair)
    finally:
        await connection.close(timeout=1)


class _Tables:
    """The tables of one prefix, in one transaction."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._connection = connection
        self._names = {"d": f"{prefix}_documents", "c": f"{prefix}_chunks", "o": f"{prefix}_orphans"}

    async def _fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        return await self._connection.fetch(statement.format(**self._names), *arguments)

    async def documents(self) -> AsyncIterator[Meta | Finding]:
        after = ""
        while rows := await self._fetch(_PAGE, after, _PAGE_LENGTH):
            for row in rows:
                after = row["key"]
                try:
                    meta = row_meta(row, after)
                    digest, size = await self._digest(row)
                    fault = "its content is an orphan too" if row["orphan"] else fault_of(meta, digest, size)
                except CorruptData as error:
                    fault = str(error)
                yield meta if fault is None else Finding(repr(after), fault)

    async def _digest(self, row: asyncpg.Record) -> tuple[bytes, int]:
        if row["content"] is None:
            return hashlib.sha256(row["data"]).digest(), len(row["data"])
        state, size, number = hashlib.sha256(), 0, 0
        while chunks := await self._fetch(_CHUNKS, row["content"], number, _CHUNKS_LENGTH):
            for found, data in chunks:
                if found != number:
                    raise CorruptData(f"chunk {number} of its content is missing")
                state.update(data)
                size += len(data)
                number += 1
        return state.digest(), size

    async def orphans(self) -> AsyncIterator[tuple[uuid.UUID, str]]:
        for (id,) in await self._fetch(_LOST):
            yield id, "no document refers to these chunks"
        for (id,) in await self._fetch(_LEFT):
            yield id, "no document refers to this content, and no sweep removed it"

    async def remove(self, id: uuid.UUID) -> None:
        await self._fetch(
            "DELETE FROM {c} WHERE content = $1 AND NOT EXISTS (SELECT 1 FROM {d} WHERE content = $1)", id
        )
        await self._fetch("DELETE FROM {o} WHERE content = $1", id)
