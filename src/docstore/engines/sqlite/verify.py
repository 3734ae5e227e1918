"""Check a database and its blobs, without an engine and while others may use them.

SQLite's own integrity check runs first: it compares every index entry with its row, and every row with the schema. Then
every row is read, some at a time in one transaction: one transaction for all of them would prevent the checkpoints of a
running server. So a row may be replaced between reading it and its blob; a missing blob is a finding only if the row
still refers to it.

The connection can't write. It leaves the log as it is, for the next process that opens the database; it may create an
empty one.
"""

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, cast

import apsw

from docstore.content import CHUNK_SIZE
from docstore.engines.registry import EngineURL
from docstore.engines.shared.quota import QUOTA_OPTIONS
from docstore.engines.shared.verify import Checked, Finding, exclusive_access, fault_of
from docstore.engines.sqlite import queries
from docstore.engines.sqlite.driver_errors import DRIVER_ERRORS
from docstore.engines.sqlite.schema import READ_TIMEOUT_MS, is_empty
from docstore.errors import CorruptData, OpenError
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

_log: Final = logging.getLogger(__name__)


def check_sqlite(url: EngineURL, repair: bool) -> Checked:
    """Raise OpenError if there is no database of Docstore."""
    url.refuse_options(*QUOTA_OPTIONS)
    path = Path(url.location)
    try:
        path = path.resolve()
        if not path.is_file():
            raise OpenError(f"{path}: no such database")
        connection = _open(path)
    except apsw.NotADBError as error:
        raise OpenError(f"{path} is not an SQLite database") from error
    except (OSError, ValueError, RuntimeError, apsw.Error) as error:
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
    with closing(connection):
        try:
            for (line,) in connection.execute("PRAGMA integrity_check").fetchall():
                if line != "ok":
                    yield Finding(str(path), str(line))
            yield from _room(connection, path)
            yield from _documents(connection, path, folder)
            yield from _orphans(connection, folder, repair)
        except DRIVER_ERRORS as error:
            yield Finding(str(path), f"cannot be read further: {error}")
        except OSError as error:
            yield Finding(str(error.filename or folder), f"cannot be read further: {error.strerror or error}")


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
    state, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            # A file of another size need not be read.
            if os.fstat(file.fileno()).st_size != meta.size:
                return fault_of(meta, b"", os.fstat(file.fileno()).st_size)
            while chunk := file.read(CHUNK_SIZE):
                state.update(chunk)
                size += len(chunk)
    except FileNotFoundError:
        return "its content is missing"
    except OSError as error:
        return f"cannot read its content: {error.strerror or error}"
    return fault_of(meta, state.digest(), size)


def _orphans(connection: apsw.Connection, folder: Path, repair: bool) -> Iterator[Finding]:
    in_use = 0
    for path in _unreferenced(connection, folder):
        with exclusive_access(folder / _LOCK) as exclusive:
            if not exclusive:
                in_use += 1
            elif path.exists() and not queries.references_blob(connection, path.name):
                is_snapshot = path.is_dir()
                if repair:
                    shutil.rmtree(path) if is_snapshot else path.unlink()
                what = "left by an export that was killed" if is_snapshot else "no document has this content"
                yield Finding(str(path), what, orphan=True, removed=repair)
    if in_use:
        _log.warning("%s is in use: %d of its files may be orphans, or uploads in progress", folder, in_use)


def _unreferenced(connection: apsw.Connection, folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            is_orphan = _BLOB_NAME.fullmatch(entry.name) and not queries.references_blob(connection, entry.name)
            if is_orphan or _SNAPSHOT_NAME.fullmatch(entry.name):
                yield Path(entry.path)
