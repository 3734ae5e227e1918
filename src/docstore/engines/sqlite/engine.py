"""The engine of `sqlite:` URLs: reads on the event loop, writes in batches, listings in a thread.

A point SELECT takes some 10 µs and a thread hop several times that, so `get` and `head` read on the event loop, with a
separate connection; documents that nobody has replaced since come from memory (read_cache.py). A listing takes
milliseconds, so it has a thread and another connection. Neither leaves a read transaction open, which would prevent
checkpoints.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Final

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.shared.fs import copy_error
from docstore.engines.shared.spool import SpooledUpload, hash_content, spool
from docstore.engines.shared.store_files import StoreFiles
from docstore.engines.sqlite import queries
from docstore.engines.sqlite.blobs import BlobFolder
from docstore.engines.sqlite.disk_space import DiskSpace
from docstore.engines.sqlite.driver_errors import driver_errors
from docstore.engines.sqlite.lookup import read_document
from docstore.engines.sqlite.read_cache import ReadCache
from docstore.engines.sqlite.schema import CACHE_KIB, open_reading, open_writing
from docstore.engines.sqlite.snapshot import SqliteSnapshot, take_snapshot
from docstore.engines.sqlite.write_turn import WriteTurn
from docstore.engines.sqlite.writer import SqliteWriter
from docstore.errors import NoSpace
from docstore.model import ANY, Clock, Document, Expectation, Meta, WriteResult

INLINE_LIMIT: Final = 64 * 1024
"""Limit, in bytes, of content that is stored in the row; a file would cost two more fsyncs."""

LIST_CACHE_KIB: Final = 2 * 1024

LOW_SPACE_SWEEP: Final = 32
"""Documents that a transaction removes at most on a full disk."""


class Sqlite:
    """An open database with its blobs."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Raise OpenError, OSError or apsw.Error."""
        self._path = path
        self._clock = clock
        with ExitStack() as opening:
            writing = opening.enter_context(closing(open_writing(path)))
            is_orphan = partial(queries.is_orphan, writing)
            self._folder = opening.enter_context(closing(BlobFolder(Path(f"{path}.sealed"), is_orphan)))
            self._reading = opening.enter_context(closing(open_reading(path, cache_kib=CACHE_KIB)))
            self._read_cache = ReadCache(self._reading)
            self._listing = opening.enter_context(closing(open_reading(path, cache_kib=LIST_CACHE_KIB)))
            disk_space = DiskSpace(writing, path)
            files = [path, Path(f"{path}-wal"), Path(f"{path}-shm")]
            self._store_files = opening.enter_context(closing(StoreFiles(files)))
            turn = opening.enter_context(closing(WriteTurn(path, self._folder.path / "lock")))
            opening.pop_all()
        self._list_thread = ThreadPoolExecutor(1, thread_name_prefix="docstore-sqlite-list")
        self._writer = SqliteWriter(writing, path, self._folder, disk_space, turn, self._read_cache, clock)

    async def get(self, key: str) -> Document | None:
        self._raise_if_unavailable()
        cached = self._read_cache.get(key)
        if cached is not None:
            return None if cached.meta.expires_ns is not None and cached.meta.expired(self._clock()) else cached
        document = self._read(key, queries.SELECT_DOCUMENT)
        if document is not None:
            self._read_cache.add(document)
        return document

    def recall(self, key: str) -> Document | None:
        cached = None if self._writer.unavailable is not None else self._read_cache.get(key)
        if cached is not None and cached.meta.expires_ns is not None and cached.meta.expired(self._clock()):
            return None
        return cached

    async def head(self, key: str) -> Meta | None:
        self._raise_if_unavailable()
        cached = self._read_cache.get(key)
        if cached is not None:
            return None if cached.meta.expired(self._clock()) else cached.meta
        document = self._read(key, queries.SELECT_WITHOUT_DATA)
        return None if document is None else document.meta

    def _read(self, key: str, statement: str) -> Document | None:
        return read_document(self._reading, self._path, self._folder, self._clock, key, statement)

    def _raise_if_unavailable(self) -> None:
        # PERF: a stat takes a tenth of a read, so reads rely on what the last commit, sweep or probe found.
        if self._writer.unavailable is not None:
            raise copy_error(self._writer.unavailable)

    async def put(self, request: PutRequest) -> WriteResult:
        try:
            spooled = await spool(request.upload, inline_limit=INLINE_LIMIT, new_path=self._folder.new_path)
        except NoSpace:
            await self._writer.reclaim_space()
            if not isinstance(request.upload, BytesContent):
                raise
            spooled = await spool(request.upload, inline_limit=INLINE_LIMIT, new_path=self._folder.new_path)
        new_blob = spooled.path.name if spooled.path is not None else None
        return await self._writer.run(lambda transaction: self._put(transaction, request, spooled), new_blob=new_blob)

    def submit(self, request: PutRequest, on_outcome: Callable[[WriteResult | Exception], None]) -> bool:
        upload = request.upload
        if type(upload) is not BytesContent or len(upload.data) > INLINE_LIMIT:
            return False
        spooled = hash_content(upload.data)
        return self._writer.submit(lambda transaction: self._put(transaction, request, spooled), on_outcome)

    def _put(self, transaction: queries.Transaction, request: PutRequest, spooled: SpooledUpload) -> WriteResult:
        return queries.put_row(transaction, request, spooled)

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        return await self._writer.run(lambda transaction: queries.delete_row(transaction, key, expect))

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        self._raise_if_unavailable()
        # PERF: a GET of an absent document asks whether there is a folder of its name. Nearly always there is none, and
        # the thread for a listing took three quarters of the 404.
        if limit == 1:
            with driver_errors(self._reading, self._path):
                if not queries.has_rows(self._reading, prefix):
                    return []
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._list_thread, self._page, prefix, after, limit)

    def _page(self, prefix: str, after: str, limit: int) -> queries.MetaPage:
        with driver_errors(self._listing, self._path):
            return queries.list_rows(self._listing, self._clock(), prefix, after, limit)

    async def sweep(self, *, limit: int = 1000) -> int:
        return await self._remove(queries.sweep_rows, limit)

    async def _remove(self, remove: Callable[..., int], limit: int) -> int:
        """Run `remove(transaction, limit=...)`, on a full disk in small steps: each frees space for the next."""
        removed, step = 0, limit
        while removed < limit:
            step = min(step, limit - removed)
            try:
                some = await self._writer.run(partial(remove, limit=step))
            except NoSpace:
                if step == 1:
                    raise
                step = max(1, min(step // 2, LOW_SPACE_SWEEP))
                continue
            removed += some
            if some < step:
                break
        return removed

    async def probe(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._list_thread, self._writer.check)

    def snapshot(self) -> AbstractAsyncContextManager[SqliteSnapshot]:
        return take_snapshot(self._path, self._folder, self._writer)

    async def close(self) -> None:
        await asyncio.to_thread(self._list_thread.shutdown)
        self._listing.close()
        self._read_cache.close()
        self._reading.close()
        await self._writer.close()
        self._folder.close()
        self._store_files.close()
