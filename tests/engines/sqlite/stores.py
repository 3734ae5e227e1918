"""sqlite stores for tests, with access to their connections."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import apsw

from docstore.content import BytesContent, read_all
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL
from docstore.engines.sqlite import INLINE_LIMIT, Sqlite, open_sqlite
from docstore.model import ANY, Clock, Expectation, Fields, WriteResult

TEXT: Final = Fields.make("text/plain")
LARGE: Final = bytes(range(256)) * (INLINE_LIMIT // 256 + 1)
"""Content one step too large for a row."""

PYTHON: Final = [sys.executable, "-c"]


@asynccontextmanager
async def opened(path: Path, clock: Clock = time.time_ns) -> AsyncIterator[Sqlite]:
    engine = open_sqlite(EngineURL("sqlite", str(path)), clock)
    try:
        yield engine
    finally:
        await engine.close()


async def put(engine: Sqlite, key: str, data: bytes = b"hello", expect: Expectation = ANY) -> WriteResult:
    return await engine.put(PutRequest(key, BytesContent(data), TEXT, expect=expect))


async def read(engine: Sqlite, key: str) -> bytes | None:
    document = await engine.get(key)
    return None if document is None else await read_all(document.content)


def file_size(path: Path) -> int:
    return path.stat().st_size


def sealed_files(path: Path) -> list[str]:
    return sorted(file.name for file in Path(f"{path}.sealed").iterdir() if file.name != "lock")


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Another program's transaction, which the engine's next one waits for."""
    connection = apsw.Connection(str(path))
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    finally:
        connection.close()


@contextmanager
def seen_connections() -> Iterator[list[apsw.Connection]]:
    """The connections that are opened inside; an engine opens the one that writes first."""
    seen: list[apsw.Connection] = []
    apsw.connection_hooks.append(seen.append)
    try:
        yield seen
    finally:
        apsw.connection_hooks.remove(seen.append)


async def queued() -> None:
    """Let new tasks run until they are in the writer's queue; a small upload waits for nothing before that."""
    for _ in range(3):
        await asyncio.sleep(0)


async def settled(*writes: asyncio.Task[WriteResult]) -> list[WriteResult | BaseException]:
    return await asyncio.gather(*writes, return_exceptions=True)
