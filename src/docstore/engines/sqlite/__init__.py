"""sqlite: the durable default, one database file for any number of documents and processes.

    schema         the tables, and the connections to them
    queries        documents as rows: all statements on them
    engine         the engine: reads, and the passing of writes to the writer
    group_commit   the queue of writes from the event loop to the writer
    writer         the one thread that writes, many operations in one transaction
    read_cache     documents that were read and not replaced since
    blobs          content too large for a row, in files beside the database
    disk_space     the reserve that lets documents be removed on a full disk
    driver_errors  apsw's errors as engine errors
    snapshot       one state of the complete store, for an export
    quota          the quota of a database, and what is evicted
    bounded        the engine of a database with a quota
    lookup         reading one document: its row and its blob
    file_methods   SQLite's own functions on the file of a database
    read_only      a database that is opened for reading
    opening        `open_sqlite`
    verify         `docstore check`

A write is acknowledged after COMMIT with synchronous=FULL, so it survives kill -9 and power loss.
"""

from typing import Final

from docstore.engines.registry import EngineKind, Processes
from docstore.engines.shared.quota import QUOTA_OPTIONS
from docstore.engines.sqlite.engine import INLINE_LIMIT, Sqlite
from docstore.engines.sqlite.opening import open_sqlite, open_sqlite_read_only
from docstore.engines.sqlite.verify import check_sqlite

__all__ = ["INLINE_LIMIT", "SQLITE", "Sqlite", "open_sqlite"]

SQLITE: Final = EngineKind(
    open=open_sqlite,
    open_read_only=open_sqlite_read_only,
    check=check_sqlite,
    summary="one SQLite database, the durable default",
    example="sqlite:docs.db",
    survives="kill -9 and power loss",
    processes=Processes.MANY,
    streams=True,
    on_disk=True,
    options=QUOTA_OPTIONS,
)
