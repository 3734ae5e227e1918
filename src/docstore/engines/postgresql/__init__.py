"""postgresql: documents in a PostgreSQL database, for any number of servers in front of it.

    opening        `open_postgresql`: the URL, and what can be wrong at the start
    schema         the tables of one prefix, their version and migration
    statements     every SQL statement on them, and rows as documents
    connections    the pool: several hosts, dead and read-only sessions, networks that hang
    batching       what waits together is one round trip
    writer         batches of writes, and what their failures mean
    contents       content too large for a row, as rows of chunks
    engine         the six methods
    snapshot       one state of the complete store, for an export
    asyncpg_errors asyncpg's errors as engine errors
    verify         `docstore check`

A write is acknowledged after COMMIT, so it survives what the database survives. asyncpg is an extra of the package, so
only `opening` imports what needs it, and only when a store is opened.
"""

from typing import Final

from docstore.engines.contract import Engine
from docstore.engines.registry import EngineKind, EngineURL, Processes
from docstore.engines.shared.extras import needs_extra
from docstore.engines.shared.verify import Checked
from docstore.model import Clock


def open_postgresql(url: EngineURL, clock: Clock) -> Engine:
    """Open `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`; create the tables when they are absent."""
    with needs_extra(url.scheme, "asyncpg", "postgres"):
        from docstore.engines.postgresql.opening import open_engine_at
    return open_engine_at(url, clock)


def check_postgresql(url: EngineURL, repair: bool) -> Checked:
    """Check the tables behind `url`."""
    with needs_extra(url.scheme, "asyncpg", "postgres"):
        from docstore.engines.postgresql.verify import check_tables
    return check_tables(url, repair)


POSTGRESQL: Final = EngineKind(
    open=open_postgresql,
    check=check_postgresql,
    summary="a PostgreSQL database or cluster, for many servers",
    example="postgresql://docstore:secret@db1.example:5432,db2.example:5432/docstore?prefix=docs",
    survives="what the database survives: kill -9, power loss, and with synchronous standbys a lost machine",
    processes=Processes.MANY,
    streams=True,
    on_disk=False,
    options={
        "prefix": "NAME: the first part of the names of its tables; docstore by default",
        "connections": "NUMBER: the most connections of a process; 8 by default",
        "host": "FOLDER: the folder of the server's Unix socket, instead of the hosts in the URL",
        "sslmode": "disable|prefer|require|verify-ca|verify-full, as in libpq",
        "sslrootcert": "FILE: the certificates that are trusted",
        "sslcert": "FILE: the client's certificate",
        "sslkey": "FILE: its key",
    },
)
