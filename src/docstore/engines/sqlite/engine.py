"""The engine of `sqlite:` URLs: reads on the event loop, writes in batches, listings in a thread.

A point SELECT is some 10 µs and a thread hop is several times that, so `get` and `head` read where they are called,
with a connection of their own; what they have read since the last commit they have still (`recent`). A listing takes
milliseconds: it has a thread with a connection. Neither holds a read transaction after it returned: that would keep the
log from being written back.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Final

import apsw

from docstore.content import BytesContent, FileContent
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL
from docstore.engines.shared.fs import copy_error, error_class, make_folder
from docstore.engines.shared.quota import QUOTA_OPTIONS, Quota
from docstore.engines.shared.spool import SpooledUpload, spool
from docstore.engines.sqlite import queries
from docstore.engines.sqlite.blobs import SealedFolder, refuse_without_database
from docstore.engines.sqlite.disk_space import Headroom, reserve_of
from docstore.engines.sqlite.driver_errors import DRIVER_ERRORS, driver_errors, engine_error
from docstore.engines.sqlite.quota import SQLITE_OVERHEAD
from docstore.engines.sqlite.read_cache import Recent
from docstore.engines.sqlite.schema import CACHE_KIB, open_reading, open_writing
from docstore.engines.sqlite.snapshot import SqliteSnapshot, taken
from docstore.engines.sqlite.writer import Writer
from docstore.errors import CorruptData, EngineError, NoSpace, OpenError, StorageUnavailable
from docstore.model import ANY, Clock, Document, Expectation, Meta, WriteResult

INLINE_LIMIT: Final = 64 * 1024
"""Content up to this size is in its row; a file would cost two fsyncs more."""

OPEN_ATTEMPTS: Final = 10
"""How often a document may be replaced between the look at its row and the opening of its file."""

LIST_CACHE_KIB: Final = 2 * 1024

SWEPT_WHEN_FULL: Final = 32


def open_sqlite(url: EngineURL, clock: Clock) -> "Sqlite":
    """`sqlite:PATH`; makes the database, and the folder it is in, when they are absent."""
    url.refuse_options(*QUOTA_OPTIONS)
    quota = Quota.of(url, SQLITE_OVERHEAD)
    if not url.location:
        raise OpenError("sqlite: needs the path of a database, as in sqlite:docs.db")
    path = Path(url.location)
    try:
        # SQLite puts its log beside the file that a symbolic link leads to; so must the sealed files be.
        path = path.resolve()
        if path.exists() and not path.is_file():
            raise OpenError(f"{path} is not a file")
        refuse_without_database(path)
        make_folder(path.parent)
        return _opened(path, clock, quota)
    except OSError as error:
        raise OpenError(f"{error.filename or path} can't be opened: {error.strerror or error}") from error
    except (ValueError, RuntimeError) as error:
        raise OpenError(f"{url.location!r} is not a path: {error}") from error
    except apsw.NotADBError as error:
        raise OpenError(f"{path} is not an SQLite database") from error
    except (apsw.Error, EngineError) as error:
        raise OpenError(f"{path} can't be opened: {error}") from error


def _opened(path: Path, clock: Clock, quota: Quota | None) -> "Sqlite":
    try:
        return _with_quota(path, clock, quota)
    except (apsw.FullError, apsw.IOError, apsw.CantOpenError, OSError) as error:
        if isinstance(error, OSError) and error_class(error.errno) is not NoSpace:
            raise
        # On a full disk the log's index may be what there is no room for; it is made anew at each start.
        if not reserve_of(path).give_up():
            raise
        return _with_quota(path, clock, quota)


def _with_quota(path: Path, clock: Clock, quota: Quota | None) -> "Sqlite":
    from docstore.engines.sqlite.bounded import BoundedSqlite  # which is made of what follows here

    return Sqlite(path, clock) if quota is None else BoundedSqlite(path, clock, quota)


class Sqlite:
    """One database with its sealed files, opened."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Raises OpenError, OSError or apsw.Error."""
        self._path = path
        self._clock = clock
        opened: list[Callable[[], None]] = []
        try:
            writing = open_writing(path)
            opened.append(writing.close)
            self._folder = SealedFolder(Path(f"{path}.sealed"), partial(queries.names_file, writing))
            opened.append(self._folder.close)
            self._reading = open_reading(path, cache_kib=CACHE_KIB)
            opened.append(self._reading.close)
            self._recent = Recent(self._reading)
            self._listing = open_reading(path, cache_kib=LIST_CACHE_KIB)
            opened.append(self._listing.close)
            headroom = Headroom(writing, path)
        except BaseException:
            for close in reversed(opened):
                close()
            raise
        self._list_thread = ThreadPoolExecutor(1, thread_name_prefix="docstore-sqlite-list")
        self._writer = Writer(writing, path, self._folder, headroom, clock)

    async def get(self, key: str) -> Document | None:
        self._refuse_when_gone()
        recent = self._recent.find(key)
        if recent is not None:
            return None if recent.meta.expires_ns is not None and recent.meta.expired(self._clock()) else recent
        gone: str | None = None
        for _ in range(OPEN_ATTEMPTS):
            try:
                row: queries.FoundRow | None = self._reading.execute(queries.GET, (key,)).get
            except DRIVER_ERRORS as error:
                raise engine_error(error, self._reading, self._path) from error
            if row is None:
                return None
            version, size, digest, fields, modified_ns, expires_ns, file, data = row
            meta = queries.meta_of(self._reading, (key, version, size, digest, fields, modified_ns, expires_ns))
            if meta.expired(self._clock()):
                return None
            if file is not None and file == gone:
                raise CorruptData(f"{self._folder.path / file} is missing")
            content = self._content(key, size, file, data)
            if content is not None:
                document = Document(meta, content)
                self._recent.keep(document)
                return document
            # Another version has been committed since the row was read; or else the row is as it was.
            gone = file
        raise StorageUnavailable(f"{self._path}: {key!r} is replaced faster than it can be read")

    def _content(self, key: str, size: int, file: str | None, data: bytes | None) -> BytesContent | FileContent | None:
        """The content of a row, None when its file is gone."""
        if file is not None:
            return self._folder.open(file, size)
        if type(data) is not bytes or len(data) != size:
            raise CorruptData(f"{self._path}: the content of {key!r} is not of {size} bytes")
        return BytesContent(data)

    def _refuse_when_gone(self) -> None:
        """PERF: a stat for each read would take a tenth of it. So a read knows what the last commit, sweep or probe
        found."""
        if self._writer.gone is not None:
            raise copy_error(self._writer.gone)

    async def head(self, key: str) -> Meta | None:
        self._refuse_when_gone()
        recent = self._recent.find(key)
        if recent is not None:
            return None if recent.meta.expired(self._clock()) else recent.meta
        gone: str | None = None
        for _ in range(OPEN_ATTEMPTS):
            try:
                row: queries.HeadRow | None = self._reading.execute(queries.HEAD, (key,)).get
            except DRIVER_ERRORS as error:
                raise engine_error(error, self._reading, self._path) from error
            if row is None:
                return None
            meta = queries.meta_of(self._reading, row[:-1])
            if meta.expired(self._clock()):
                return None
            file = row[-1]
            if file is None or self._folder.holds(file):
                return meta
            if file == gone:
                raise CorruptData(f"{self._folder.path / file} is missing")
            gone = file
        raise StorageUnavailable(f"{self._path}: {key!r} is replaced faster than it can be read")

    async def put(self, request: PutRequest) -> WriteResult:
        try:
            received = await spool(request.upload, inline_limit=INLINE_LIMIT, new_path=self._folder.new_path)
        except NoSpace:
            await self._writer.make_room()
            if not isinstance(request.upload, BytesContent):
                raise
            received = await spool(request.upload, inline_limit=INLINE_LIMIT, new_path=self._folder.new_path)
        sealed = received.path.name if received.path is not None else None
        return await self._writer.run(lambda transaction: self._put(transaction, request, received), sealed=sealed)

    def _put(self, transaction: queries.Transaction, request: PutRequest, received: SpooledUpload) -> WriteResult:
        return queries.put(transaction, request, received)

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        return await self._writer.run(lambda transaction: queries.delete(transaction, key, expect))

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        self._refuse_when_gone()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._list_thread, self._page, prefix, after, limit)

    def _page(self, prefix: str, after: str, limit: int) -> queries.Page:
        with driver_errors(self._listing, self._path):
            return queries.page(self._listing, self._clock(), prefix, after, limit)

    async def sweep(self, *, limit: int = 1000) -> int:
        swept, step = 0, limit
        while swept < limit:
            step = min(step, limit - swept)
            try:
                removed = await self._writer.run(partial(self._sweep, limit=step))
            except NoSpace:
                # On a full disk a transaction has room for a few documents, and each gives room to the next.
                if step == 1:
                    raise
                step = max(1, min(step // 2, SWEPT_WHEN_FULL))
                continue
            swept += removed
            if removed < step:
                break
        return swept

    def _sweep(self, transaction: queries.Transaction, limit: int) -> int:
        return queries.sweep(transaction, limit)

    async def probe(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._list_thread, self._writer.check)

    def snapshot(self) -> AbstractAsyncContextManager[SqliteSnapshot]:
        return taken(self._path, self._folder, self._writer)

    async def close(self) -> None:
        await asyncio.to_thread(self._list_thread.shutdown)
        self._listing.close()
        self._recent.close()
        self._reading.close()
        await self._writer.close()
        self._folder.close()
