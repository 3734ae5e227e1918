"""Content too large for a row: rows of chunks under an immutable id, and when they are removed.

A content without a document is an orphan: an upload in progress, or what a replacement or deletion left for readers. An
orphan is kept until a time, which the processes that still read or upload it extend. So a process that is killed leaves
nothing for longer than KEEP_S, and no process has to know of another. A sweep removes orphans whose time is over.

Rejected: a transaction for each reader, which would keep the database from removing old rows, and a connection for
each, which a slow reader would occupy.
"""

import asyncio
import hashlib
import logging
import uuid
from collections.abc import AsyncIterator
from typing import Final
from weakref import WeakSet

import asyncpg

from docstore.content import BytesContent, Stream, Upload
from docstore.engines.postgresql.asyncpg_errors import ASYNCPG_ERRORS, asyncpg_error
from docstore.engines.postgresql.connections import Pool
from docstore.engines.postgresql.statements import KEEP_S, Statements
from docstore.errors import CorruptData, EngineError, StorageUnavailable
from docstore.frozen import frozen_dataclass

ROW_LIMIT: Final = 64 * 1024
"""Bytes of content that is stored in the row of its document."""
ROW_SIZE: Final = 256 * 1024
"""Bytes of content in each row of a large content, except the last."""
EXTENSION_INTERVAL_S: Final = KEEP_S / 4
REMOVED_CHUNKS: Final = 400
"""Chunks removed by one statement, 100 MiB."""

_log: Final = logging.getLogger(__name__)


class ChunkedContent:
    """A content that this process reads or uploads; it is kept as long as something refers to this object."""

    __slots__ = ("__weakref__", "_contents", "id")

    def __init__(self, contents: "Contents", id: uuid.UUID) -> None:
        self.id = id
        self._contents = contents

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to, not including, `stop`."""
        for number in range(start // ROW_SIZE, -(-stop // ROW_SIZE)):
            first = number * ROW_SIZE
            yield await self._contents.read_chunk(self.id, number, max(start - first, 0), min(stop - first, ROW_SIZE))


@frozen_dataclass(frozen=True, slots=True)
class ReceivedUpload:
    """A complete upload: in `data` if it was small, else in `chunks` rows of `content`; never both."""

    digest: bytes
    size: int
    data: bytes | None
    content: ChunkedContent | None
    chunks: int


class Contents:
    """The large contents of an engine."""

    def __init__(self, pool: Pool, statements: Statements) -> None:
        self._pool = pool
        self._statements = statements
        self._used: WeakSet[ChunkedContent] = WeakSet()
        self._extending: asyncio.Task[None] | None = None
        self.snapshots: int = 0
        """The number of open snapshots, for which all orphans are kept."""

    def open(self, id: uuid.UUID, size: int) -> Stream:
        """Return the content of a document that was just read."""
        return Stream(self.use(id).read, 0, size)

    def use(self, id: uuid.UUID) -> ChunkedContent:
        content = ChunkedContent(self, id)
        self._used.add(content)
        self.extend()
        return content

    def extend(self) -> None:
        """Extend the time of what is used until nothing is."""
        if self._extending is None or self._extending.done():
            self._extending = asyncio.get_running_loop().create_task(self._extend())

    async def receive(self, upload: Upload) -> ReceivedUpload:
        """Receive `upload`: up to ROW_LIMIT bytes into memory, more into new rows.

        Raise what iterating the upload raises, and EngineError. Rows that were written are then removed by a sweep.
        """
        if isinstance(upload, BytesContent) and upload.size <= ROW_LIMIT:
            return ReceivedUpload(hashlib.sha256(upload.data).digest(), upload.size, upload.data, None, 0)
        state, size, waiting = hashlib.sha256(), 0, bytearray()
        rows: _NewRows | None = None
        async for piece in upload:
            size += len(piece)
            waiting += piece
            while len(waiting) >= ROW_SIZE:
                row = bytes(memoryview(waiting)[:ROW_SIZE])
                del waiting[:ROW_SIZE]
                state.update(row)
                rows = rows or await self._new_rows()
                await rows.add(row)
        state.update(waiting)
        if rows is None and size <= ROW_LIMIT:
            return ReceivedUpload(state.digest(), size, bytes(waiting), None, 0)
        rows = rows or await self._new_rows()
        if waiting:
            await rows.add(bytes(waiting))
        await rows.finish()
        return ReceivedUpload(state.digest(), size, None, rows.content, rows.count)

    async def _new_rows(self) -> "_NewRows":
        content = self.use(uuid.uuid4())
        await self._write(self._statements.new_content, content.id)
        return _NewRows(self, content)

    async def add_chunk(self, id: uuid.UUID, number: int, data: bytes) -> None:
        if not await self._write(self._statements.new_chunk, id, number, data):
            raise StorageUnavailable(f"{self._pool.place}: the upload stopped for too long, and was removed")

    async def _write(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Run a statement that must not run twice."""
        try:
            async with self._pool.connection() as connection:
                return await connection.fetch(statement, *arguments)
        except ASYNCPG_ERRORS as error:
            raise asyncpg_error(error, self._pool.place) from error

    async def read_chunk(self, id: uuid.UUID, number: int, start: int, stop: int) -> bytes:
        rows = await self._pool.fetch(self._statements.read_chunk, id, number, start + 1, stop - start)
        data: bytes = rows[0][0] if rows else b""
        if len(data) == stop - start:
            return data
        if await self._pool.fetch(self._statements.is_used, id):
            raise CorruptData(f"{self._pool.place}: chunk {number} of content {id} is missing or too short")
        raise StorageUnavailable(f"{self._pool.place}: content {id} was replaced, and removed while it was read")

    async def collect(self, limit: int) -> None:
        """Remove at most `limit` orphans whose time is over."""
        for (id,) in await self._pool.fetch(self._statements.condemn, limit):
            while len(await self._pool.fetch(self._statements.remove_chunks, id, REMOVED_CHUNKS)) == REMOVED_CHUNKS:
                pass
            await self._pool.fetch(self._statements.remove_orphan, id)

    async def close(self) -> None:
        if self._extending is not None and not self._extending.done():
            self._extending.cancel()
            await asyncio.wait([self._extending])

    async def _extend(self) -> None:
        while True:
            await asyncio.sleep(EXTENSION_INTERVAL_S)
            used = [content.id for content in self._used]
            if not used and not self.snapshots:
                return
            try:
                if self.snapshots:
                    await self._pool.fetch(self._statements.keep_all)
                else:
                    await self._pool.fetch(self._statements.keep, used)
            except EngineError as error:
                _log.warning("cannot extend the time of content in use: %s", error)


class _NewRows:
    """The rows of an upload: one is written while the next is received."""

    def __init__(self, contents: Contents, content: ChunkedContent) -> None:
        self.content = content
        self.count = 0
        self._contents = contents
        self._writing: asyncio.Task[None] | None = None

    async def add(self, row: bytes) -> None:
        await self.finish()
        self._writing = asyncio.create_task(self._contents.add_chunk(self.content.id, self.count, row))
        self._writing.add_done_callback(_retrieve)
        self.count += 1

    async def finish(self) -> None:
        if self._writing is not None:
            await self._writing


def _retrieve(task: asyncio.Task[None]) -> None:
    """Mark the exception as retrieved: an upload that fails by itself does not wait for its last row."""
    if not task.cancelled():
        task.exception()
