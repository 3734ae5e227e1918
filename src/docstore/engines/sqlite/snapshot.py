"""One state of the complete store, kept while it is read: a copy of the database, and links to its blobs.

A read transaction for as long as a client reads was rejected: it prevents checkpoints, and the log grows with every
write. So a snapshot is taken in three steps, none of which waits for a reader:

    1. Link all blobs. One that a writer removes meanwhile is skipped.
    2. In a transaction of the writer, so that no process commits: begin a read transaction, and link the blobs that
       came since step 1. A blob is unlinked after the COMMIT that drops it, so all blobs that rows refer to exist.
    3. Copy the pages of the database, as fast as the disk allows, and end the read transaction.

The copy is in a folder beside the blobs, because a link can't leave its file system, and needs as much space as the
database; documents deleted meanwhile free their space when the snapshot is discarded. A folder left by a kill is
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

from docstore.content import BytesContent, FileContent
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
    files = _SnapshotFiles(path, folder)
    try:
        await asyncio.to_thread(files.link)
        now_ns = await writer.run(files.begin)
        yield await asyncio.to_thread(lambda: SqliteSnapshot(files.copy(), folder, files.path, now_ns, files.lock))
    finally:
        await asyncio.to_thread(files.discard)


class SqliteSnapshot:
    """The documents of a copy that does not change."""

    def __init__(
        self, copy: apsw.Connection, folder: BlobFolder, path: Path, now_ns: int, lock: threading.Lock
    ) -> None:
        """`path` is the snapshot's folder; a thread that uses the copy holds `lock`, against being discarded."""
        self._copy = copy
        self._folder = folder
        self._path = path
        self._now_ns = now_ns
        self._lock = lock
        with lock, driver_errors(copy, path):
            self.documents, self.size = cast(tuple[int, int], copy.execute(_TOTAL, (now_ns,)).get)

    async def get(self, key: str) -> Document | None:
        with driver_errors(self._copy, self._path):
            row: queries.DocumentRow | None = self._copy.execute(queries.SELECT_DOCUMENT, (key,)).get
        if row is None:
            return None
        version, size, digest, packed, modified_ns, expires_ns, file, data = row
        meta = queries.meta_of(self._copy, (key, version, size, digest, packed, modified_ns, expires_ns))
        return None if meta.expired(self._now_ns) else Document(meta, self._content(meta, file, data))

    def _content(self, meta: Meta, file: str | None, data: bytes | None) -> BytesContent | FileContent:
        if file is not None:
            self._folder.check_name(file)
            content = open_blob(self._path / file, meta.size)
            if content is None:
                raise CorruptData(f"{self._folder.path / file} is missing")
            return content
        return queries.inline_content(self._copy, meta.key, meta.size, data)

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        return await asyncio.to_thread(self._page, prefix, after, limit)

    def _page(self, prefix: str, after: str, limit: int) -> queries.MetaPage:
        with self._lock, driver_errors(self._copy, self._path):
            return queries.list_rows(self._copy, self._now_ns, prefix, after, limit)


class _SnapshotFiles:
    """The folder of a snapshot, and the steps that fill it.

    Each step runs in a thread, which can't be cancelled: `discard` waits for it, and it stops soon.
    """

    def __init__(self, path: Path, folder: BlobFolder) -> None:
        self.path = folder.path / f"{SNAPSHOT_PREFIX}{secrets.token_hex(8)}"
        self._database = path
        self._folder = folder
        self._linked: set[str] = set()
        self.lock = threading.Lock()
        self._discarded = False
        self._reading: apsw.Connection | None = None
        self._copy: apsw.Connection | None = None

    def link(self) -> None:
        with self.lock, translate_os_errors(self.path):
            if self._discarded:
                return
            make_folder(self.path)
            self._reading = open_reading(self._database, cache_kib=SNAPSHOT_CACHE_KIB)
            with driver_errors(self._reading, self._database):
                for name in self._names(self._reading):
                    self._link(name)

    def begin(self, transaction: queries.Transaction) -> int:
        """Begin the read transaction and return its time; an operation of the writer, which may run it again."""
        with self.lock, translate_os_errors(self.path):
            reading = self._check_usable()
            if reading.in_transaction:
                reading.execute("ROLLBACK")
            reading.execute("BEGIN")
            # Not on the writer's connection: its batch may have changed rows that are not committed.
            for name in self._names(reading):
                if name not in self._linked:
                    self._link(name)
            return transaction.clock()

    def copy(self) -> apsw.Connection:
        """Copy the database, and return a connection that reads the copy."""
        target = apsw.Connection(str(self.path / "rows"))
        with self.lock, closing(target), driver_errors(target, self.path):
            reading = self._check_usable()
            target.pragma("synchronous", "OFF")
            with target.backup("main", reading, "main") as backup:
                while not backup.done:
                    self._check_usable()
                    backup.step(PAGES_AT_ONCE)
            reading.close()
            # The copy does not change: without `immutable` SQLite would create a log and its index beside it.
            name = f"file:{quote(str(self.path / 'rows'))}?immutable=1"
            self._copy = apsw.Connection(name, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
            return self._copy

    def discard(self) -> None:
        self._discarded = True
        with self.lock:
            try:
                for connection in (self._reading, self._copy):
                    if connection is not None:
                        connection.close()
            finally:
                shutil.rmtree(self.path, ignore_errors=True)

    def _check_usable(self) -> apsw.Connection:
        if self._discarded or self._reading is None:
            raise EngineError(f"{self.path}: the snapshot was discarded")
        return self._reading

    def _names(self, reading: apsw.Connection) -> Iterator[str]:
        """Yield the blobs that rows refer to, some at a time: outside of a transaction this prevents no checkpoint."""
        last = ""
        while some := cast(list[tuple[str]], reading.execute(_NAMES, (last, NAMES_AT_ONCE)).fetchall()):
            for (last,) in some:
                yield last
            self._check_usable()

    def _link(self, name: str) -> None:
        self._folder.check_name(name)
        here, there = self._folder.path / name, self.path / name
        try:
            os.link(here, there)
        except FileNotFoundError:
            return  # replaced since the row was read; a missing blob is reported when it is read
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            shutil.copyfile(here, there)
        self._linked.add(name)
