"""The quota of a database: what its documents cost, when each was last used, and which are evicted.

Two tables are made when a database is first opened with `max_bytes`; without it nothing is paid.

    room   one row: number of documents, their bytes (content, key, fields), and counters
    uses   one row per document: the time of its last use, indexed

Triggers keep both, so every transaction that changes a document updates the sum, whoever makes it: several processes,
one without `max_bytes`, an older Docstore, a person with SQLite's own shell. After a kill the sum is as right as the
rows are, and `docstore check` counts again. A column of `documents` was rejected for the times: to set it, SQLite
rewrites the whole row, content included.

A write evicts inside its own transaction, after its row was written, so no COMMIT ever exceeds the quota. Reads are
noted in memory (`AccessTimes`) and written together later. Before a document is evicted, its noted time is looked up;
if there is one, it is written and the next oldest is tried. So the order is exact within a process; the notes of other
processes are not seen until they are written.
"""

import threading
from functools import partial
from typing import Final, cast

import apsw

from docstore.engines.contract import PutRequest, Usage
from docstore.engines.shared.quota import Quota
from docstore.engines.shared.spool import SpooledUpload
from docstore.engines.sqlite import queries
from docstore.engines.sqlite.queries import Transaction
from docstore.errors import Conflict
from docstore.model import Clock, Expectation, WriteResult, satisfies

SQLITE_OVERHEAD: Final = 1024
"""Bytes of a database that a document takes beside content, key and fields: its row, its entries in four indexes, free
space in pages. Measured by benchmarks/cache.py."""

ACCESSES_LIMIT: Final = 10_000
"""Noted keys at which the notes are to be written: some megabytes, and some 50 ms of the writer."""

_BYTES: Final = "{0}.size + octet_length({0}.key) + octet_length({0}.fields)"
_NEW, _OLD, _ROW = (_BYTES.format(name) for name in ("NEW", "OLD", "documents"))
# Not the time of modification, which an import may set to the future. QuotaWriter then sets the time of its own clock.
_USED: Final = f"(SELECT min(ifnull(max(used_ns), 0), {queries.MAX_SQLITE_TIME_NS - 1}) + 1 FROM uses)"  # noqa: S608 - of constants

_CREATE: Final = f"""
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
_EXISTS: Final = "SELECT 1 FROM sqlite_schema WHERE name = 'room'"
_LAST_USE: Final = "SELECT ifnull(max(used_ns), 0) FROM uses"
_TOTALS: Final = "SELECT documents, bytes, hits, misses, evictions FROM room"
_COUNT: Final = "UPDATE room SET hits = hits + ?, misses = misses + ?, evictions = evictions + ?"
_USE: Final = "UPDATE uses SET used_ns = ? WHERE document = ? AND used_ns < ?"
_USE_OF: Final = "UPDATE uses SET used_ns = ? WHERE document = (SELECT id FROM documents WHERE key = ?) AND used_ns < ?"
_EXPIRED: Final = """
SELECT id, file, key FROM documents WHERE expires_ns <= ? AND key <> ? ORDER BY expires_ns LIMIT 1"""
_OLDEST: Final = """
SELECT document, file, key FROM uses CROSS JOIN documents ON id = document WHERE key <> ? ORDER BY used_ns LIMIT 1"""

_VictimRow = tuple[int, str | None, str]
_TotalsRow = tuple[int, int, int, int, int]


def quota_tables_exist(connection: apsw.Connection) -> bool:
    """Raise apsw.Error when the database can't be read, like the functions below."""
    return connection.execute(_EXISTS).get is not None


def create_quota_tables(connection: apsw.Connection) -> None:
    """Create the tables, unless another process has, in the caller's transaction."""
    if not quota_tables_exist(connection):
        connection.execute(_CREATE)


def last_access_ns(connection: apsw.Connection) -> int:
    """The latest time of a use; 0 when there was none."""
    return cast(int, connection.execute(_LAST_USE).get)


def used_bytes(connection: apsw.Connection, quota: Quota) -> int:
    row: _TotalsRow = connection.execute(_TOTALS).get
    return row[1] + row[0] * quota.overhead


def over_quota(connection: apsw.Connection, quota: Quota) -> bool:
    return used_bytes(connection, quota) > quota.max_bytes


