"""Documents as rows: every statement on the table, as functions of a connection or of a transaction.

The functions that write run inside the writer's transaction, which no other can enter: the row they read is the row
they change. So they ask `satisfies`, like every engine, and no condition is repeated in SQL; a statement that
checks and
writes at once would still need a second one to tell which sealed file it replaced.

Whatever is refused is refused before the first change: a transaction goes on after a refusal. Times are read inside the
transaction, one for each operation. An expired row is absent, and its place is taken by the next write.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, cast

import apsw

from docstore.engines.contract import PutRequest
from docstore.engines.shared.spool import SpooledUpload
from docstore.errors import Conflict, CorruptData
from docstore.model import Clock, Expectation, Fields, Meta, WriteResult, satisfies, version_of

LAST_NS: Final = 2**63 - 1
"""The latest time that SQLite can hold, in the year 2262: what expires later expires then."""

FREE_PAGES_KEPT: Final = 1024
"""Free pages that stay in the file for the next writes, 4 MiB; more is given back."""

GIVEN_BACK_PAGES: Final = 512
"""The most pages that one sweep gives back: some ten milliseconds in which nobody else writes."""

MetaRow = tuple[str, str, int, bytes, str, int, int | None]
HeadRow = tuple[str, str, int, bytes, str, int, int | None, str | None]
FoundRow = tuple[str, int, bytes, str, int, int | None, str | None, bytes | None]
_HeldRow = tuple[int, str | None, str, str, int, bytes, str, int, int | None]
Page = list[Meta]

HEAD: Final = "SELECT key, version, size, digest, fields, modified_ns, expires_ns, file FROM documents WHERE key = ?"
GET: Final = """
SELECT version, size, digest, fields, modified_ns, expires_ns, file, data FROM documents WHERE key = ?"""
_HELD: Final = """
SELECT id, file, key, version, size, digest, fields, modified_ns, expires_ns FROM documents WHERE key = ?"""
PAGE: Final = """
SELECT key, version, size, digest, fields, modified_ns, expires_ns FROM documents
WHERE key >= ? AND key < ? AND key <> ? AND (expires_ns IS NULL OR expires_ns > ?) ORDER BY key LIMIT ?"""
_INSERT: Final = """
INSERT INTO documents (key, version, size, digest, fields, modified_ns, expires_ns, file, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_UPDATE: Final = """
UPDATE documents SET version = ?, size = ?, digest = ?, fields = ?, modified_ns = ?, expires_ns = ?, file = ?, data = ?
WHERE id = ?"""
SWEEP: Final = """
DELETE FROM documents WHERE id IN (
    SELECT id FROM documents WHERE expires_ns <= ? ORDER BY expires_ns LIMIT ?
) RETURNING file"""
NAMED: Final = "SELECT 1 FROM documents WHERE file = ?"

# PERF: most documents of a store have the same few fields. Unpacking them took 3 µs of a get's 10; looking them up
# takes 0.1.
_unpack_fields: Final[Callable[[str], Fields]] = lru_cache(1024)(Fields.unpack)


@dataclass(slots=True)
class Transaction:
    """What an operation of the writer works on."""

    connection: apsw.Connection
    clock: Clock
    unnamed: list[str] = field(default_factory=list)
    """Sealed files that no row names any more, once this operation is committed."""
    undoing: list[Callable[[], None]] = field(default_factory=list)
    """What is to be done beside the database when all of it is rolled back."""


def fields_of(connection: apsw.Connection, key: str, packed: str) -> Fields:
    """The fields that stand in the row of `key`. Raises CorruptData when they can't be read."""
    try:
        return _unpack_fields(packed)
    except CorruptData as error:
        raise CorruptData(f"{connection.filename}: {key!r}: {error}") from error


def meta_of(connection: apsw.Connection, row: MetaRow) -> Meta:
    """Raises CorruptData when the fields can't be read, or a column is of another type: so a damaged page may
    have it."""
    key, version, size, digest, packed, modified_ns, expires_ns = row
    if not (
        type(key) is type(version) is type(packed) is str
        and type(size) is type(modified_ns) is int
        and type(digest) is bytes
        and (expires_ns is None or type(expires_ns) is int)
    ):
        raise CorruptData(f"{connection.filename}: {key!r}: its row is damaged")
    return Meta(key, version, size, digest, fields_of(connection, key, packed), modified_ns, expires_ns)


def page(connection: apsw.Connection, now_ns: int, prefix: str, after: str, limit: int) -> Page:
    """What `Engine.list` answers. All rows are read when it returns: no read transaction stays open."""
    first, end = max(prefix, after), end_of(prefix)
    rows = cast(list[MetaRow], connection.execute(PAGE, (first, end, after, now_ns, limit)).fetchall())
    return [meta_of(connection, row) for row in rows]


def end_of(prefix: str) -> str | bytes:
    """What sorts after all keys that start with `prefix`, and before or at every greater key.

    Bytewise order of UTF-8 is that of code points, so this is the prefix with its last character made the next one; no
    character follows U+10FFFF, and none lies between U+D7FF and U+E000. SQLite sorts every blob after every text.
    """
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return b""
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(0xE000 if following == 0xD800 else following)


def _held(transaction: Transaction, key: str, now_ns: int) -> tuple[int | None, str | None, Meta | None]:
    """The row's id and its sealed file, and the document in it: None when there is none, or it is expired."""
    row: _HeldRow | None = transaction.connection.execute(_HELD, (key,)).get
    if row is None:
        return None, None, None
    meta = meta_of(transaction.connection, row[2:])
    return row[0], row[1], None if meta.expired(now_ns) else meta


def put(transaction: Transaction, request: PutRequest, received: SpooledUpload) -> WriteResult:
    key, fields, expires_ns = request.key, request.fields, request.expires_ns
    now_ns = transaction.clock()
    row_id, file, current = _held(transaction, key, now_ns)
    if not satisfies(request.expect, current):
        raise Conflict(current)
    if expires_ns is not None:
        expires_ns = min(expires_ns, LAST_NS)
    version = version_of(received.digest, fields)
    modified_ns = now_ns if request.modified_ns is None else min(request.modified_ns, LAST_NS)
    meta = Meta(key, version, received.size, received.digest, fields, modified_ns, expires_ns)
    new_file = received.path.name if received.path is not None else None
    state = (version, received.size, received.digest, fields.pack(), modified_ns, expires_ns, new_file, received.data)
    if row_id is None:
        transaction.connection.execute(_INSERT, (key, *state))
    else:
        transaction.connection.execute(_UPDATE, (*state, row_id))
    if file is not None:
        transaction.unnamed.append(file)
    return WriteResult(meta, created=current is None)


def delete(transaction: Transaction, key: str, expect: Expectation) -> Meta | None:
    row_id, file, current = _held(transaction, key, transaction.clock())
    if not satisfies(expect, current):
        raise Conflict(current)
    if row_id is not None:
        transaction.connection.execute("DELETE FROM documents WHERE id = ?", (row_id,))
    if file is not None:
        transaction.unnamed.append(file)
    return current


def sweep(transaction: Transaction, limit: int) -> int:
    """Deletes at most `limit` expired rows, and gives some free pages back to the file system."""
    connection = transaction.connection
    rows = cast(list[tuple[str | None]], connection.execute(SWEEP, (transaction.clock(), limit)).fetchall())
    transaction.unnamed += [file for (file,) in rows if file is not None]
    if connection.pragma("freelist_count") > FREE_PAGES_KEPT:
        # Each step of the statement frees one page: it must be run to its end.
        connection.execute(f"PRAGMA incremental_vacuum({GIVEN_BACK_PAGES})").fetchall()
    return len(rows)


def names_file(connection: apsw.Connection, name: str) -> bool:
    """Whether a row names this sealed file."""
    return connection.execute(NAMED, (name,)).get is not None
