"""The room of a database with a bound: what it holds, when each document was last used, and what goes.

Two tables are made when a database is first opened with `max_bytes`, and none before: without it nothing is paid.

    room   one row: documents, their bytes (content, key, fields), and counts since the table was made
    uses   a row for each document: when it was last used, with an index

Triggers keep both. So the sum is part of every transaction that changes a document, whoever makes it: many processes,
one without `max_bytes`, an older Docstore, a person with SQLite's own shell. After a kill it is right as the rows are
right, and `docstore check` counts it again. A column of `documents` was rejected for uses: to set it, SQLite writes the
whole row anew, content included.

A write evicts inside its own transaction, after its row was written and until the sum is within the bound again, so no
COMMIT ever shows more. Uses are noted in memory (uses.py): what seems to be the oldest is looked up there first, and if
it was used since, that is written down and the next one is looked at. So within a process what goes is what was
used longest ago, exactly; what others have noted and not yet written down is not seen.
"""

from typing import Final, cast

import apsw

from docstore.engines.contract import PutRequest, Usage
from docstore.engines.shared.quota import Room, Tally
from docstore.engines.shared.spool import SpooledUpload
from docstore.engines.shared.uses import Uses
from docstore.engines.sqlite import queries
from docstore.engines.sqlite.queries import Transaction
from docstore.errors import Conflict
from docstore.model import Expectation, WriteResult, satisfies

OVERHEAD: Final = 1024
"""Bytes of a database that a document takes beside content, key and fields: its row, its places in four indexes, what
pages have left. Measured by benchmarks/cache.py."""

STEP_LIMIT: Final = 1000
"""Documents that are evicted in one transaction while a database is opened."""

_BYTES: Final = "{0}.size + octet_length({0}.key) + octet_length({0}.fields)"
_NEW, _OLD, _ROW = (_BYTES.format(name) for name in ("NEW", "OLD", "documents"))
# Not the time of modification, which may be of elsewhere and in the future. Where there is a bound, the writer sets a
# time of its own clock after this one.
_USED: Final = f"(SELECT min(ifnull(max(used_ns), 0), {queries.LAST_NS - 1}) + 1 FROM uses)"  # noqa: S608 - of constants

_MAKE: Final = f"""
CREATE TABLE room (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    documents INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    misses INTEGER NOT NULL,
    evictions INTEGER NOT NULL
) STRICT;
CREATE TABLE uses (document INTEGER PRIMARY KEY, used_ns INTEGER NOT NULL) STRICT;
INSERT INTO room SELECT 1, count(*), ifnull(sum({_ROW}), 0), 0, 0, 0 FROM documents;
INSERT INTO uses SELECT id, row_number() OVER (ORDER BY modified_ns, id) FROM documents;
CREATE INDEX uses_in_order ON uses (used_ns);
CREATE TRIGGER room_taken AFTER INSERT ON documents BEGIN
    UPDATE room SET documents = documents + 1, bytes = bytes + {_NEW};
    INSERT INTO uses VALUES (NEW.id, {_USED});
END;
CREATE TRIGGER room_changed AFTER UPDATE ON documents BEGIN
    UPDATE room SET bytes = bytes + {_NEW} - ({_OLD});
    UPDATE uses SET used_ns = {_USED} WHERE document = NEW.id;
END;
CREATE TRIGGER room_given AFTER DELETE ON documents BEGIN
    UPDATE room SET documents = documents - 1, bytes = bytes - ({_OLD});
    DELETE FROM uses WHERE document = OLD.id;
END;
"""  # noqa: S608 - made of constants
_MADE: Final = "SELECT 1 FROM sqlite_schema WHERE name = 'room'"
_LAST_USE: Final = "SELECT ifnull(max(used_ns), 0) FROM uses"
_HELD: Final = "SELECT documents, bytes, hits, misses, evictions FROM room"
_COUNT: Final = "UPDATE room SET hits = hits + ?, misses = misses + ?, evictions = evictions + ?"
_USE: Final = "UPDATE uses SET used_ns = ? WHERE document = ? AND used_ns < ?"
_USE_OF: Final = "UPDATE uses SET used_ns = ? WHERE document = (SELECT id FROM documents WHERE key = ?) AND used_ns < ?"
_EXPIRED: Final = """
SELECT id, file, key FROM documents WHERE expires_ns <= ? AND key <> ? ORDER BY expires_ns LIMIT 1"""
_OLDEST: Final = """
SELECT document, file, key FROM uses CROSS JOIN documents ON id = document WHERE key <> ? ORDER BY used_ns LIMIT 1"""

_Victim = tuple[int, str | None, str]
_HeldRow = tuple[int, int, int, int, int]


def is_made(connection: apsw.Connection) -> bool:
    """Whether the tables are there. Raises apsw.Error."""
    return connection.execute(_MADE).get is not None


def make(connection: apsw.Connection) -> None:
    """Makes the tables when they are absent, in the caller's transaction. Raises apsw.Error."""
    if not is_made(connection):
        connection.execute(_MAKE)


def last_use_ns(connection: apsw.Connection) -> int:
    """0 when there was none. Raises apsw.Error."""
    return cast(int, connection.execute(_LAST_USE).get)


