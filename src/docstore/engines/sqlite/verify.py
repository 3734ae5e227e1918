"""Check a database and its blobs, without an engine and while others may use them.

SQLite's own integrity check runs first: it compares every index entry with its row, and every row with the schema. Then
every row is read, some at a time: one transaction for all of them would prevent the checkpoints of a running server. So
a row may be replaced between reading it and its blob; a missing blob is a finding only if the row still refers to it.

It writes nothing, and needs no right to write (read_only.py).
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
from docstore.engines.sqlite.read_only import ReadOnlyDatabase
from docstore.errors import CorruptData, EngineError, OpenError
from docstore.model import Meta
from docstore.units import format_count

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
            database = ReadOnlyDatabase(path, may_create_index=True)
    except apsw.NotADBError as error:
        raise OpenError(f"{path} is not an SQLite database") from error
    except apsw.Error as error:
        raise OpenError(f"cannot open {path}: {error}") from error
    return _check(database, path, Path(f"{path}.sealed"), repair)


def _check(database: ReadOnlyDatabase, path: Path, folder: Path, repair: bool) -> Checked:
    with closing(database):
        for (line,) in database.rows("PRAGMA integrity_check"):
            if line != "ok":
                yield Finding(str(path), str(line))
        yield from _room(database, path)
        yield from _documents(database, path, folder)
        yield from _orphans(database, folder, repair)


def _room(database: ReadOnlyDatabase, path: Path) -> Iterator[Finding]:
    if not database.rows(_COUNTED):
        return
    rows = cast(list[tuple[int, int, int, int, int]], database.rows(_COUNT))
    if not rows:
        yield Finding(f"{path}: room", "the totals are missing")
        return
    documents, size, counted, summed, strangers = rows[0]
    if (documents, size) != (counted, summed):
        counts = f"{format_count(documents, 'document')} of {format_count(size, 'byte')}"
        what = f"it counts {counts}, and there are {counted} of {summed}"
        yield Finding(f"{path}: room", what)
    if strangers:
        yield Finding(f"{path}: uses", "not every document has one record of its last use")


def _documents(database: ReadOnlyDatabase, path: Path, folder: Path) -> Checked:
    last = -(2**63)
    while some := cast(list[_Row], database.rows(_ROWS, (last, ROWS_AT_ONCE))):
        if some[-1][0] <= last:
            yield Finding(str(path), "its rows are out of order, so that not all of them can be read")
            return
        for row in some:
            last, key, version, size, digest, fields, modified_ns, expires_ns, file, data = row
            try:
                meta = queries.meta_of(
                    database.connection, (key, version, size, digest, fields, modified_ns, expires_ns)
                )
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
                if fault is not None and database.rows(_FILE, (last,)) != [(file,)]:
                    continue  # replaced or deleted since the row was read
            yield Finding(where, fault) if fault else meta


def _fault_of_blob(meta: Meta, path: Path) -> str | None:
    try:
        content = open_blob(path, meta.size)
        return "its content is missing" if content is None else fault_of(meta, *hash_file(content.descriptor))
    except (OSError, EngineError) as error:
        return f"cannot read its content: {error}"


def _orphans(database: ReadOnlyDatabase, folder: Path, repair: bool) -> Iterator[Finding]:
    orphans = OrphanCheck(folder / _LOCK, repair)
    for path in folder.iterdir() if folder.is_dir() else ():
        if _SNAPSHOT_NAME.fullmatch(path.name):
            yield from orphans.report(path, "left by an export that was killed", lambda: True)
        elif _BLOB_NAME.fullmatch(path.name):
            is_orphan = partial(_is_orphan, database, path.name)
            yield from orphans.report(path, "no document has this content", is_orphan)
    orphans.warn()


def _is_orphan(database: ReadOnlyDatabase, name: str) -> bool:
    return not database.rows(queries.BLOB_ROW, (name,))
