"""The tables of a database, and the connections to it.

One table with a rowid, and an index on the key: this reads and writes documents faster than a table WITHOUT ROWID,
whose tree holds whole rows and so grows deep, and than a second table for content. `data` is the last column, so that a
listing reads no overflow pages, which hold the ends of rows. Pages have 4 KiB, because a small write costs whole pages
in the log. Databases are not mapped into memory: an I/O error would kill the process instead of raising an error.

`auto_vacuum` can only be chosen before the first page is written. A database of another program is not changed.
"""

from pathlib import Path
from typing import Final

import apsw

from docstore.errors import NotWritable, OpenError

APPLICATION_ID: Final = 0x446F6373
"""'Docs' in the header of the file, which `file` and SQLite's own tools show."""

SCHEMA_VERSION: Final = 1

WRITE_TIMEOUT_MS: Final = 30_000
"""How long a transaction waits for one of another process."""

READ_TIMEOUT_MS: Final = 250
"""In WAL mode readers wait only while a log is recovered; get and head then block the event loop."""

CACHE_KIB: Final = 16 * 1024
LOG_KEPT_SIZE: Final = 64 * 1024 * 1024
"""Bytes to which a checkpoint truncates a log that a long reader made large."""

_TABLES: Final = """
CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    version TEXT NOT NULL,
    size INTEGER NOT NULL,
    digest BLOB NOT NULL,
    fields TEXT NOT NULL,
    modified_ns INTEGER NOT NULL,
    expires_ns INTEGER,
    file TEXT,
    data BLOB,
    CHECK ((file IS NULL) <> (data IS NULL))
) STRICT;
CREATE INDEX documents_expiring ON documents (expires_ns) WHERE expires_ns IS NOT NULL;
CREATE UNIQUE INDEX documents_sealed ON documents (file) WHERE file IS NOT NULL;
"""


def open_writing(path: Path) -> apsw.Connection:
    """Open the connection that writes; create an absent database. Raise OpenError or apsw.Error."""
    connection = apsw.Connection(str(path))
    try:
        connection.set_busy_timeout(WRITE_TIMEOUT_MS)
        if connection.readonly("main"):
            raise NotWritable(f"cannot open {path} for writing: it is read-only")
        if is_empty(connection, path):
            connection.pragma("auto_vacuum", "INCREMENTAL")
            _create(connection, path)
        if connection.pragma("journal_mode", "WAL") != "wal":
            raise OpenError(f"{path} is on a file system without shared memory, which SQLite's log needs")
        connection.pragma("synchronous", "FULL")
        connection.pragma("fullfsync", 1)
        connection.pragma("journal_size_limit", LOG_KEPT_SIZE)
        connection.pragma("cache_size", -CACHE_KIB)
        # A sweep keeps the removed rows until its end; a file for them could find a full disk.
        connection.pragma("temp_store", 2)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reading(path: Path, *, cache_kib: int) -> apsw.Connection:
    """Open a connection that only reads an existing database. Raise apsw.Error."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(READ_TIMEOUT_MS)
    connection.pragma("query_only", 1)
    connection.pragma("cache_size", -cache_kib)
    return connection


def is_empty(connection: apsw.Connection, path: Path) -> bool:
    """Return whether the database is empty. Raise OpenError for one that this version of Docstore can't use."""
    application_id = connection.pragma("application_id")
    if application_id == 0 and not connection.execute("SELECT count(*) FROM sqlite_schema").get:
        return True
    if application_id != APPLICATION_ID:
        raise OpenError(f"{path} is a database of another program")
    version = connection.pragma("user_version")
    if version != SCHEMA_VERSION:
        raise OpenError(f"{path} has schema version {version}, this Docstore reads {SCHEMA_VERSION}")
    return False


def _create(connection: apsw.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    # Another process may have created the tables since the first look; inside the transaction none can.
    if is_empty(connection, path):
        connection.execute(_TABLES)
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", SCHEMA_VERSION)
    connection.execute("COMMIT")
