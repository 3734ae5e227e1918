"""Check a database and its blobs, without an engine and while others may use them.

SQLite's own integrity check runs first: it compares every index entry with its row, and every row with the schema. Then
every row is read, some at a time: one transaction for all of them would prevent the checkpoints of a running server. So
a row may be replaced between reading it and its blob; a missing blob is a finding only if the row still refers to it.

The connection can't write. It leaves the log as it is; it may create an empty one.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, cast

import apsw

from docstore.engines.registry import EngineURL
from docstore.engines.shared.fs import translate_open_errors
from docstore.engines.shared.verify import Checked, Finding, OrphanCheck, fault_of, hash_file
from docstore.engines.sqlite import queries
from docstore.engines.sqlite.blobs import open_blob
from docstore.engines.sqlite.driver_errors import driver_errors
from docstore.engines.sqlite.schema import READ_TIMEOUT_MS, is_empty
from docstore.errors import CorruptData, EngineError, OpenError
from docstore.model import Meta

ROWS_AT_ONCE: Final = 64
"""Rows read in one transaction: with 64 KiB of content each, 4 MiB."""

_BLOB_NAME: Final = re.compile(r"[0-9a-f]{32}")
_SNAPSHOT_NAME: Final = re.compile(r"snapshot-[0-9a-f]{16}")
"""Repeated here on purpose, like the name of the lock, so that the check detects a mistake of the engine."""
_LOCK: Final = "lock"

_ROWS: Final = """
SELECT id, key, version, size, digest, fields, modified_ns, expires_ns, file, data FROM documents
WHERE id > ? ORDER BY id LIMIT ?"""
_FILE: Final = "SELECT file FROM documents WHERE id = ?"

_COUNTED: Final = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'room'"
_COUNT: Final = """
SELECT documents, bytes, counted, summed, strangers FROM room, (
    SELECT count(*) AS counted, ifnull(sum(size + octet_length(key) + octet_length(fields)), 0) AS summed FROM documents
), (SELECT count(*) AS strangers FROM documents FULL JOIN uses ON id = document WHERE id IS NULL OR document IS NULL)"""
"""The recorded and the actual totals of a database with a quota, in one statement: at one instant."""

_Row = tuple[int, str, str, int, bytes, str, int, int | None, str | None, bytes | None]


def check_sqlite(url: EngineURL, repair: bool) -> Checked:
    """Raise OpenError when there is no database of Docstore."""
    path = Path(url.location)
    try:
        with translate_open_errors(path):
            path = path.resolve()
            if not path.is_file():
                raise OpenError(f"{path}: there is no such database")
            connection = _open(path)
    except apsw.NotADBError as error:
        raise OpenError(f"{path} is not an SQLite database") from error
    except apsw.Error as error:
        raise OpenError(f"cannot open {path}: {error}") from error
    return _check(connection, path, Path(f"{path}.sealed"), repair)


def _open(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(READ_TIMEOUT_MS)
        if is_empty(connection, path):
            raise OpenError(f"{path} is an empty database")
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: apsw.Connection, path: Path, folder: Path, repair: bool) -> Checked:
    with closing(connection), driver_errors(connection, path):
        for (line,) in connection.execute("PRAGMA integrity_check").fetchall():
            if line != "ok":
                yield Finding(str(path), str(line))
        yield from _room(connection, path)
        yield from _documents(connection, path, folder)
        yield from _orphans(connection, folder, repair)


def _room(connection: apsw.Connection, path: Path) -> Iterator[Finding]:
    if connection.execute(_COUNTED).get is None:
        return
    row: tuple[int, int, int, int, int] | None = connection.execute(_COUNT).get
    if row is None:
        yield Finding(f"{path}: room", "the totals are missing")
        return
    documents, size, counted, summed, strangers = row
    if (documents, size) != (counted, summed):
        what = f"it counts {documents} documents of {size} bytes, and there are {counted} of {summed}"
        yield Finding(f"{path}: room", what)
    if strangers:
        yield Finding(f"{path}: uses", "not every document has one record of its last use")


def _documents(connection: apsw.Connection, path: Path, folder: Path) -> Checked:
    last = -(2**63)
    while some := cast(list[_Row], connection.execute(_ROWS, (last, ROWS_AT_ONCE)).fetchall()):
        for row in some:
            last, key, version, size, digest, fields, modified_ns, expires_ns, file, data = row
            try:
                meta = queries.meta_of(connection, (key, version, size, digest, fields, modified_ns, expires_ns))
            except CorruptData as error:
                yield Finding(f"{path}: {key!r}", str(error))
                continue
            where = f"{path}: {key!r}"
            if file is None:
                fault: str | None = "it has neither content nor a blob"
                if type(data) is bytes:
                    fault = fault_of(meta, hashlib.sha256(data).digest(), len(data))
            elif type(file) is not str or not _BLOB_NAME.fullmatch(file):
                fault = f"it refers to {file!r}, which is not the name of a blob"
            else:
                where = f"{folder / file}: {key!r}"
                fault = _fault_of_blob(meta, folder / file)
                if fault is not None and connection.execute(_FILE, (last,)).get != file:
                    continue  # replaced or deleted since the row was read
            yield Finding(where, fault) if fault else meta


def _fault_of_blob(meta: Meta, path: Path) -> str | None:
    try:
        content = open_blob(path, meta.size)
        return "its content is missing" if content is None else fault_of(meta, *hash_file(content.descriptor))
    except (OSError, EngineError) as error:
        return f"cannot read its content: {error}"


def _orphans(connection: apsw.Connection, folder: Path, repair: bool) -> Iterator[Finding]:
    orphans = OrphanCheck(folder / _LOCK, repair)
    for path in folder.iterdir() if folder.is_dir() else ():
        if _SNAPSHOT_NAME.fullmatch(path.name):
            yield from orphans.report(path, "left by an export that was killed", lambda: True)
        elif _BLOB_NAME.fullmatch(path.name):
            is_orphan = partial(queries.is_orphan, connection, path.name)
            yield from orphans.report(path, "no document has this content", is_orphan)
    orphans.warn()
