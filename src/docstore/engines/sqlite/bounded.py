"""The engine of `sqlite:` URLs with `max_bytes`: it counts reads and has the writer enforce the quota.

Access times are written by each sweep, when many are noted, and on close: a kill loses at most the uses between two
sweeps. A quota lower than before holds from the start: opening evicts down to it, some documents at a time. Without
`evict` all documents stay, and writes that grow are refused.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import apsw

from docstore.engines.contract import PutRequest, Usage
from docstore.engines.shared.quota import Quota, UploadAdmission
from docstore.engines.shared.spool import SpooledUpload
from docstore.engines.sqlite import queries
from docstore.engines.sqlite.blobs import SealedFolder
from docstore.engines.sqlite.disk_space import Headroom
from docstore.engines.sqlite.driver_errors import driver_errors
from docstore.engines.sqlite.engine import SWEPT_WHEN_FULL, Sqlite
from docstore.engines.sqlite.queries import Transaction
from docstore.engines.sqlite.quota import (
    ACCESSES_LIMIT,
    AccessTimes,
    QuotaWriter,
    create_quota_tables,
    last_access_ns,
    over_quota,
    quota_tables_exist,
    used_bytes,
)
from docstore.engines.sqlite.schema import open_writing
from docstore.errors import EngineError, NoSpace, OpenError
from docstore.model import Clock, Document, Meta, WriteResult

EVICTED_AT_ONCE: Final = 1000
"""Documents that one transaction evicts while a database is opened."""

_log: Final = logging.getLogger(__name__)


class BoundedSqlite(Sqlite):
    """One database with a quota. All its processes share the size of its documents and the counts of reads."""

    def __init__(self, path: Path, clock: Clock, quota: Quota) -> None:
        """Raise OpenError, OSError or apsw.Error."""
        self._quota = quota
        self._accesses = AccessTimes(clock, _prepare(path, clock, quota))
        self._quota_writer = QuotaWriter(quota, self._accesses)
        self._writing_accesses: asyncio.Task[None] | None = None
        super().__init__(path, clock)
        self._admission = UploadAdmission(quota, self._used_bytes, super().head, super().sweep)

    async def get(self, key: str) -> Document | None:
        document = await super().get(key)
        if document is None:
            self._accesses.misses += 1
        else:
            self._accesses.hits += 1
            self._note(key)
        return document

    async def head(self, key: str) -> Meta | None:
        meta = await super().head(key)
        if meta is not None:
            self._note(key)
        return meta

    def _note(self, key: str) -> None:
        if self._quota.evict:
            self._accesses.note(key)
            if len(self._accesses) >= ACCESSES_LIMIT and self._writing_accesses is None:
                self._writing_accesses = asyncio.create_task(self._write_accesses(), name="docstore-sqlite-accesses")

    async def _write_accesses(self) -> None:
        try:
            await self._writer.run(self._quota_writer.write_accesses)
        except EngineError as error:
            _log.warning("%s: cannot write the access times of documents: %s", self._path, error)
        finally:
            self._writing_accesses = None

    async def put(self, request: PutRequest) -> WriteResult:
        return await super().put(await self._admission.admit(request))

    def _put(self, transaction: Transaction, request: PutRequest, received: SpooledUpload) -> WriteResult:
        return self._quota_writer.put(transaction, request, received)

    def _sweep(self, transaction: Transaction, limit: int) -> int:
        self._quota_writer.write_accesses(transaction)
        return super()._sweep(transaction, limit)

    async def usage(self) -> Usage:
        with driver_errors(self._reading, self._path):
            return self._quota_writer.usage(self._reading)

    async def _used_bytes(self) -> int:
        with driver_errors(self._reading, self._path):
            return used_bytes(self._reading, self._quota)

    async def close(self) -> None:
        if self._writing_accesses is not None:
            await self._writing_accesses
        if self._quota_writer.has_unwritten():
            await self._write_accesses()
        await super().close()


def _prepare(path: Path, clock: Clock, quota: Quota) -> int:
    """Create the tables, evict down to the quota, and return the latest access time. Raise like BoundedSqlite."""
    connection = open_writing(path)
    try:
        if not quota_tables_exist(connection) or (quota.evict and over_quota(connection, quota)):
            _apply_quota(connection, path, clock, quota)
        return last_access_ns(connection)
    finally:
        connection.close()


def _apply_quota(connection: apsw.Connection, path: Path, clock: Clock, quota: Quota) -> None:
    """Raise OSError or apsw.Error when the database can't be opened even without a quota, else an EngineError."""
    folder = SealedFolder(Path(f"{path}.sealed"), partial(queries.names_file, connection))
    try:
        headroom = Headroom(connection, path)
        try:
            with _transaction(connection, headroom, path):
                create_quota_tables(connection)
            if quota.evict:
                _evict(connection, headroom, folder, quota, clock)
        except NoSpace as error:
            # The reserve must not be used for this: without it nothing could be deleted any more.
            raise OpenError(
                f"{path}: no disk space to apply max_bytes; open it without max_bytes and delete something first"
            ) from error
        finally:
            headroom.settle()
    finally:
        folder.close()


def _evict(connection: apsw.Connection, headroom: Headroom, folder: SealedFolder, quota: Quota, clock: Clock) -> None:
    """Evict in steps; on a full disk in small ones, because each frees space for the next. Raise EngineError."""
    writer = QuotaWriter(quota, AccessTimes(clock))
    limit, pressed = EVICTED_AT_ONCE, False
    while over_quota(connection, quota):
        transaction = Transaction(connection, clock)
        try:
            with _transaction(connection, headroom, connection.filename, pressed=pressed):
                writer.evict(transaction, limit=limit)
        except NoSpace:
            if limit == 1:
                raise
            limit, pressed = max(1, min(limit // 2, SWEPT_WHEN_FULL)), True
            headroom.press()
            continue
        folder.remove(transaction.unnamed)
        if pressed:
            headroom.restore()
        else:
            with suppress(apsw.BusyError):
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)


@contextmanager
def _transaction(
    connection: apsw.Connection, headroom: Headroom, path: Path | str, *, pressed: bool = False
) -> Iterator[None]:
    """Commit at the end, or roll back on an error. Raise EngineError."""
    try:
        with driver_errors(connection, Path(path)):
            connection.execute("BEGIN IMMEDIATE")
            yield
            headroom.admit(pressed=pressed)
            connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