class AccessTimes:
    """When documents were last read, and counts of reads, until they are written to the database together.

    The event loop notes and the writer's thread takes. Times never stand still or go back, whatever the clock does:
    their order is that of the uses. A kill loses what was noted since the last sweep.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ns = 0
        self._lock = threading.Lock()
        self._times: dict[str, int] = {}
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._times)

    def note(self, key: str) -> None:
        # While nobody takes them, as when the disk is full, there are at most twice as many.
        if len(self._times) < 2 * ACCESSES_LIMIT or key in self._times:
            self._times[key] = self.next_ns()

    def next_ns(self, last_ns: int = 0) -> int:
        """A time later than all before, and than `last_ns`, which another process may have written."""
        with self._lock:
            # Later than a write at the same instant: a clock may be coarse.
            self._last_ns = min(max(self._last_ns, last_ns, self._clock()) + 1, queries.MAX_SQLITE_TIME_NS)
            return self._last_ns

    def take(self, key: str) -> int | None:
        """Remove and return the noted time of `key`."""
        return self._times.pop(key, None)

    def take_all(self) -> dict[str, int]:
        times: dict[str, int] = {}
        while self._times:
            # One step of the dict each, because the event loop may note meanwhile.
            key, used_ns = self._times.popitem()
            times[key] = used_ns
        return times

    def restore(self, times: dict[str, int]) -> None:
        """Note again what was taken and not committed, unless the document was used since."""
        for key, used_ns in times.items():
            self._times.setdefault(key, used_ns)


class QuotaWriter:
    """The operations of the writer's thread that enforce the quota and write access times down."""

    def __init__(self, quota: Quota, accesses: AccessTimes) -> None:
        self._quota = quota
        self._accesses = accesses
        self._written = (0, 0)
        """The hits and misses of `accesses` that are in the database."""

    def put(self, transaction: Transaction, request: PutRequest, received: SpooledUpload) -> WriteResult:
        """Write like queries.put_row. Raise NoSpace, having changed nothing, when the document does not fit."""
        key, quota = request.key, self._quota
        cost = quota.cost(key, received.size, request.fields)
        if not quota.evict or cost > quota.max_bytes:
            self._check(transaction, key, cost, request.expect)
        result = queries.put_row(transaction, request, received)
        if quota.evict:
            used_ns = self._accesses.next_ns(last_access_ns(transaction.connection))
            transaction.connection.execute(_USE_OF, (used_ns, key, used_ns))
            self.evict(transaction, key)
        return result

    def _check(self, transaction: Transaction, key: str, cost: int, expect: Expectation) -> None:
        free = self._quota.max_bytes - used_bytes(transaction.connection, self._quota)
        if cost <= free:
            return
        row: queries.HeadRow | None = transaction.connection.execute(queries.SELECT_META, (key,)).get
        replaced = None if row is None else queries.meta_of(transaction.connection, row[:-1])
        current = None if replaced is None or replaced.expired(transaction.clock()) else replaced
        if not satisfies(expect, current):
            raise Conflict(current)
        if cost > max(free, 0) + (0 if replaced is None else self._quota.cost_of(replaced)):
            raise self._quota.exceeded()

    def evict(self, transaction: Transaction, kept_key: str = "", limit: int = -1) -> None:
        """Delete expired, then least recently used documents, at most `limit`, until the rest is within the quota."""
        connection, evicted = transaction.connection, 0
        while limit != 0 and over_quota(connection, self._quota):
            victim: _VictimRow | None = connection.execute(_EXPIRED, (transaction.clock(), kept_key)).get
            if victim is None:
                victim = self._least_recently_used(transaction, kept_key)
                if victim is None:
                    break
                evicted += 1
            connection.execute("DELETE FROM documents WHERE id = ?", (victim[0],))
            if victim[1] is not None:
                transaction.orphaned_files.append(victim[1])
            limit -= 1
        if evicted:
            connection.execute(_COUNT, (0, 0, evicted))

    def _least_recently_used(self, transaction: Transaction, kept_key: str) -> _VictimRow | None:
        while True:
            victim: _VictimRow | None = transaction.connection.execute(_OLDEST, (kept_key,)).get
            used_ns = None if victim is None else self._accesses.take(victim[2])
            if victim is None or used_ns is None:
                return victim
            self._on_rollback_restore(transaction, {victim[2]: used_ns})
            transaction.connection.execute(_USE, (used_ns, victim[0], used_ns))

    def _on_rollback_restore(self, transaction: Transaction, times: dict[str, int]) -> None:
        # The latest notes are restored first, because the earlier of one key are older.
        transaction.rollback_hooks.insert(0, partial(self._accesses.restore, times))

    def has_unwritten(self) -> bool:
        return len(self._accesses) > 0 or self._written != (self._accesses.hits, self._accesses.misses)

    def write_accesses(self, transaction: Transaction) -> None:
        """Write the times and counts noted since the last call."""
        connection, times = transaction.connection, self._accesses.take_all()
        self._on_rollback_restore(transaction, times)
        connection.executemany(_USE_OF, [(used_ns, key, used_ns) for key, used_ns in times.items()])
        self._accesses.next_ns(last_access_ns(connection))
        hits, misses = self._unwritten()
        if hits or misses:
            connection.execute(_COUNT, (hits, misses, 0))
            self._add_written(hits, misses)
            transaction.rollback_hooks.append(partial(self._add_written, -hits, -misses))

    def _unwritten(self) -> tuple[int, int]:
        return self._accesses.hits - self._written[0], self._accesses.misses - self._written[1]

    def _add_written(self, hits: int, misses: int) -> None:
        self._written = self._written[0] + hits, self._written[1] + misses

    def usage(self, connection: apsw.Connection) -> Usage:
        """The usage by all processes, without what others have not yet written. Raise apsw.Error."""
        quota, (hits, misses) = self._quota, self._unwritten()
        row: _TotalsRow = connection.execute(_TOTALS).get
        return Usage(
            documents=row[0],
            used_bytes=row[1] + row[0] * quota.overhead,
            max_bytes=quota.max_bytes,
            evict=quota.policy,
            hits=row[2] + hits,
            misses=row[3] + misses,
            evictions=row[4],
        )
