"""The quota of a database: the cost of its documents, the time of their last use, and evictions.

Two tables are made when a database is first opened with `max_bytes`: `room`, one row with the number of documents,
their bytes (content, key, fields) and counters, and `uses`, the time of the last use of each document. Triggers keep
both, so every transaction that changes a document updates the sum, also that of another program. A column of
`documents` was rejected for the times: to set it, SQLite rewrites the whole row, content included.

A write evicts inside its own transaction, after its row was written, so no COMMIT ever exceeds the quota. Reads are
noted in memory (`AccessTimes`) and written together later. Before a document is evicted, its noted time is looked up;
if it is later, it is written and the next oldest is tried. So the order is exact within a process; the notes of other
processes are not seen until they are written.
"""

import threading
from typing import Final, cast

import apsw

from docstore.engines.contract import PutRequest, Usage, check_expectation
from docstore.engines.shared.columns import MAX_TIME_NS
from docstore.engines.shared.quota import Quota
from docstore.engines.shared.spool import SpooledUpload
from docstore.engines.sqlite import queries
from docstore.engines.sqlite.queries import Transaction
from docstore.model import Clock, Expectation, WriteResult

SQLITE_OVERHEAD: Final = 1024
"""Bytes of a database that a document takes beside content, key and fields: its row, its entries in four indexes, free
space in pages. Measured by benchmarks/cache.py."""

ACCESSES_LIMIT: Final = 10_000
"""Recorded keys at which they have to be written: some megabytes, and some 50 ms of the writer."""

_BYTES: Final = "{0}.size + octet_length({0}.key) + octet_length({0}.fields)"
_NEW, _OLD, _ROW = (_BYTES.format(name) for name in ("NEW", "OLD", "documents"))
# Not the time of modification, which an import may set to the future. QuotaWriter then sets the time of its own clock.
_USED: Final = f"(SELECT min(ifnull(max(used_ns), 0), {MAX_TIME_NS - 1}) + 1 FROM uses)"  # noqa: S608 - of constants

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
_USE: Final = "UPDATE uses SET used_ns = ? WHERE document = ?"
_USE_OF: Final = "UPDATE uses SET used_ns = ? WHERE document = (SELECT id FROM documents WHERE key = ?) AND used_ns < ?"
_EXPIRED: Final = """
SELECT id, file, key, 0 FROM documents WHERE expires_ns <= ? AND key <> ? ORDER BY expires_ns LIMIT 1"""
_OLDEST: Final = """
SELECT document, file, key, used_ns FROM uses CROSS JOIN documents ON id = document
WHERE key <> ? ORDER BY used_ns LIMIT 1"""

_OVERSIZED: Final = f"""
DELETE FROM documents WHERE id IN (SELECT id FROM documents WHERE {_ROW} > ? LIMIT ?) RETURNING file"""  # noqa: S608

_VictimRow = tuple[int, str | None, str, int]
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

    The event loop notes and forgets; the writer's thread reads. So a transaction that is rolled back has lost nothing.
    Times never stand still or go back, whatever the clock does: their order is that of the uses. A kill loses what was
    noted since the last sweep.
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

    def __bool__(self) -> bool:
        return bool(self._times or self.hits or self.misses)

    def note(self, key: str) -> None:
        # While they can't be written, as when the disk is full, there are at most twice as many.
        if len(self._times) < 2 * ACCESSES_LIMIT or key in self._times:
            self._times[key] = self.next_ns()

    def next_ns(self, last_ns: int = 0) -> int:
        """A time later than all before, and than `last_ns`, which another process may have written."""
        with self._lock:
            # Later than a write at the same instant: a clock may be coarse.
            self._last_ns = min(max(self._last_ns, last_ns, self._clock()) + 1, MAX_TIME_NS)
            return self._last_ns

    def get(self, key: str) -> int | None:
        return self._times.get(key)

    def noted(self) -> tuple[dict[str, int], int, int]:
        """Return the times by key, the hits and the misses. They stay noted until `forget` is called with them."""
        return self._times.copy(), self.hits, self.misses

    def forget(self, times: dict[str, int], hits: int, misses: int) -> None:
        """Drop what was committed, except for the times of documents that were used since."""
        for key, used_ns in times.items():
            if self._times.get(key) == used_ns:
                del self._times[key]
        self.hits -= hits
        self.misses -= misses


