"""The documents and uploads that the tests of the contract store, and helpers to write, read and compare them."""

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


def make_data(size: int, seed: str = "") -> bytes:
    """Return `size` bytes without repetitions, so that wrong offsets and mixed versions are noticed."""
    return hashlib.shake_128(seed.encode()).digest(size)


def version_of_data(data: bytes, fields: Fields = PLAIN) -> str:
    return version_of(hashlib.sha256(data).digest(), fields)


@dataclass(frozen=True, slots=True)
class ChunkedUpload:
    """An upload in `pieces`, between which other tasks run; then `failure` is raised, if there is one."""

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
class GatedUpload:
    """An upload that sets `halfway` after half of its data and waits for `gate`."""

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


async def put_data(
    engine: Engine, key: str, data: bytes, fields: Fields = PLAIN, *,
    expires_ns: int | None = None, expect: Expectation = ANY,
) -> WriteResult:  # fmt: skip
    return await engine.put(PutRequest(key, BytesContent(data), fields, expires_ns=expires_ns, expect=expect))


async def read_data(engine: Engine, key: str) -> bytes | None:
    """Return the content of a document, or None if it does not exist."""
    document = await engine.get(key)
    return None if document is None else await read_all(document.content)


async def list_keys(engine: Engine, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[str]:
    return [meta.key for meta in await engine.list(prefix=prefix, after=after, limit=limit)]


async def list_pages(engine: Engine, limit: int, prefix: str = "") -> AsyncIterator[list[str]]:
    """Yield the keys of each page. An engine whose pages don't advance fails."""
    after = ""
    while page := await list_keys(engine, prefix=prefix, after=after, limit=limit):
        assert len(page) <= limit
        assert page[0] > after
        after = page[-1]
        yield page


async def assert_state(engine: Engine, key: str, meta: Meta | None, data: bytes = b"") -> None:
    """Assert that get, head and list agree on this state of `key`; `meta` is None if the document must not exist."""
    document = await engine.get(key)
    assert (document.meta if document else None) == meta
    assert await engine.head(key) == meta
    listed = await engine.list(prefix=key, limit=1)  # it sorts first of those that it is a prefix of
    assert [found for found in listed if found.key == key] == ([meta] if meta else [])
    if document is not None:
        assert document.content.size == len(data)
        assert await read_all(document.content) == data
