"""The connections of an engine: opened when needed, to the host that accepts writes, and dropped when in doubt.

asyncpg's own pool was rejected: it resets each connection by a round trip when it is returned, and it tries the hosts
one after another, so that a host that does not answer keeps the others from being tried.

All hosts are tried at once, and the first that accepts writes is used; a replica is refused. A connection that does not
answer within a limit is closed without a cancel request (batching.py says why), together with all idle ones, which lead
into the same network.
"""

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from docstore.engines.postgresql.asyncpg_errors import (
    ASYNCPG_ERRORS,
    asyncpg_error,
    is_read_only,
    is_retried,
    is_rolled_back,
)
from docstore.engines.postgresql.schema import Connection, check_database_clock, read_version
from docstore.errors import OpenError, StorageUnavailable

CONNECT_TIMEOUT_S: Final = 3
"""As long as a request waits at most when a host does not answer and the others are replicas."""
ASK_AGAIN_S: Final = 0.2
"""The pause before a host that refused is asked again."""
DEAD_AFTER_S: Final = 6
_KEEPALIVE: Final = {
    "TCP_KEEPIDLE": 2,
    "TCP_KEEPINTVL": 1,
    "TCP_KEEPCNT": DEAD_AFTER_S - 2,
    "TCP_USER_TIMEOUT": DEAD_AFTER_S * 1000,
}
READ_TIMEOUT_S: Final = 10
"""The longest wait for the answer to one statement that reads."""

_SETTINGS: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)


class Pool:
    """At most `size` connections to one database; used by one event loop."""

    def __init__(self, urls: list[str], place: str, prefix: str, size: int) -> None:
        """`urls` are the same database on each host; `place` names it in messages."""
        self.place = place
        self._urls = urls
        self._prefix = prefix
        self._free = size
        """How many more connections may be opened."""
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self.warnings: WeakKeyDictionary[Connection, str] = WeakKeyDictionary()
        """The last warning that a server sent on each connection."""

    @asynccontextmanager
    async def connection(self, limit_s: float | None = None) -> AsyncIterator[Connection]:
        """Lend a connection for one statement or transaction, which must end within `limit_s` (READ_TIMEOUT_S).

        Raise StorageUnavailable when there is none. What fails inside is asyncpg's error.
        """
        connection = await self._acquire()
        timer = asyncio.get_running_loop().call_later(limit_s or READ_TIMEOUT_S, self._drop, connection)
        try:
            yield connection
        except BaseException as error:
            if isinstance(error, TypeError) and connection.is_closed():
                # asyncio of Python 3.12 raises it for a write to a connection that was lost.
                self._drop(connection)
                raise ConnectionResetError("the connection was lost") from error
            lost = isinstance(error, ASYNCPG_ERRORS) and not is_rolled_back(error)
            if lost or is_read_only(error):
                self._drop(connection)
            elif not isinstance(error, asyncpg.PostgresError):
                connection.terminate()  # a cancelled caller leaves it in the middle of an answer
            raise
        finally:
            timer.cancel()
            self._release(connection)

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Return the rows of a statement that may run twice. Raise EngineError."""
        try:
            try:
                async with self.connection() as connection:
                    return await connection.fetch(statement, *arguments)
            except ASYNCPG_ERRORS as error:
                if is_rolled_back(error) and not is_retried(error):
                    raise
            # The connection was lost, perhaps long ago: a new one tells.
            async with self.connection() as connection:
                return await connection.fetch(statement, *arguments)
        except ASYNCPG_ERRORS as error:
            raise asyncpg_error(error, self.place) from error

    async def close(self) -> None:
        """Close the idle connections; others are closed when they are returned."""
        self._closed = True
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(None)
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.close(timeout=CONNECT_TIMEOUT_S)
            except ASYNCPG_ERRORS:
                connection.terminate()
            except RuntimeError:  # of the event loop, which has ended, and its sockets with it
                pass

    async def _acquire(self) -> Connection:
        while not self._closed:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    return connection
                self._free += 1
            if self._free > 0:
                return await self._open()
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()
                raise
        raise StorageUnavailable(f"{self.place}: the store is closed")

    async def _open(self) -> Connection:
        self._free -= 1
        try:
            connection = await connect(self._urls)
            connection.add_log_listener(self._note_warning)
            timer = asyncio.get_running_loop().call_later(CONNECT_TIMEOUT_S, connection.terminate)
            try:
                await connection.execute(_SETTINGS)
                if await read_version(connection, self._prefix) is None:
                    raise StorageUnavailable(f"{self.place}: the tables {self._prefix}_* are missing")
                await check_database_clock(connection)
            except BaseException:
                connection.terminate()
                raise
            finally:
                timer.cancel()
        except BaseException as error:
            self._free += 1
            self._wake()
            if isinstance(error, OpenError):
                raise StorageUnavailable(f"{self.place}: {error}") from error
            if isinstance(error, ASYNCPG_ERRORS):
                raise asyncpg_error(error, self.place) from error
            raise
        return connection

    def _note_warning(self, connection: Any, message: asyncpg.PostgresLogMessage) -> None:
        if message.severity == "WARNING":
            self.warnings[connection] = str(message)

    def _release(self, connection: Connection) -> None:
        if connection.is_closed() or self._closed:
            connection.terminate()
            self._free += 1
        else:
            self._idle.append(connection)
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _drop(self, connection: Connection) -> None:
        """Close a connection that failed, and all idle ones, which may be as dead."""
        connection.terminate()
        for idle in self._idle:
            idle.terminate()


async def connect(urls: list[str]) -> Connection:
    """Connect to the host that accepts writes. Raise one of ASYNCPG_ERRORS: of several, one that a server sent.

    While a host has not answered, those that refused are asked again: one of them replaces a leader that is cut off.
    """
    attempts = {asyncio.ensure_future(_connect_to(url)): url for url in urls}
    silent = set(urls)
    errors: list[Exception] = []
    chosen: Connection | None = None
    try:
        while silent and chosen is None:
            done, _ = await asyncio.wait(attempts, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                url = attempts[attempt]
                silent.discard(url)
                if not isinstance(outcome := attempt.result(), Exception):
                    chosen = outcome
                    break
                del attempts[attempt]
                errors.append(outcome)
                if silent:
                    attempts[asyncio.ensure_future(_connect_to(url, ASK_AGAIN_S))] = url
        if chosen is None:
            raise max(errors, key=lambda error: isinstance(error, asyncpg.PostgresError))
        return chosen
    finally:
        for attempt in attempts:
            if not attempt.cancel() and not isinstance(other := attempt.result(), Exception) and other is not chosen:
                other.terminate()


async def _connect_to(url: str, after_s: float = 0) -> "Connection | Exception":
    await asyncio.sleep(after_s)
    try:
        connection = await asyncpg.connect(
            url, timeout=CONNECT_TIMEOUT_S, target_session_attrs=SessionAttribute.read_write
        )
    except ASYNCPG_ERRORS as error:
        return error
    _detect_dead_peer(connection)
    return connection


def _detect_dead_peer(connection: Connection) -> None:
    """Let the system close the connection when the other side acknowledges nothing for DEAD_AFTER_S.

    A statement may take longer: then the other side's system still acknowledges. So a write that waits for a standby is
    not disturbed, and one that waits for a host that is gone ends soon.
    """
    transport = connection._transport  # type: ignore[attr-defined]  # asyncpg has no public way to its socket
    opened: socket.socket | None = transport.get_extra_info("socket")
    if opened is None or opened.family == getattr(socket, "AF_UNIX", None):
        return
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):  # each system has some of them
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
