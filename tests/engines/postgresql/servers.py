"""A PostgreSQL server that a test may stop, and a network in front of it that a test may cut or stop."""

import asyncio
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from docstore.engines.postgresql.engine import Postgres
from docstore.engines.postgresql.opening import open_engine_at
from docstore.engines.registry import EngineURL
from docstore.errors import StorageUnavailable
from docstore.model import Clock
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import put_data
from tests.postgresql_server import PostgresServer


@contextmanager
def own_server(**settings: str) -> Iterator[PostgresServer]:
    """A server for one module."""
    with tempfile.TemporaryDirectory(prefix="docstore-postgresql-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        server = PostgresServer(Path(folder) / "server", **settings)
        try:
            yield server
        finally:
            server.stop("immediate")


@asynccontextmanager
async def opened(url: str, clock: Clock | None = None) -> AsyncIterator[Postgres]:
    engine = await asyncio.to_thread(open_engine_at, EngineURL.parse(url), clock or SetClock())
    try:
        yield engine
    finally:
        await engine.close()


def disconnect(server: PostgresServer) -> None:
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")


def run(test: Awaitable[None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(100):
            await test

    asyncio.run(limited())


async def until(condition: Callable[[], bool], within_s: float = 20) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def recovered(engine: Postgres, key: str, within_s: float = 20) -> None:
    """Write until the engine accepts it."""
    end = time.monotonic() + within_s
    while True:
        try:
            await put_data(engine, key, b"recovered")
            return
        except StorageUnavailable:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)


class Network:
    """A proxy on a port of its own. `stop` delivers nothing more and keeps connections, `cut` closes them."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    async def __aenter__(self) -> "Network":
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        self.resume()
        await asyncio.sleep(0.05)

    def stop(self) -> None:
        self._open.clear()

    def resume(self) -> None:
        self._open.set()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        with suppress(OSError):
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers |= {writer, to_writer}
            await asyncio.gather(self._pass_on(reader, to_writer), self._pass_on(to_reader, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
        writer.transport.abort()
