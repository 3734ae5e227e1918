"""Opening a store: the URL, the tables, and everything that can be wrong at the start, in one line.

asyncpg needs an event loop, and a store is opened before there is one, or inside one that must not wait. So the start
runs in a thread with an event loop of its own, and the engine opens its connections later, in its loop.
"""

import asyncio
import re
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlencode

from docstore.engines.postgresql.asyncpg_errors import ASYNCPG_ERRORS, one_line
from docstore.engines.postgresql.connections import Pool, connect
from docstore.engines.postgresql.engine import Postgres
from docstore.engines.postgresql.schema import prepare_tables
from docstore.engines.postgresql.statements import Statements
from docstore.engines.registry import EngineURL
from docstore.errors import OpenError
from docstore.model import Clock

_PREFIX: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LOCATION: Final = re.compile(r"//(?:(?P<user>.*)@)?(?P<hosts>[^@/]*)/(?P<database>[^/]+)")
_OWN_OPTIONS: Final = ("prefix", "connections")
DEFAULT_CONNECTIONS: Final = 8
START_TIMEOUT_S: Final = 60
"""The longest wait for the tables, which another process may be creating."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Database:
    """A parsed URL."""

    urls: list[str]
    """The database on each host, with user and password."""
    place: str
    """Hosts, database and prefix, for messages."""
    prefix: str
    connections: int

    @classmethod
    def parse(cls, url: EngineURL) -> "Database":
        """Raise OpenError."""
        match = _LOCATION.fullmatch(url.location)
        if match is None:
            raise OpenError(f"{url.scheme}: needs a host and a database, as in postgresql://user:password@host/docs")
        prefix = url.options.get("prefix", "docstore")
        if not _PREFIX.fullmatch(prefix):
            raise OpenError(f"prefix={prefix}: must be a-z, 0-9 and _, and start with a letter, at most 40 characters")
        connections = url.options.get("connections", str(DEFAULT_CONNECTIONS))
        if not connections.isdecimal() or not 4 <= int(connections) <= 1000:
            raise OpenError(f"connections={connections}: must be a number from 4 to 1000")
        user = "" if match["user"] is None else f"{match['user']}@"
        query = urlencode({name: value for name, value in url.options.items() if name not in _OWN_OPTIONS})
        urls = [
            f"postgresql://{user}{host}/{match['database']}" + (f"?{query}" if query else "")
            for host in match["hosts"].split(",")
        ]
        place = f"postgresql://{match['hosts'] or url.options.get('host', '')}/{unquote(match['database'])}"
        return cls(urls, f"{place} ({prefix})", prefix, int(connections))


def run_in_thread(work: Coroutine[Any, Any, _T]) -> _T:
    """Run `work` in an event loop of its own, and block until it is done."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def open_engine_at(url: EngineURL, clock: Clock) -> Postgres:
    database = Database.parse(url)
    run_in_thread(_prepare(database))
    pool = Pool(database.urls, database.place, database.prefix, database.connections)
    return Postgres(pool, Statements(database.prefix), clock)


async def _prepare(database: Database) -> None:
    try:
        connection = await connect(database.urls)
        timer = asyncio.get_running_loop().call_later(START_TIMEOUT_S, connection.terminate)
        try:
            await prepare_tables(connection, database.prefix)
        finally:
            timer.cancel()
            await connection.close(timeout=1)
    except OpenError as error:
        raise OpenError(f"cannot open {database.place}: {error}") from error
    except (*ASYNCPG_ERRORS, ValueError) as error:
        raise OpenError(f"cannot open {database.place}: {one_line(error)}") from error
