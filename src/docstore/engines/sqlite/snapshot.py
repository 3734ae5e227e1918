"""One state of the complete store, kept while it is read: a copy of the database, and links to its blobs.

A read transaction for as long as a client reads was rejected: it prevents checkpoints. No step here waits for a reader:

    1. Link all blobs. One that a writer removes meanwhile is skipped.
    2. In a transaction of the writer, so that no process commits: begin a read transaction, and link the blobs that
       came since step 1. A blob is unlinked after the COMMIT that drops it, so all blobs that rows refer to exist.
    3. Copy the pages of the database, as fast as the disk allows, and end the read transaction.

The copy is in a folder beside the blobs, because a link can't leave its file system. A folder that a kill left is
removed with the other orphans. On a file system without links, blobs are copied.
"""

import asyncio
import errno
import os
import secrets
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Final, cast
from urllib.parse import quote

import apsw

from docstore.engines.shared.fs import make_folder, translate_os_errors
from docstore.engines.sqlite import queries
from docstore.engines.sqlite.blobs import SNAPSHOT_PREFIX, BlobFolder, open_blob
from docstore.engines.sqlite.driver_errors import driver_errors
from docstore.engines.sqlite.schema import open_reading
from docstore.engines.sqlite.writer import SqliteWriter
from docstore.errors import CorruptData, EngineError
from docstore.model import Document, Meta

NAMES_AT_ONCE: Final = 1000
PAGES_AT_ONCE: Final = 4096
"""Pages copied between two checks whether the snapshot was discarded: 16 MiB."""
SNAPSHOT_CACHE_KIB: Final = 2 * 1024

_NAMES: Final = "SELECT file FROM documents WHERE file > ? ORDER BY file LIMIT ?"
_TOTAL: Final = "SELECT count(*), coalesce(sum(size), 0) FROM documents WHERE expires_ns IS NULL OR expires_ns > ?"
_NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@asynccontextmanager
async def take_snapshot(path: Path, folder: BlobFolder, writer: SqliteWriter) -> AsyncIterator["SqliteSnapshot"]:
    """Open a snapshot of the database at `path`. Raise an EngineError when there is no space for it."""
    snapshot = SqliteSnapshot(path, folder)
    try:
        await asyncio.to_thread(snapshot.link)
        await writer.run(snapshot.begin)
        await asyncio.to_thread(snapshot.copy)
        yield snapshot
    finally:
        await asyncio.to_thread(snapshot.discard)


class SqliteSnapshot:
    """The folder of a snapshot: three steps fill it, then its documents can be read.

    Each step runs in a thread, which can't be cancelled: `discard` waits for it, and it stops soon.
    """

    def __init__(self, path: Path, folder: BlobFolder) -> None:
        self.documents = self.size = 0
        self._path = folder.path / f"{SNAPSHOT_PREFIX}{secrets.token_hex(8)}"
        self._database = path
        self._folder = folder
        self._linked: set[str] = set()
        self._now_ns = 0
        self._lock = threading.Lock()
        """Held by a thread that uses the snapshot, against being discarded."""
        self._discarded = False
        self._reading: apsw.Connection | None = None
        self._copy: apsw.Connection | None = None

    def link(self) -> None:
        with self._lock, translate_os_errors(self._path):
            if self._discarded:
                return
            make_folder(self._path)
            self._reading = open_reading(self._database, cache_kib=SNAPSHOT_CACHE_KIB)
            with driver_errors(self._reading, self._database):
                for name in self._names(self._reading):
                    self._link(name)

    def begin(self, transaction: queries.Transaction) -> None:
        """Begin the read transaction; an operation of the writer, which may run it again."""
        with self._lock, translate_os_errors(self._path):
            reading = self._usable(self._reading)
            if reading.in_transaction:
                reading.execute("ROLLBACK")
            reading.execute("BEGIN")
            # Not on the writer's connection: its batch may have changed rows that are not committed.
            for name in self._names(reading):
                if name not in self._linked:
                    self._link(name)
            self._now_ns = transaction.clock()

    def copy(self) -> None:
        target = apsw.Connection(str(self._path / "rows"))
        with self._lock, closing(target), driver_errors(target, self._path):
            reading = self._usable(self._reading)
            target.pragma("synchronous", "OFF")
            with target.backup("main", reading, "main") as backup:
                while not backup.done:
                    self._usable(self._reading)
                    backup.step(PAGES_AT_ONCE)
            reading.close()
            # Nobody writes the copy: without `immutable` SQLite would create a log and its index beside it.
            name = f"file:{quote(str(self._path / 'rows'))}?immutable=1"
            self._copy = apsw.Connection(name, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
            self.documents, self.size = cast(tuple[int, int], self._copy.execute(_TOTAL, (self._now_ns,)).get)

    async def get(self, key: str) -> Document | None:
        with driver_errors(copy := self._usable(self._copy), self._path):
            row: queries.DocumentRow | None = copy.execute(queries.SELECT_DOCUMENT, (key,)).get
        if row is None:
            return None
        version, size, digest, packed, modified_ns, expires_ns, file, data = row
        meta = queries.meta_of(copy, (key, version, size, digest, packed, modified_ns, expires_ns))
        if meta.expired(self._now_ns):
            return None
        if file is None:
            return Document(meta, queries.inline_content(copy, key, size, data))
        self._folder.check_name(file)
        content = open_blob(self._path / file, meta.size)
        if content is None:
            raise CorruptData(f"{self._folder.path / file} is missing")
        return Document(meta, content)

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        return await asyncio.to_thread(self._page, prefix, after, limit)

    def _page(self, prefix: str, after: str, limit: int) -> queries.MetaPage:
        with self._lock, driver_errors(copy := self._usable(self._copy), self._path):
            return queries.list_rows(copy, self._now_ns, prefix, after, limit)

    def discard(self) -> None:
        self._discarded = True
        with self._lock:
            try:
                for connection in (self._reading, self._copy):
                    if connection is not None:
                        connection.close()
            finally:
                shutil.rmtree(self._path, ignore_errors=True)

    def _usable(self, connection: apsw.Connection | None) -> apsw.Connection:
        if self._discarded or connection is None:
            raise EngineError(f"{self._path}: the snapshot was discarded")
        return connection

    def _names(self, reading: apsw.Connection) -> Iterator[str]:
        """Yield the blobs that rows refer to, some at a time: outside of a transaction this prevents no checkpoint."""
        last = ""
        while some := cast(list[tuple[str]], reading.execute(_NAMES, (last, NAMES_AT_ONCE)).fetchall()):
            for (last,) in some:
                yield last
            self._usable(self._reading)

    def _link(self, name: str) -> None:
        self._folder.check_name(name)
        here, there = self._folder.path / name, self._path / name
        try:
            os.link(here, there)
        except FileNotFoundError:
            return  # replaced since the row was read; a missing blob is reported when it is read
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            shutil.copyfile(here, there)
        self._linked.add(name)
