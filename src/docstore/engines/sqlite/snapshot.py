"""One state of the whole store, held while somebody reads it: a copy of the database, and links to its sealed files.

A read transaction for as long as a client reads was rejected: meanwhile no log can be written back, and it grows with
every write. So a snapshot is taken in three steps, none of which waits for who reads:

    1. Links to all sealed files. One that a writer removes meanwhile is passed over.
    2. In the transaction of the writer, in which no process commits: a read transaction begins, and what came since the
       first step is linked. A file is unlinked after the COMMIT that lets go of it, so whatever the rows name is there.
    3. The pages of the database are copied as fast as the disk takes them, and the read transaction ends.

It is in a folder beside the sealed files, because a link can't leave their file system, and takes as much room as the
database; what is deleted gives its room back when the snapshot is let go. A folder that a kill left is collected with
the other orphans. Where the file system has no links, sealed files are copied.
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
from docstore.engines.sqlite.blobs import SNAPSHOT, SealedFolder, open_sealed
from docstore.engines.sqlite.driver_errors import driver_errors
from docstore.engines.sqlite.schema import open_reading
from docstore.engines.sqlite.writer import Writer
from docstore.errors import CorruptData, EngineError
from docstore.model import Document, Meta

NAMES_AT_ONCE: Final = 1000
PAGES_AT_ONCE: Final = 4096
"""Pages copied before a look whether anybody still wants them: 16 MiB."""
CACHE_KIB: Final = 2 * 1024

_NAMES: Final = "SELECT file FROM documents WHERE file > ? ORDER BY file LIMIT ?"
_TOTAL: Final = "SELECT count(*), coalesce(sum(size), 0) FROM documents WHERE expires_ns IS NULL OR expires_ns > ?"
_NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@asynccontextmanager
async def taken(path: Path, folder: SealedFolder, writer: Writer) -> AsyncIterator["SqliteSnapshot"]:
    """The database at `path` as it is now. Raises an EngineError when there is no room for it."""
    taking = _Taking(path, folder)
    try:
        await asyncio.to_thread(taking.link)
        now_ns = await writer.run(taking.begin)
        yield await asyncio.to_thread(
            lambda: SqliteSnapshot(taking.copy(), folder, taking.held, now_ns, taking.working)
        )
    finally:
        await asyncio.to_thread(taking.let_go)


class SqliteSnapshot:
    """Reads a copy that nobody changes."""

    def __init__(
        self, copy: apsw.Connection, folder: SealedFolder, held: Path, now_ns: int, working: threading.Lock
    ) -> None:
        """`working` is held by whatever thread uses the copy: it may be let go of meanwhile."""
        self._copy = copy
        self._folder = folder
        self._held = held
        self._now_ns = now_ns
        self._working = working
        with working, driver_errors(copy, held):
            self.documents, self.size = cast(tuple[int, int], copy.execute(_TOTAL, (now_ns,)).get)

    async def get(self, key: str) -> Document | None:
        with driver_errors(self._copy, self._held):
            row: queries.FoundRow | None = self._copy.execute(queries.GET, (key,)).get
        if row is None:
            return None
        version, size, digest, packed, modified_ns, expires_ns, file, data = row
        meta = Meta(key, version, size, digest, queries.fields_of(self._copy, key, packed), modified_ns, expires_ns)
        return None if meta.expired(self._now_ns) else Document(meta, self._content(meta, file, data))

    def _content(self, meta: Meta, file: str | None, data: bytes | None) -> BytesContent | FileContent:
        if file is not None:
            self._folder.check(file)
            content = open_sealed(self._held / file, meta.size)
            if content is None:
                raise CorruptData(f"{self._folder.path / file} is missing")
            return content
        if data is None or len(data) != meta.size:
            raise CorruptData(f"{self._copy.filename}: the content of {meta.key!r} is not of {meta.size} bytes")
        return BytesContent(data)

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        return await asyncio.to_thread(self._page, prefix, after, limit)

    def _page(self, prefix: str, after: str, limit: int) -> queries.Page:
        with self._working, driver_errors(self._copy, self._held):
            return queries.page(self._copy, self._now_ns, prefix, after, limit)


class _Taking:
    """The steps. Each runs in a thread and can't be cancelled there: letting go waits for it, and it stops soon."""

    def __init__(self, path: Path, folder: SealedFolder) -> None:
        self.held = folder.path / f"{SNAPSHOT}{secrets.token_hex(8)}"
        self._path = path
        self._folder = folder
        self._linked: set[str] = set()
        self.working = threading.Lock()
        self._let_go = False
        self._reading: apsw.Connection | None = None
        self._copy: apsw.Connection | None = None

    def link(self) -> None:
        with self.working, translate_os_errors(self.held):
            if self._let_go:
                return
            make_folder(self.held)
            self._reading = open_reading(self._path, cache_kib=CACHE_KIB)
            with driver_errors(self._reading, self._path):
                for name in self._names(self._reading):
                    self._link(name)

    def begin(self, transaction: queries.Transaction) -> int:
        """The instant that is shown; an operation of the writer, which may run it again."""
        with self.working, translate_os_errors(self.held):
            reading = self._usable()
            if reading.in_transaction:
                reading.execute("ROLLBACK")
            reading.execute("BEGIN")
            # Not in the writer's own eyes: its batch may have changed rows before this, and is not committed.
            for name in self._names(reading):
                if name not in self._linked:
                    self._link(name)
            return transaction.clock()

    def copy(self) -> apsw.Connection:
        """A connection that reads the copy, until it is let go."""
        target = apsw.Connection(str(self.held / "rows"))
        with self.working, closing(target), driver_errors(target, self.held):
            reading = self._usable()
            target.pragma("synchronous", "OFF")
            with target.backup("main", reading, "main") as backup:
                while not backup.done:
                    self._usable()
                    backup.step(PAGES_AT_ONCE)
            reading.close()
            # Nobody writes it: without this SQLite would make a log and an index of it beside the copy.
            name = f"file:{quote(str(self.held / 'rows'))}?immutable=1"
            self._copy = apsw.Connection(name, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
            return self._copy

    def let_go(self) -> None:
        self._let_go = True
        with self.working:
            try:
                for connection in (self._reading, self._copy):
                    if connection is not None:
                        connection.close()
            finally:
                shutil.rmtree(self.held, ignore_errors=True)

    def _usable(self) -> apsw.Connection:
        if self._let_go or self._reading is None:
            raise EngineError(f"{self.held}: nobody wants the snapshot any more")
        return self._reading

    def _names(self, reading: apsw.Connection) -> Iterator[str]:
        """All sealed files that rows name, some at a time: outside of a transaction no log is kept from its end."""
        last = ""
        while some := cast(list[tuple[str]], reading.execute(_NAMES, (last, NAMES_AT_ONCE)).fetchall()):
            for (last,) in some:
                yield last
            self._usable()

    def _link(self, name: str) -> None:
        self._folder.check(name)
        here, there = self._folder.path / name, self.held / name
        try:
            os.link(here, there)
        except FileNotFoundError:
            return  # replaced since the row was read; or it is missing, and then the snapshot says so as the store does
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            shutil.copyfile(here, there)
        self._linked.add(name)
