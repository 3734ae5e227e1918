"""What the tests of the contract store, uploads that break off or wait among it, and a look at what is there."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from docstore.content import BytesContent, read_all
from docstore.engines.contract import Engine, PutRequest
from docstore.errors import DocstoreError
from docstore.model import ANY, Expectation, Fields, Meta, WriteResult, version_of

KIB: Final = 1024
MIB: Final = 1024 * 1024
PLAIN: Final = Fields()
EVERY_FIELD: Final = Fields.make("text/plain; charset=utf-8", {"content-language": "de", "meta-café": 'naïve "☃"'})


def made(size: int, seed: str = "") -> bytes:
    """`size` bytes that repeat nowhere, so that a wrong offset or a mixture shows."""
    return hashlib.shake_128(seed.encode()).digest(size)


def version(data: bytes, fields: Fields = PLAIN) -> str:
    return version_of(hashlib.sha256(data).digest(), fields)


@dataclass(frozen=True, slots=True)
class Pieces:
    """An upload that comes in `pieces`, other tasks running between them, and fails after them if it is to."""

    pieces: Sequence[bytes]
    failure: DocstoreError | None = None
    size: int | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            await asyncio.sleep(0)
            yield piece
        if self.failure is not None:
            raise self.failure


@dataclass(frozen=True, slots=True)
class Gated:
    """An upload that stops halfway, sets `halfway` and goes on when `gate` is set."""

    data: bytes
    halfway: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def size(self) -> int:
        return len(self.data)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        middle = len(self.data) // 2
        yield self.data[:middle]
        self.halfway.set()
        await self.gate.wait()
        yield self.data[middle:]


async def put(
    engine: Engine,
    key: str,
    data: bytes,
    fields: Fields = PLAIN,
    *,
    expires_ns: int | None = None,
    expect: Expectation = ANY,
) -> WriteResult:
    return await engine.put(PutRequest(key, BytesContent(data), fields, expires_ns=expires_ns, expect=expect))


async def read(engine: Engine, key: str) -> bytes | None:
    """The content of the document, None when there is none."""
    document = await engine.get(key)
    return None if document is None else await read_all(document.content)


async def keys(engine: Engine, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[str]:
    return [meta.key for meta in await engine.list(prefix=prefix, after=after, limit=limit)]


async def pages(engine: Engine, limit: int, prefix: str = "") -> AsyncIterator[list[str]]:
    """The keys of one page after another, to the end; an engine that goes round in circles fails."""
    after = ""
    while page := await keys(engine, prefix=prefix, after=after, limit=limit):
        assert len(page) <= limit
        assert page[0] > after
        after = page[-1]
        yield page


async def shows(engine: Engine, key: str, meta: Meta | None, data: bytes = b"") -> None:
    """Asserts that every way to look at `key` shows exactly this state; `meta` is None for no document."""
    document = await engine.get(key)
    assert (document.meta if document else None) == meta
    assert await engine.head(key) == meta
    assert [found for found in await engine.list(prefix=key) if found.key == key] == ([meta] if meta else [])
    if document is not None:
        assert document.content.size == len(data)
        assert await read_all(document.content) == data
