"""A database that is opened for reading: no file is changed or created, and no right to write is needed.

SQLite reads a database in WAL mode only with its log and the log's index, which it creates; without the right to do so
it offers `immutable` (sqlite.org/wal.html §5), which takes no locks, ignores the log, and is wrong if anybody writes.
A read-only folder or file system proves nothing: another user, or another mount of the same disk, may write. Therefore
a reader holds SQLite's shared lock on the database. Every process that opens the database creates the log and its
index, and SQLite removes them under the exclusive lock only. So under the shared lock they can appear but not vanish:

    one of them is absent    Nobody has the database open. It is read as `immutable`, and a look after each read tells
                             whether a process has opened it meanwhile: then the read is repeated as below.
    both are there           SQLite reads database and log with the locks of the index (`mode=ro`), beside a process
                             that writes, or alone with a copy of the index in memory (`readonly_shm`).

A log with content but without an index, as in an incomplete copy, can't be read without creating the index, which only
a check does.
The lock keeps a process that closes the database from removing its log; the next process to close it does.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import apsw

from docstore.engines.shared.fs import PathIdentity
from docstore.engines.shared.store_files import StoreFiles
from docstore.engines.sqlite import queries
from docstore.engines.sqlite.blobs import BlobReader
from docstore.engines.sqlite.driver_errors import driver_errors
from docstore.engines.sqlite.file_methods import take_shared_lock
from docstore.engines.sqlite.lookup import read_document
from docstore.engines.sqlite.schema import CACHE_KIB, READ_TIMEOUT_MS, is_empty
from docstore.errors import OpenError
from docstore.model import Clock, Document, Meta

LOCK_ATTEMPTS: Final = 50
LOCK_PAUSE_S: Final = 0.01
"""Tries to take the shared lock, while another process closes the database."""

_T = TypeVar("_T")


class ReadOnlyDatabase:
    """A connection for reading, which is replaced once if another process opens the database. Used by one thread."""

    def __init__(self, path: Path, *, may_create_index: bool = False) -> None:
        """Raise OpenError, OSError or apsw.Error.

        With `may_create_index` a missing index of a log with content is created if the folder can be written.
        """
        self._path = path
        self._log, self._index = Path(f"{path}-wal"), Path(f"{path}-shm")
        with ExitStack() as opening:
            locked = opening.enter_context(closing(_open(path, "mode=ro")))
            _lock(locked, path)
            self._shared = self._is_shared()
            if not self._shared:
                if self._log.exists() and self._log.stat().st_size:
                    self._need_index(may_create_index)
                if Path(f"{path}-journal").exists():
                    raise OpenError(f"{path}-journal holds an unfinished write of another program; open it there first")
            self._opened = opening.enter_context(ExitStack())
            self.connection = self._connect()
            if self.run(lambda connection: is_empty(connection, path)):
                raise OpenError(f"{path} is an empty database")
            self._all = opening.pop_all()

    def _is_shared(self) -> bool:
        """Whether a process has, or had, the database open."""
        return self._index.exists() and self._log.exists()

    def _need_index(self, may_create_index: bool) -> None:
        """Have SQLite make the index. Raise OpenError."""
        missing = f"{self._log} can't be read without {self._index.name}: open {self._path} for writing once"
        if not may_create_index:
            raise OpenError(missing)
        try:
            with closing(_open(self._path, "mode=ro")) as connection:
                is_empty(connection, self._path)
        except apsw.CantOpenError as error:
            raise OpenError(missing) from error
        self._shared = self._is_shared()

    def _connect(self) -> apsw.Connection:
        self._opened.close()
        self._opened.enter_context(closing(StoreFiles([self._path, self._log, self._index])))
        options = "mode=ro&readonly_shm=1" if self._shared else "immutable=1"
        connection = self._opened.enter_context(closing(_open(self._path, options)))
        connection.set_busy_timeout(READ_TIMEOUT_MS)
        connection.pragma("cache_size", -CACHE_KIB)
        return connection

    def run(self, read: Callable[[apsw.Connection], _T]) -> _T:
        """Return what `read` returns; it is repeated if the database was opened by another process meanwhile."""
        while True:
            try:
                result = read(self.connection)
            except Exception:
                if self._shared or not self._is_shared():
                    raise
            else:
                if self._shared or not self._is_shared():
                    return result
            self._shared = True
            self.connection = self._connect()

    def rows(self, statement: str, arguments: tuple[object, ...] = ()) -> list[Any]:
        """Return the rows of a SELECT statement. Raise EngineError."""

        def read(connection: apsw.Connection) -> list[Any]:
            with driver_errors(connection, self._path):
                return connection.execute(statement, arguments).fetchall()

        return self.run(read)

    def close(self) -> None:
        self._all.close()


class SqliteReader:
    """A database with its blobs, opened for reading; `get` and `head` read on the event loop."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Raise OpenError, OSError or apsw.Error."""
        self._path = path
        self._clock = clock
        self._blobs = BlobReader(Path(f"{path}.sealed"))
        self._identity = PathIdentity(path)
        with ExitStack() as opening:
            self._reading = opening.enter_context(closing(ReadOnlyDatabase(path)))
            self._listing = opening.enter_context(closing(ReadOnlyDatabase(path)))
            self._opened = opening.pop_all()
        self._list_thread = ThreadPoolExecutor(1, thread_name_prefix="docstore-sqlite-list")

    async def get(self, key: str) -> Document | None:
        return self._read(key, queries.SELECT_DOCUMENT)

    async def head(self, key: str) -> Meta | None:
        document = self._read(key, queries.SELECT_WITHOUT_DATA)
        return None if document is None else document.meta

    def _read(self, key: str, statement: str) -> Document | None:
        return self._reading.run(
            lambda connection: read_document(connection, self._path, self._blobs, self._clock, key, statement)
        )

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._list_thread, self._page, prefix, after, limit)

    def _page(self, prefix: str, after: str, limit: int) -> queries.MetaPage:
        def read(connection: apsw.Connection) -> queries.MetaPage:
            with driver_errors(connection, self._path):
                return queries.list_rows(connection, self._clock(), prefix, after, limit)

        return self._listing.run(read)

    async def probe(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._list_thread, self._identity.check)

    async def close(self) -> None:
        await asyncio.to_thread(self._list_thread.shutdown)
        self._opened.close()


def _open(path: Path, options: str) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    return apsw.Connection(f"file:{quote(str(path))}?{options}", flags=flags)


def _lock(connection: apsw.Connection, path: Path) -> None:
    """Take the shared lock for `connection`. Raise OpenError."""
    for _ in range(LOCK_ATTEMPTS):
        status = take_shared_lock(connection)
        if status == apsw.SQLITE_OK:
            return
        if status != apsw.SQLITE_BUSY:
            break
        time.sleep(LOCK_PAUSE_S)
    raise OpenError(f"cannot open {path}: it can't be locked for reading ({apsw.mapping_result_codes[status & 0xFF]})")
