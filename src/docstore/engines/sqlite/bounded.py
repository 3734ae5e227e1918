"""The engine of `sqlite:` URLs with `max_bytes`: counts reads, notes uses, and has the writer mind the room.

What was noted is written down by each sweep, when it has become much, and on close: a kill takes at most the uses
between two sweeps with it. A smaller bound than before holds from the start: opening evicts until it does, some at a
time; without `evict` everything stays, and what would grow is refused.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import apsw

from docstore.engines.contract import PutRequest, Usage
from docstore.engines.shared.quota import Admission, Room, Tally
from docstore.engines.shared.spool import SpooledUpload
from docstore.engines.shared.uses import NOTED_LIMIT, Uses
from docstore.engines.sqlite import queries
from docstore.engines.sqlite import quota as rooms
from docstore.engines.sqlite.blobs import SealedFolder
from docstore.engines.sqlite.disk_space import Headroom
from docstore.engines.sqlite.driver_errors import driver_errors
from docstore.engines.sqlite.engine import SWEPT_WHEN_FULL, Sqlite
from docstore.engines.sqlite.queries import Transaction
from docstore.engines.sqlite.schema import open_writing
from docstore.errors import EngineError, NoSpace, OpenError
from docstore.model import Clock, Document, Meta, WriteResult

_log = logging.getLogger(__name__)


class BoundedSqlite(Sqlite):
    """One database that has a bound. What its documents are read and how large they are, all its processes share."""

    def __init__(self, path: Path, clock: Clock, room: Room) -> None:
        """Raises OpenError, OSError or apsw.Error."""
        self._room = room
        self._tally = Tally()
        self._uses = Uses(clock, _make_ready(path, clock, room))
        self._keeping = rooms.Keeping(room, self._uses, self._tally)
        self._writing_down: asyncio.Task[None] | None = None
        super().__init__(path, clock)
        self._admission = Admission(room, self._used, super().head, super().sweep)

    async def get(self, key: str) -> Document | None:
        document = await super().get(key)
        self._tally.read(document is not None)
        if document is not None:
            self._note(key)
        return document

    async def head(self, key: str) -> Meta | None:
        meta = await super().head(key)
        if meta is not None:
            self._note(key)
        return meta

    def _note(self, key: str) -> None:
        if self._room.evict:
            self._uses.note(key)
            if len(self._uses) >= NOTED_LIMIT and self._writing_down is None:
                self._writing_down = asyncio.create_task(self._write_down(), name="docstore-sqlite-uses")

    async def _write_down(self) -> None:
        try:
            await self._writer.run(self._keeping.write_down)
        except EngineError as error:
            _log.warning("%s: when documents were last used can't be written down: %s", self._path, error)
        finally:
            self._writing_down = None

    async def put(self, request: PutRequest) -> WriteResult:
        return await super().put(await self._admission.admit(request))

    def _put(self, transaction: Transaction, request: PutRequest, received: SpooledUpload) -> WriteResult:
        return self._keeping.put(transaction, request, received)

    def _sweep(self, transaction: Transaction, limit: int) -> int:
        self._keeping.write_down(transaction)
        return super()._sweep(transaction, limit)

    async def usage(self) -> Usage:
        with driver_errors(self._reading, self._path):
            return self._keeping.usage(self._reading)

    async def _used(self) -> int:
        with driver_errors(self._reading, self._path):
            return rooms.used(self._reading, self._room)

    async def close(self) -> None:
        if self._writing_down is not None:
            await self._writing_down
        if self._keeping.has_to_tell():
            await self._write_down()
        await super().close()


def _make_ready(path: Path, clock: Clock, room: Room) -> int:
    """Makes the tables, evicts what is too much, and tells the time of the last use. Raises as BoundedSqlite."""
    connection = open_writing(path)
    try:
        if not rooms.is_made(connection) or (room.evict and rooms.used(connection, room) > room.max_bytes):
            _make_room(connection, path, clock, room)
        return rooms.last_use_ns(connection)
    finally:
        connection.close()


def _make_room(connection: apsw.Connection, path: Path, clock: Clock, room: Room) -> None:
    """Raises OSError or apsw.Error when even without a bound it could not be opened, else OpenError or EngineError."""
    folder = SealedFolder(Path(f"{path}.sealed"), partial(queries.names_file, connection))
    try:
        headroom = Headroom(connection, path)
        try:
            with _committed(connection, headroom, path):
                rooms.make(connection)
            if room.evict:
                _evict(connection, headroom, folder, rooms.Keeping(room, Uses(clock), Tally()), clock)
        except NoSpace as error:
            # The reserve is not for this: without it nothing could be deleted any more.
            raise OpenError(
                f"{path} has no room to begin counting: open it without max_bytes and delete something first"
            ) from error
        finally:
            headroom.settle()
    finally:
        folder.close()


def _evict(
    connection: apsw.Connection, headroom: Headroom, folder: SealedFolder, keeping: rooms.Keeping, clock: Clock
) -> None:
    """A step at a time; on a full disk small ones, as each gives room to the next. Raises EngineError."""
    limit, pressed = rooms.STEP_LIMIT, False
    while keeping.is_too_much(connection):
        transaction = Transaction(connection, clock)
        try:
            with _committed(connection, headroom, connection.filename, pressed=pressed):
                keeping.evict(transaction, limit=limit)
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
def _committed(
    connection: apsw.Connection, headroom: Headroom, path: Path | str, *, pressed: bool = False
) -> Iterator[None]:
    """One transaction, of which nothing is left when it fails. Raises EngineError."""
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
