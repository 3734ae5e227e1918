"""memory: a dict, as in the original, with its keys kept in order. It survives nothing, and is the specification.

All other engines must behave as these lines do. Nothing here waits between a check and the write it guards, so on
one event loop every method is atomic without a lock.
"""

import asyncio
from hashlib import sha256
from typing import Final

from docstore.content import Inline, Upload, read_all
from docstore.engines import EngineKind, EngineURL, Processes
from docstore.engines.ordered import Ordered
from docstore.errors import CannotOpen, Conflict
from docstore.model import ANY, Clock, Document, Expectation, Fields, Meta, Written, met, version_of

HASHED_AT_ONCE: Final = 1024 * 1024
"""Bytes hashed on the event loop, in some 1 ms; more would keep it from everybody else, and goes to a thread."""


def open_memory(url: EngineURL, clock: Clock) -> "Memory":
    """`memory:` takes no location: what it held goes with its process."""
    url.refuse_options()
    if url.location:
        raise CannotOpen(f"memory: takes no path, {url.location!r} would never be written")
    return Memory(clock)


class Memory:
    """The engine of `memory:` URLs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._documents: Ordered[Document] = Ordered()

    async def get(self, key: str) -> Document | None:
        return self._documents.current(key, self._clock())

    async def head(self, key: str) -> Meta | None:
        return self._current(key)

    async def put(
        self,
        key: str,
        upload: Upload,
        fields: Fields,
        *,
        expires_ns: int | None = None,
        expect: Expectation = ANY,
    ) -> Written:
        data = await read_all(upload)
        hashed = sha256(data) if len(data) <= HASHED_AT_ONCE else await asyncio.to_thread(sha256, data)
        digest = hashed.digest()
        # From here to the end nothing waits: the check and the write are one step.
        current = self._current(key)
        if not met(expect, current):
            raise Conflict(current)
        meta = Meta(key, version_of(digest, fields), len(data), digest, fields, self._clock(), expires_ns)
        self._documents.hold(Document(meta, Inline(data)))
        return Written(meta, created=current is None)

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        current = self._current(key)
        if not met(expect, current):
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

    async def close(self) -> None:
        self._documents = Ordered()

    def _current(self, key: str) -> Meta | None:
        document = self._documents.current(key, self._clock())
        return document.meta if document else None


MEMORY: Final = EngineKind(
    open=open_memory,
    summary="documents in memory, for tests and caches",
    example="memory:",
    survives="nothing: it goes with the process",
    processes=Processes.ONE,
    streams=False,
    on_disk=False,
)
