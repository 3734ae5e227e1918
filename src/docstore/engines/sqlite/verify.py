"""Looking over a database and its sealed files, without an engine and while others may use them.

SQLite's own integrity check goes first: it compares every index entry with its row, and every row with the schema. Then
every row is read, some at a time, each time in a transaction of its own: one over all of them would keep the log of a
running server from being written back. A row may so be replaced between the look at it and at its sealed file; a
file that is missing is a finding only when the row still names it.

The connection can't write. It leaves the log as it is, for the next opener to read; it may make an empty one.
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
from docstore.engines.sqlite.schema import APPLICATION_ID, READ_TIMEOUT_MS, SCHEMA_VERSION
from docstore.errors import CorruptData, OpenError
from docstore.model import Meta

ROWS_AT_ONCE: Final = 64
"""Rows read in one transaction: with 64 KiB of content each, 4 MiB."""

_SEALED_NAME: Final = re.compile(r"[0-9a-f]{32}")
_SNAPSHOT_NAME: Final = re.compile(r"snapshot-[0-9a-f]{16}")
"""Written here again on purpose, like the name of the lock: what an engine gets wrong must not hide itself."""
_LOCK: Final = "lock"

_SOME: Final = """
SELECT id, key, version, size, digest, fields, modified_ns, expires_ns, file, data FROM documents
WHERE id > ? ORDER BY id LIMIT ?"""
_FILE: Final = "SELECT file FROM documents WHERE id = ?"

_COUNTED: Final = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'room'"
_COUNT: Final = """
SELECT documents, bytes, counted, summed, strangers FROM room, (
    SELECT count(*) AS counted, ifnull(sum(size + octet_length(key) + octet_length(fields)), 0) AS summed FROM documents
), (SELECT count(*) AS strangers FROM documents FULL JOIN uses ON id = document WHERE id IS NULL OR document IS NULL)"""
"""What a database with a bound says that it holds, and what it does hold, in one statement: at one instant."""

_Row = tuple[int, str, str, int, bytes, str, int, int | None, str | None, bytes | None]

_log: Final = logging.getLogger(__name__)


def check_sqlite(url: EngineURL, repair: bool) -> Checked:
    """Raises OpenError when there is no database of ours."""
    url.refuse_options(*QUOTA_OPTIONS)
    path = Path(url.location)
    try:
        path = path.resolve()
        if not path.is_file():
            raise OpenError(f"{path}: there is no such database")
        connection = _open(path)
    except apsw.NotADBError as error:
        raise OpenError(f"{path} is no SQLite database") from error
    except (OSError, ValueError, RuntimeError, apsw.Error) as error:
        raise OpenError(f"{path} can't be opened: {error}") from error
    return _check(connection, path, Path(f"{path}.sealed"), repair)


def _open(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(READ_TIMEOUT_MS)
        if connection.pragma("application_id") != APPLICATION_ID:
            raise OpenError(f"{path} is a database of another program")
        version = connection.pragma("user_version")
        if version != SCHEMA_VERSION:
            raise OpenError(f"{path} has schema version {version}, this Docstore reads {SCHEMA_VERSION}")
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
            yield Finding(str(path), f"can't be read on: {error}")
        except OSError as error:
            yield Finding(str(error.filename or folder), f"can't be read on: {error.strerror or error}")


def _room(connection: apsw.Connection, path: Path) -> Iterator[Finding]:
    if connection.execute(_COUNTED).get is None:
        return
    row: tuple[int, int, int, int, int] | None = connection.execute(_COUNT).get
    if row is None:
        yield Finding(f"{path}: room", "there is no count of what it holds")
        return
    documents, size, counted, summed, strangers = row
    if (documents, size) != (counted, summed):
        what = f"it counts {documents} documents of {size} bytes, and there are {counted} of {summed}"
        yield Finding(f"{path}: room", what)
    if strangers:
        yield Finding(f"{path}: uses", "not every document has one record of its last use")


def _documents(connection: apsw.Connection, path: Path, folder: Path) -> Checked:
    last = -(2**63)
    while some := cast(list[_Row], connection.execute(_SOME, (last, ROWS_AT_ONCE)).fetchall()):
        for row in some:
            last, key, version, size, digest, fields, modified_ns, expires_ns, file, data = row
            try:
                meta = queries.meta_of(connection, (key, version, size, digest, fields, modified_ns, expires_ns))
            except CorruptData as error:
                yield Finding(f"{path}: {key!r}", str(error))
                continue
            where = f"{path}: {key!r}"
            if file is None:
                fault: str | None = "it has neither content nor a sealed file"
                if type(data) is bytes:
                    fault = fault_of(meta, hashlib.sha256(data).digest(), len(data))
            elif type(file) is not str or not _SEALED_NAME.fullmatch(file):
                fault = f"it names {file!r}, which is no sealed file"
            else:
                where = f"{folder / file}: {key!r}"
                fault = _fault_of_sealed(meta, folder / file)
                if fault is not None and connection.execute(_FILE, (last,)).get != file:
                    continue  # replaced or deleted since the row was read
            yield Finding(where, fault) if fault else meta


def _fault_of_sealed(meta: Meta, path: Path) -> str | None:
    state, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            # A file of another size is told by its size alone: it need not be read.
            if os.fstat(file.fileno()).st_size != meta.size:
                return fault_of(meta, b"", os.fstat(file.fileno()).st_size)
            while chunk := file.read(CHUNK_SIZE):
                state.update(chunk)
                size += len(chunk)
    except FileNotFoundError:
        return "its content is missing"
    except OSError as error:
        return f"its content can't be read: {error.strerror or error}"
    return fault_of(meta, state.digest(), size)


def _orphans(connection: apsw.Connection, folder: Path, repair: bool) -> Iterator[Finding]:
    unjudged = 0
    for path in _unnamed(connection, folder):
        with exclusive_access(folder / _LOCK) as judge:
            if not judge:
                unjudged += 1
            elif path.exists() and not queries.names_file(connection, path.name):
                of_snapshot = path.is_dir()
                if repair:
                    shutil.rmtree(path) if of_snapshot else path.unlink()
                what = "an export that was killed has left it" if of_snapshot else "no document has this content"
                yield Finding(str(path), what, orphan=True, removed=repair)
    if unjudged:
        _log.warning("%s is in use: %d files in it may be orphans, or uploads on their way", folder, unjudged)


def _unnamed(connection: apsw.Connection, folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            sealed = _SEALED_NAME.fullmatch(entry.name) and not queries.names_file(connection, entry.name)
            if sealed or _SNAPSHOT_NAME.fullmatch(entry.name):
                yield Path(entry.path)
