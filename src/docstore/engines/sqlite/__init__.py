"""sqlite: the durable default, one database file for any number of documents and processes.

    schema         the tables, and the connections to them
    driver_errors  the driver's errors in words of the store
    rows           documents as rows: every statement there is
    headroom       what it takes that documents can be removed on a full disk
    writer         the one thread that writes, many operations in one transaction
    batches        the way of writes from the event loop to that thread
    recent         documents as they were read last, until the next commit
    sealed         content too large for a row, in files beside the database
    snapshot       one state of the whole store, for as long as an export reads it
    room           what a database with a bound holds, and what goes
    engine         the engine, made of these
    bounded        the engine of a database with a bound
    check          every promise about the files, looked at

A write is answered after COMMIT with synchronous=FULL, so it survives kill -9 and power loss.
"""

from typing import Final

from docstore.engines.registry import EngineKind, Processes
from docstore.engines.shared.quota import QUOTA_OPTIONS
from docstore.engines.sqlite.engine import INLINE_LIMIT, Sqlite, open_sqlite
from docstore.engines.sqlite.verify import check_sqlite

__all__ = ["INLINE_LIMIT", "SQLITE", "Sqlite", "open_sqlite"]

SQLITE: Final = EngineKind(
    open=open_sqlite,
    check=check_sqlite,
    summary="one SQLite database, the durable default",
    example="sqlite:docs.db",
    survives="kill -9 and power loss",
    processes=Processes.MANY,
    streams=True,
    on_disk=True,
    options=QUOTA_OPTIONS,
)
