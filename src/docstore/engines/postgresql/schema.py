"""The tables of one prefix, and their version.

    documents   a row for each document; small content is in it, large content is in chunks
    chunks      rows of large content, under an immutable id
    orphans     contents that no document refers to, with the time until which a reader or an upload may need them
    schema      the version of the tables, in one row

A content is either in exactly one document or in `orphans`. Contents are not compressed (STORAGE EXTERNAL), because a
range of an uncompressed value can be read without the rest. Only plain SQL is used, and that one statement may fail, so
that other databases with PostgreSQL's protocol can hold the tables.
"""

from typing import Final, TypeAlias

import asyncpg

from docstore.engines.shared.clocks import clock_fault
from docstore.errors import OpenError

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_STEPS: Final = (
    """
    CREATE TABLE {p}_documents (
        key TEXT COLLATE "C" PRIMARY KEY,
        version TEXT NOT NULL,
        size BIGINT NOT NULL,
        digest BYTEA NOT NULL,
        fields TEXT NOT NULL,
        modified_ns BIGINT NOT NULL,
        expires_ns BIGINT,
        content UUID,
        data BYTEA,
        CHECK ((content IS NULL) <> (data IS NULL))
    );
    CREATE INDEX {p}_documents_expiring ON {p}_documents (expires_ns) WHERE expires_ns IS NOT NULL;
    CREATE UNIQUE INDEX {p}_documents_content ON {p}_documents (content) WHERE content IS NOT NULL;
    CREATE TABLE {p}_chunks (content UUID, number INTEGER, data BYTEA NOT NULL, PRIMARY KEY (content, number));
    CREATE TABLE {p}_orphans (content UUID PRIMARY KEY, keep_until TIMESTAMPTZ NOT NULL);
    """,
)
"""The statements that lead from each version of the tables to the next, from none on."""

_UNCOMPRESSED: Final = "ALTER TABLE {p}_{table} ALTER COLUMN data SET STORAGE EXTERNAL"

_RACES: Final = ("23505", "40001", "40P01", "42P07", "42710")
"""What a process gets when another one creates the same tables at the same time."""
_ATTEMPTS: Final = 20


async def prepare_tables(connection: Connection, prefix: str) -> None:
    """Create the tables, or migrate them to this version. Raise OpenError for newer tables or a wrong clock."""
    if await connection.fetchval("SHOW server_encoding") not in ("UTF8", "UTF-8"):
        raise OpenError("the encoding of the database is not UTF8; create it with: CREATE DATABASE ... ENCODING 'UTF8'")
    await check_database_clock(connection)
    for attempt in range(_ATTEMPTS):
        try:
            await _migrate(connection, prefix)
            return
        except asyncpg.PostgresError as error:
            if error.sqlstate not in _RACES or attempt == _ATTEMPTS - 1:
                raise


async def _migrate(connection: Connection, prefix: str) -> None:
    version = await read_version(connection, prefix)
    if version == len(_STEPS):
        return
    async with connection.transaction():
        if version is None:
            await connection.execute(f"CREATE TABLE {prefix}_schema (version INTEGER NOT NULL)")
            version = 0
        else:
            version = await connection.fetchval(f"SELECT version FROM {prefix}_schema FOR UPDATE")  # noqa: S608 - ours
        for step in _STEPS[version:]:
            await connection.execute(step.format(p=prefix))
        await connection.execute(f"DELETE FROM {prefix}_schema")  # noqa: S608 - the prefix is checked
        await connection.execute(f"INSERT INTO {prefix}_schema VALUES ({len(_STEPS)})")  # noqa: S608
    for table in ("documents", "chunks"):
        try:
            await connection.execute(_UNCOMPRESSED.format(p=prefix, table=table))
        except (asyncpg.FeatureNotSupportedError, asyncpg.PostgresSyntaxError):
            return


async def check_database_clock(connection: Connection) -> None:
    """Raise OpenError if the clocks of this machine and of the database differ."""
    if fault := clock_fault(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")):
        raise OpenError(fault)


async def read_version(connection: Connection, prefix: str) -> int | None:
    """Return the version of the tables, None when there are none. Raise OpenError if it is newer than this program."""
    try:
        version: int = await connection.fetchval(f"SELECT version FROM {prefix}_schema")  # noqa: S608 - checked
    except asyncpg.UndefinedTableError:
        return None
    if version > len(_STEPS):
        raise OpenError(
            f"the tables {prefix}_* have version {version}, and this Docstore knows {len(_STEPS)}: use a newer Docstore"
        )
    return version
