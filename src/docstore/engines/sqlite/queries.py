"""Documents as rows: every statement on the table, as functions of a connection or of a transaction.

The functions that write run inside the writer's transaction, which excludes all others: the row they read is the row
they change. So they check the expectation, like every engine, and no condition is repeated in SQL; a statement that
checks and writes at once would still need a second one to tell which blob it replaced.

A write that is refused changes nothing, and its transaction continues. Times are read inside the transaction, one for
each operation. An expired row is absent, and the next write replaces it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, cast

import apsw

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest, check_expectation
from docstore.engines.shared.columns import end_of, limit_times
from docstore.engines.shared.spool import SpooledUpload
from docstore.errors import CorruptData
from docstore.model import ANY, Clock, Expectation, Fields, Meta, WriteResult

FREE_PAGES_KEPT: Final = 1024
"""Free pages kept in the file for the next writes, 4 MiB; more are returned to the file system."""

GIVEN_BACK_PAGES: Final = 512
"""Limit of the pages that one sweep returns; it blocks writers for some ten milliseconds."""

MetaRow = tuple[str, str, int, bytes, str, int, int | None]
DocumentRow = tuple[str, int, bytes, str, int, int | None, str | None, bytes | None]
MetaPage = list[Meta]
_CurrentRow = tuple[int, str | None, str, str, int, bytes, str, int, int | None]

SELECT_DOCUMENT: Final = """
SELECT version, size, digest, fields, modified_ns, expires_ns, file, data FROM documents WHERE key = ?"""
SELECT_WITHOUT_DATA: Final = """
SELECT version, size, digest, fields, modified_ns, expires_ns, file, NULL FROM documents WHERE key = ?"""
_SELECT_CURRENT: Final = """
SELECT id, file, key, version, size, digest, fields, modified_ns, expires_ns FROM documents WHERE key = ?"""
SELECT_PAGE: Final = """
SELECT key, version, size, digest, fields, modified_ns, expires_ns FROM documents
WHERE key >= ? AND key < ? AND key <> ? AND (expires_ns IS NULL OR expires_ns > ?) ORDER BY key LIMIT ?"""
_SELECT_ANY: Final = "SELECT 1 FROM documents WHERE key >= ? AND key < ? LIMIT 1"
_SELECT_REPLACED: Final = "SELECT id, file, expires_ns <= ? FROM documents WHERE key = ?"
_INSERT: Final = """
INSERT INTO documents (key, version, size, digest, fields, modified_ns, expires_ns, file, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_UPDATE: Final = """
UPDATE documents SET version = ?, size = ?, digest = ?, fields = ?, modified_ns = ?, expires_ns = ?, file = ?, data = ?
WHERE id = ?"""
DELETE_EXPIRED: Final = """
DELETE FROM documents WHERE id IN (
    SELECT id FROM documents WHERE expires_ns <= ? ORDER BY expires_ns LIMIT ?
) RETURNING file"""
BLOB_ROW: Final = "SELECT 1 FROM documents WHERE file = ?"

# PERF: most documents have the same few fields. Unpacking them took 3 µs of a get's 10; looking them up takes 0.1.
_unpack_fields: Final[Callable[[str], Fields]] = lru_cache(1024)(Fields.unpack)


@dataclass(slots=True)
class Transaction:
    """The argument of an operation of the writer."""

    connection: apsw.Connection
    clock: Clock
    orphaned_files: list[str] = field(default_factory=list)
    """Blobs to unlink once this operation is committed."""
    changed_keys: list[str] = field(default_factory=list)
    """The key of each row that `put_row` and `delete_row` changed, in all operations of the transaction."""


def meta_of(connection: apsw.Connection, row: MetaRow) -> Meta:
    """Raise CorruptData for unreadable fields or a column of another type, which a damaged page may contain."""
    key, version, size, digest, packed, modified_ns, expires_ns = row
    if not (
        type(key) is type(version) is type(packed) is str
        and type(size) is type(modified_ns) is int
        and type(digest) is bytes
        and (expires_ns is None or type(expires_ns) is int)
    ):
        raise CorruptData(f"{connection.filename}: {key!r}: the row is damaged")
    try:
        fields = _unpack_fields(packed)
    except CorruptData as error:
        raise CorruptData(f"{connection.filename}: {key!r}: {error}") from error
    return Meta(key, version, size, digest, fields, modified_ns, expires_ns)


def inline_content(connection: apsw.Connection, key: str, size: int, data: bytes | None) -> BytesContent:
    """Raise CorruptData when `data`, the content in the row of `key`, does not have `size` bytes."""
    if type(data) is not bytes or len(data) != size:
        raise CorruptData(f"{connection.filename}: the content of {key!r} does not have {size} bytes")
    return BytesContent(data)


def list_rows(connection: apsw.Connection, now_ns: int, prefix: str, after: str, limit: int) -> list[Meta]:
    """Return what `Engine.list` returns. All rows are read then: no read transaction stays open."""
    first, end = max(prefix, after), end_of(prefix) or b""  # SQLite sorts every BLOB after every TEXT
    rows = cast(list[MetaRow], connection.execute(SELECT_PAGE, (first, end, after, now_ns, limit)).fetchall())
    return [meta_of(connection, row) for row in rows]


def has_rows(connection: apsw.Connection, prefix: str) -> bool:
    """Return whether there is a document below `prefix`, expired or not."""
    return connection.execute(_SELECT_ANY, (prefix, end_of(prefix) or b"")).get is not None


def find_row(transaction: Transaction, key: str) -> tuple[int | None, str | None, Meta | None]:
    """Return id, blob name and meta of the row of `key`, expired or not; None of each when there is no row."""
    row: _CurrentRow | None = transaction.connection.execute(_SELECT_CURRENT, (key,)).get
    return (None, None, None) if row is None else (row[0], row[1], meta_of(transaction.connection, row[2:]))


def current_at(now_ns: int, stored: Meta | None) -> Meta | None:
    return None if stored is None or stored.expired(now_ns) else stored


def put_row(transaction: Transaction, request: PutRequest, spooled: SpooledUpload) -> WriteResult:
    now_ns = transaction.clock()
    if request.expect is ANY:
        # PERF: half of the instructions of `find_row`, whose meta is for expectations.
        replaced = transaction.connection.execute(_SELECT_REPLACED, (now_ns, request.key)).get
        row_id, file, is_expired = replaced or (None, None, None)
        created = row_id is None or bool(is_expired)
    else:
        row_id, file, stored = find_row(transaction, request.key)
        current = current_at(now_ns, stored)
        check_expectation(request.expect, current)
        created = current is None
    meta = limit_times(request.meta(spooled.digest, spooled.size, now_ns))
    new_file = spooled.path.name if spooled.path is not None else None
    state = (meta.version, meta.size, meta.digest, meta.fields.pack(), meta.modified_ns, meta.expires_ns, new_file)
    if row_id is None:
        transaction.connection.execute(_INSERT, (meta.key, *state, spooled.data))
    else:
        transaction.connection.execute(_UPDATE, (*state, spooled.data, row_id))
    transaction.changed_keys.append(meta.key)
    if file is not None:
        transaction.orphaned_files.append(file)
    return WriteResult(meta, created)


def delete_row(transaction: Transaction, key: str, expect: Expectation) -> Meta | None:
    row_id, file, stored = find_row(transaction, key)
    current = current_at(transaction.clock(), stored)
    check_expectation(expect, current)
    if row_id is not None:
        transaction.connection.execute("DELETE FROM documents WHERE id = ?", (row_id,))
        transaction.changed_keys.append(key)
    if file is not None:
        transaction.orphaned_files.append(file)
    return current


def sweep_rows(transaction: Transaction, limit: int) -> int:
    """Delete at most `limit` expired rows, and return some free pages to the file system."""
    connection = transaction.connection
    rows = cast(list[tuple[str | None]], connection.execute(DELETE_EXPIRED, (transaction.clock(), limit)).fetchall())
    transaction.orphaned_files += [file for (file,) in rows if file is not None]
    if connection.pragma("freelist_count") > FREE_PAGES_KEPT:
        # Each step of the statement frees one page, so it must run to its end.
        connection.execute(f"PRAGMA incremental_vacuum({GIVEN_BACK_PAGES})").fetchall()
    return len(rows)


def is_orphan(connection: apsw.Connection, name: str) -> bool:
    """Return whether no row refers to this blob."""
    return connection.execute(BLOB_ROW, (name,)).get is None