def used(connection: apsw.Connection, room: Room) -> int:
    """Bytes. Raises apsw.Error."""
    row: _HeldRow = connection.execute(_HELD).get
    return row[1] + row[0] * room.overhead


class Keeping:
    """The operations of the writer that mind the room."""

    def __init__(self, room: Room, uses: Uses, tally: Tally) -> None:
        """`tally` is only added to, by another thread."""
        self._room = room
        self._uses = uses
        self._tally = tally
        self._told = Tally()
        """What of the tally is written down."""
        self._transaction: Transaction | None = None
        self._taken: dict[str, int] = {}
        """Uses that `_transaction` writes down."""
        self._told_before = (0, 0)

    def put(self, transaction: Transaction, request: PutRequest, received: SpooledUpload) -> WriteResult:
        """As queries.put. Raises NoSpace, having changed nothing, when there is no room and nothing may be evicted."""
        key = request.key
        cost = self._room.cost(key, received.size, request.fields)
        if not self._room.evict or cost > self._room.max_bytes:
            self._check(transaction, key, cost, request.expect)
        written = queries.put(transaction, request, received)
        if self._room.evict:
            used_ns = self._uses.next(last_use_ns(transaction.connection))
            transaction.connection.execute(_USE_OF, (used_ns, key, used_ns))
            self.evict(transaction, key)
        return written

    def _check(self, transaction: Transaction, key: str, cost: int, expect: Expectation) -> None:
        free = self._room.max_bytes - used(transaction.connection, self._room)
        if cost <= free:
            return
        row: queries.HeadRow | None = transaction.connection.execute(queries.HEAD, (key,)).get
        replaced = None if row is None else queries.meta_of(transaction.connection, row[:-1])
        current = None if replaced is None or replaced.expired(transaction.clock()) else replaced
        if not satisfies(expect, current):
            raise Conflict(current)
        if cost > max(free, 0) + (0 if replaced is None else self._room.cost_of(replaced)):
            raise self._room.full()

    def evict(self, transaction: Transaction, sparing: str = "", limit: int = -1) -> None:
        """Removes what goes first, at most `limit` documents, until the rest is within the bound."""
        connection, evicted = transaction.connection, 0
        while limit != 0 and self.is_too_much(connection):
            victim: _Victim | None = connection.execute(_EXPIRED, (transaction.clock(), sparing)).get
            if victim is None:
                victim = self._oldest(transaction, sparing)
                if victim is None:
                    break
                evicted += 1
            connection.execute("DELETE FROM documents WHERE id = ?", (victim[0],))
            if victim[1] is not None:
                transaction.unnamed.append(victim[1])
            limit -= 1
        if evicted:
            connection.execute(_COUNT, (0, 0, evicted))

    def is_too_much(self, connection: apsw.Connection) -> bool:
        """Whether the documents take more than the bound. Raises apsw.Error."""
        return used(connection, self._room) > self._room.max_bytes

    def _oldest(self, transaction: Transaction, sparing: str) -> _Victim | None:
        """What was used longest ago."""
        self._begin(transaction)
        connection = transaction.connection
        while True:
            victim: _Victim | None = connection.execute(_OLDEST, (sparing,)).get
            used_ns = None if victim is None else self._uses.take(victim[2])
            if victim is None or used_ns is None:
                return victim
            self._taken[victim[2]] = used_ns
            connection.execute(_USE, (used_ns, victim[0], used_ns))

    def _begin(self, transaction: Transaction) -> None:
        """To be called before anything is forgotten because it is written down in `transaction`."""
        if transaction is not self._transaction:
            # What the last one wrote down is committed, or was given back.
            self._transaction, self._taken = transaction, {}
            self._told_before = self._told.hits, self._told.misses
            transaction.undoing.append(self._give_back)

    def _give_back(self) -> None:
        self._uses.give_back(self._taken)
        self._told.hits, self._told.misses = self._told_before
        self._transaction, self._taken = None, {}

    def has_to_tell(self) -> bool:
        """Whether there is anything to write down."""
        return len(self._uses) > 0 or any(self._untold())

    def write_down(self, transaction: Transaction) -> None:
        """What was noted and counted since it was last written down."""
        self._begin(transaction)
        taken = self._uses.take_all()
        self._taken.update((key, used_ns) for used_ns, key in taken)
        transaction.connection.executemany(_USE_OF, [(used_ns, key, used_ns) for used_ns, key in taken])
        self._uses.next(last_use_ns(transaction.connection))
        hits, misses = self._untold()
        if hits or misses:
            self._told.hits, self._told.misses = self._told.hits + hits, self._told.misses + misses
            transaction.connection.execute(_COUNT, (hits, misses, 0))

    def usage(self, connection: apsw.Connection) -> Usage:
        """Of all processes, but for what others have not yet written down. Raises apsw.Error."""
        room, (hits, misses) = self._room, self._untold()
        row: _HeldRow = connection.execute(_HELD).get
        return Usage(
            documents=row[0],
            used_bytes=row[1] + row[0] * room.overhead,
            max_bytes=room.max_bytes,
            evict=room.word,
            hits=row[2] + hits,
            misses=row[3] + misses,
            evictions=row[4],
        )

    def _untold(self) -> tuple[int, int]:
        return self._tally.hits - self._told.hits, self._tally.misses - self._told.misses