class QuotaWriter:
    """The operations of the writer's thread that enforce the quota and write access times."""

    def __init__(self, quota: Quota, accesses: AccessTimes) -> None:
        self._quota = quota
        self._accesses = accesses

    def put(self, transaction: Transaction, request: PutRequest, received: SpooledUpload) -> WriteResult:
        """Write like queries.put_row. Raise NoSpace, having changed nothing, when the document does not fit."""
        key, quota = request.key, self._quota
        cost = quota.cost(key, received.size, request.stored_fields())
        if not quota.evict or cost > quota.max_bytes:
            self._check(transaction, key, cost, request.expect)
        result = queries.put_row(transaction, request, received)
        if quota.evict:
            used_ns = self._accesses.next_ns(last_access_ns(transaction.connection))
            transaction.connection.execute(_USE_OF, (used_ns, key, used_ns))
            self.evict(transaction, kept_key=key)
        return result

    def _check(self, transaction: Transaction, key: str, cost: int, expect: Expectation) -> None:
        free = self._quota.max_bytes - used_bytes(transaction.connection, self._quota)
        if cost <= free:
            return
        _, _, replaced = queries.find_row(transaction, key)
        check_expectation(expect, queries.current_at(transaction.clock(), replaced))
        if cost > max(free, 0) + (0 if replaced is None else self._quota.cost_of(replaced)):
            raise self._quota.exceeded()

    def evict(self, transaction: Transaction, limit: int = -1, kept_key: str = "") -> int:
        """Delete expired, then least recently used documents, at most `limit`, until the rest is within the quota.

        Return the number of deleted documents.
        """
        connection, deleted, evicted = transaction.connection, 0, 0
        while deleted != limit and over_quota(connection, self._quota):
            victim: _VictimRow | None = connection.execute(_EXPIRED, (transaction.clock(), kept_key)).get
            if victim is None:
                victim = self._least_recently_used(transaction, kept_key)
                if victim is None:
                    break
                evicted += 1
            connection.execute("DELETE FROM documents WHERE id = ?", (victim[0],))
            if victim[1] is not None:
                transaction.orphaned_files.append(victim[1])
            deleted += 1
        if evicted:
            connection.execute(_COUNT, (0, 0, evicted))
        return deleted

    def evict_oversized(self, transaction: Transaction, limit: int) -> int:
        """Delete at most `limit` documents that alone exceed the quota, so that no others are evicted for them.

        Return the number of deleted documents.
        """
        connection = transaction.connection
        size = self._quota.max_bytes - self._quota.overhead
        rows = cast(list[tuple[str | None]], connection.execute(_OVERSIZED, (size, limit)).fetchall())
        transaction.orphaned_files.extend(file for (file,) in rows if file is not None)
        connection.execute(_COUNT, (0, 0, len(rows)))
        return len(rows)

    def _least_recently_used(self, transaction: Transaction, kept_key: str) -> _VictimRow | None:
        while True:
            victim: _VictimRow | None = transaction.connection.execute(_OLDEST, (kept_key,)).get
            noted_ns = None if victim is None else self._accesses.get(victim[2])
            if victim is None or noted_ns is None or noted_ns <= victim[3]:
                return victim
            transaction.connection.execute(_USE, (noted_ns, victim[0]))

    def write_accesses(self, transaction: Transaction) -> tuple[dict[str, int], int, int]:
        """Write what is noted, and return it: to be forgotten when the transaction is committed."""
        connection = transaction.connection
        times, hits, misses = self._accesses.noted()
        connection.executemany(_USE_OF, [(used_ns, key, used_ns) for key, used_ns in times.items()])
        self._accesses.next_ns(last_access_ns(connection))
        connection.execute(_COUNT, (hits, misses, 0))
        return times, hits, misses

    def usage(self, connection: apsw.Connection) -> Usage:
        """The usage by all processes, without what others have not yet written. Raise apsw.Error."""
        quota = self._quota
        row: _TotalsRow = connection.execute(_TOTALS).get
        return Usage(
            documents=row[0],
            used_bytes=row[1] + row[0] * quota.overhead,
            max_bytes=quota.max_bytes,
            evict=quota.evict,
            hits=row[2] + self._accesses.hits,
            misses=row[3] + self._accesses.misses,
            evictions=row[4],
        )
