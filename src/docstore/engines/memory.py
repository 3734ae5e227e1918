"""memory: a dict, as in the original, with its keys kept in order. It survives nothing, and is the specification.

All other engines must behave as these lines do. Nothing here waits between a check and the write it guards, so on
one event loop every method is atomic without a lock.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Final

from docstore.content import BytesContent, read_all
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineKind, EngineURL, Processes
from docstore.engines.shared.expiring_index import Ordered
from docstore.engines.shared.quota import OPTIONS, Room
from docstore.errors import Conflict, OpenError
from docstore.model import ANY, Clock, Document, Expectation, Meta, WriteResult, satisfies, version_of

HASHED_AT_ONCE: Final = 1024 * 1024
"""Bytes hashed on the event loop, in some 1 ms; more would keep it from everybody else, and goes to a thread."""


def open_memory(url: EngineURL, clock: Clock) -> "Memory":
    """`memory:` takes no location: what it held goes with its process."""
    from docstore.engines.memory_bounded import OVERHEAD, BoundedMemory  # which is made of what follows here

    url.refuse_options(*OPTIONS)
    if url.location:
        raise OpenError(f"memory: takes no path, {url.location!r} would never be written")
    room = Room.of(url, OVERHEAD)
    return Memory(clock) if room is None else BoundedMemory(clock, room)


class Memory:
    """The engine of `memory:` URLs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._documents: Ordered[Document] = Ordered()

    async def get(self, key: str) -> Document | None:
        return self._documents.current(key, self._clock())

    async def head(self, key: str) -> Meta | None:
        return self._current(key)

    async def put(self, request: PutRequest) -> WriteResult:
        key, fields = request.key, request.fields
        data = await read_all(request.upload)
        hashed = sha256(data) if len(data) <= HASHED_AT_ONCE else await asyncio.to_thread(sha256, data)
        digest = hashed.digest()
        # From here to the end nothing waits: the check and the write are one step.
        current = self._current(key)
        if not satisfies(request.expect, current):
            raise Conflict(current)
        modified_ns = self._clock() if request.modified_ns is None else request.modified_ns
        meta = Meta(key, version_of(digest, fields), len(data), digest, fields, modified_ns, request.expires_ns)
        self._documents.hold(Document(meta, BytesContent(data)))
        return WriteResult(meta, created=current is None)

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        current = self._current(key)
        if not satisfies(expect, current):
            raise Conflict(current)
        self._documents.forget(key)
        return current

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        return self._documents.page(self._clock(), prefix, after, limit)

    async def sweep(self, *, limit: int = 1000) -> int:
        expired = self._documents.expired(self._clock(), limit)
        for key in expired:
            self._documents.forget(key)
        return len(expired)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator["MemorySnapshot"]:
        yield MemorySnapshot(self._documents.copy(), self._clock())

    async def close(self) -> None:
        self._documents = Ordered()

    def _current(self, key: str) -> Meta | None:
        document = self._documents.current(key, self._clock())
        return document.meta if document else None


class MemorySnapshot:
    """What a memory held at `now_ns`: documents are values, so the dict alone is copied."""

    def __init__(self, documents: Ordered[Document], now_ns: int) -> None:
        self._documents = documents
        self._now_ns = now_ns
        current = [document.meta.size for document in documents if not document.meta.expired(now_ns)]
        self.documents, self.size = len(current), sum(current)

    async def get(self, key: str) -> Document | None:
        return self._documents.current(key, self._now_ns)

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        return self._documents.page(self._now_ns, prefix, after, limit)


MEMORY: Final = EngineKind(
    open=open_memory,
    summary="documents in memory, for tests and caches",
    example="memory:",
    survives="nothing: it goes with the process",
    processes=Processes.ONE,
    streams=False,
    on_disk=False,
    options=OPTIONS,
)
