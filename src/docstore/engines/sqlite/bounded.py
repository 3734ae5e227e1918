"""The engine of `sqlite:` URLs with `max_bytes`: counts reads, notes uses, and has the writer mind the room.

What was noted is written down by each sweep, when it has become much, and on close: a kill takes at most the uses
between two sweeps with it. A smaller bound than before holds from the start: opening evicts until it does, some at a
time; without `evict` everything stays, and what would grow is refused.
"""

import asyncio
import logging
from pathlib import Path

from docstore.content import Upload
from docstore.engines import Usage
from docstore.engines.receiving import Received
from docstore.engines.room import Admission, Room, Tally
from docstore.engines.sqlite import room as rooms
from docstore.engines.sqlite.driver_errors import driver_errors
from docstore.engines.sqlite.engine import Sqlite
from docstore.engines.sqlite.rows import Transaction
from docstore.engines.sqlite.schema import open_writing
from docstore.engines.uses import NOTED_LIMIT, Uses
from docstore.errors import EngineError
from docstore.model import ANY, Clock, Document, Expectation, Fields, Meta, Written

_log = logging.getLogger(__name__)


class BoundedSqlite(Sqlite):
    """One database that has a bound. What its documents are read and how large they are, all its processes share."""

    def __init__(self, path: Path, clock: Clock, room: Room) -> None:
        """Raises CannotOpen, OSError or apsw.Error."""
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

    async def put(
        self,
        key: str,
        upload: Upload,
        fields: Fields,
        *,
        expires_ns: int | None = None,
        expect: Expectation = ANY,
    ) -> Written:
        upload = await self._admission.admit(key, upload, fields)
        return await super().put(key, upload, fields, expires_ns=expires_ns, expect=expect)

    async def restore(self, meta: Meta, upload: Upload, *, expect: Expectation = ANY) -> Written:
        upload = await self._admission.admit(meta.key, upload, meta.fields)
        return await super().restore(meta, upload, expect=expect)

    def _put(
        self,
        transaction: Transaction,
        key: str,
        received: Received,
        fields: Fields,
        expires_ns: int | None,
        expect: Expectation,
        modified_ns: int | None = None,
    ) -> Written:
        return self._keeping.put(transaction, key, received, fields, expires_ns, expect, modified_ns)

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
        rooms.make(connection)
        keeping = rooms.Keeping(room, Uses(clock), Tally())
        while room.evict and rooms.used(connection, room) > room.max_bytes:
            transaction = Transaction(connection, clock)
            connection.execute("BEGIN IMMEDIATE")
            keeping.evict(transaction, limit=rooms.STEP_LIMIT)
            connection.execute("COMMIT")
            for name in transaction.unnamed:
                Path(f"{path}.sealed", name).unlink(missing_ok=True)
        return rooms.last_use_ns(connection)
    finally:
        connection.close()
