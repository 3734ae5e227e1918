"""Engines with a quota for tests: `memory` and `sqlite`, in a folder, opened by the options of their URL."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

from docstore.content import BytesContent, read_all
from docstore.engines.contract import Engine, Metered, PutRequest, Sweeping, Usage
from docstore.engines.registry import EngineURL, open_engine
from docstore.model import ANY, Clock, Expectation, Fields, Meta, WriteResult
from docstore.testing.clock import SetClock

SCHEMES: Final = ("memory", "sqlite")
TEXT: Final = Fields.make("text/plain")
OVERHEADS: Final = {"memory": 1024, "sqlite": 1024}
"""Bytes that a document costs beside content, key and fields, as docs/engines.md says."""
KIB: Final = 1024
LONG: Final = "DOCSTORE_BOUNDS_LONG" in os.environ
"""Whether to run the long tests, as `make bounds` does."""


class Bounded(Engine, Metered, Sweeping, Protocol):
    """An engine with a quota."""


def url_of(scheme: str, folder: Path, max_bytes: int = 64 * KIB, *, evict: bool = True) -> EngineURL:
    options = {"max_bytes": str(max_bytes)} | ({"evict": "lru"} if evict else {})
    return EngineURL(scheme, "" if scheme == "memory" else str(folder / "store"), options)


def open_bounded(url: EngineURL, clock: Clock) -> Bounded:
    engine = open_engine(url, clock)
    assert isinstance(engine, Metered)
    assert isinstance(engine, Sweeping)
    return engine  # type: ignore[return-value]  # it is an Engine too, which isinstance can't ask


@asynccontextmanager
async def opened(url: EngineURL, clock: Clock | None = None) -> AsyncIterator[Bounded]:
    engine = open_bounded(url, SetClock() if clock is None else clock)
    try:
        yield engine
    finally:
        await engine.close()


def cost(scheme: str, key: str, size: int, fields: Fields = TEXT) -> int:
    return size + len(key.encode()) + len(fields.pack()) + OVERHEADS[scheme]


async def put(
    engine: Engine,
    key: str,
    size: int,
    *,
    expires_ns: int | None = None,
    expect: Expectation = ANY,
) -> WriteResult:
    return await engine.put(PutRequest(key, BytesContent(data(key, size)), TEXT, expires_ns=expires_ns, expect=expect))


def data(key: str, size: int) -> bytes:
    return (key.encode() + b"\n").ljust(size, b".")[:size]


async def keys(engine: Engine) -> list[str]:
    return [meta.key for meta in await engine.list(limit=10_000)]


async def read(engine: Engine, key: str) -> bytes | None:
    document = await engine.get(key)
    return None if document is None else await read_all(document.content)


async def counted(engine: Bounded, scheme: str) -> Usage:
    """The usage, after a check that it is the sum of the documents in the store."""
    usage, metas = await engine.usage(), await engine.list(limit=10_000)
    assert (usage.documents, usage.used_bytes) == (len(metas), sum(cost_of(scheme, meta) for meta in metas))
    assert usage.used_bytes <= usage.max_bytes
    return usage


def cost_of(scheme: str, meta: Meta) -> int:
    return cost(scheme, meta.key, meta.size, meta.fields)
