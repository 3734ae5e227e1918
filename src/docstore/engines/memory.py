"""memory: documents in a dict, as in the original, with its keys in order. They are lost when the process ends.

This engine is the specification: all others must behave like it. There is no `await` between a check and the write
that it guards, so on one event loop every method is atomic without a lock.

With `max_bytes` the engine has a quota (`shared/quota.py`), and with `evict=lru` it is an exact LRU cache: the check,
the evictions and the write are one step. HEAD counts as a use, because clients that see 200 skip the upload. A listing
does not, because it would make all documents equally recent.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Final

from docstore.content import BytesContent, read_all
from docstore.engines.contract import PutRequest, Usage, check_expectation
from docstore.engines.registry import EngineKind, EngineURL, Processes
from docstore.engines.shared.expiring_index import ExpiringIndex
from docstore.engines.shared.quota import QUOTA_OPTIONS, Quota, admit_upload
from docstore.errors import Conflict, OpenError
from docstore.model import ANY, Clock, Document, Expectation, Meta, WriteResult

INLINE_HASH_LIMIT: Final = 1024 * 1024
"""Bytes hashed on the event loop, in some 1 ms; a thread hashes larger content, so that the loop is not blocked."""

MEMORY_OVERHEAD: Final = 1024
"""Bytes of memory that a document takes beside content, key and fields; measured by benchmarks/cache.py."""


def open_memory(url: EngineURL, clock: Clock) -> "Memory":
    """Open `memory:`, which takes no path."""
    if url.location:
        raise OpenError(f"memory: takes no path, and would never write to {url.location!r}")
    quota = Quota.of(url, MEMORY_OVERHEAD)
    return Memory(clock) if quota is None else BoundedMemory(clock, quota)


class Memory:
    """The engine of `memory:` URLs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._documents: ExpiringIndex[Document] = ExpiringIndex()

    async def get(self, key: str) -> Document | None:
        return self.recall(key)

    def recall(self, key: str) -> Document | None:
        return self._documents.current(key, self._clock())

    async def head(self, key: str) -> Meta | None:
        return self._current(key)

    async def put(self, request: PutRequest) -> WriteResult:
        data = await read_all(request.upload)
        hashed = sha256(data) if len(data) <= INLINE_HASH_LIMIT else await asyncio.to_thread(sha256, data)
        return self._put(request, data, hashed.digest())

    def submit(self, request: PutRequest, on_outcome: Callable[[WriteResult | Exception], None]) -> bool:
        upload = request.upload
        if type(upload) is not BytesContent or len(upload.data) > INLINE_HASH_LIMIT:
            return False
        outcome: WriteResult | Exception
        try:
            outcome = self._put(request, upload.data, sha256(upload.data).digest())
        except Conflict as conflict:
            outcome = conflict
        asyncio.get_running_loop().call_soon(on_outcome, outcome)
        return True

    def _put(self, request: PutRequest, data: bytes, digest: bytes) -> WriteResult:
        # Nothing awaits here: the check and the write are one step.
        current = self._current(request.key)
        check_expectation(request.expect, current)
        meta = request.meta(digest, len(data), self._clock())
        self._store(Document(meta, BytesContent(data)))
        return WriteResult(meta, created=current is None)

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        current = self._current(key)
        check_expectation(expect, current)
        self._remove(key)
        return current

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        return self._documents.page(self._clock(), prefix, after, limit)

    async def sweep(self, *, limit: int = 1000) -> int:
        expired = self._documents.expired(self._clock(), limit)
        for key in expired:
            self._remove(key)
        return len(expired)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator["MemorySnapshot"]:
        yield MemorySnapshot(self._documents.copy(), self._clock())

    async def close(self) -> None:
        self._documents = ExpiringIndex()

    def _current(self, key: str) -> Meta | None:
        document = self._documents.current(key, self._clock())
        return document.meta if document else None

    def _store(self, document: Document) -> None:
        self._documents.add(document)

    def _remove(self, key: str) -> None:
        self._documents.remove(key)


class MemorySnapshot:
    """The documents at `now_ns`. They are immutable, so only the index is copied."""

    def __init__(self, documents: ExpiringIndex[Document], now_ns: int) -> None:
        self._documents = documents
        self._now_ns = now_ns
        sizes = [document.meta.size for document in documents if not document.meta.expired(now_ns)]
        self.documents, self.size = len(sizes), sum(sizes)

    async def get(self, key: str) -> Document | None:
        return self._documents.current(key, self._now_ns)

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        return self._documents.page(self._now_ns, prefix, after, limit)


class BoundedMemory(Memory):
    """The engine of `memory:` URLs with `max_bytes`."""

    def __init__(self, clock: Clock, quota: Quota) -> None:
        super().__init__(clock)
        self._quota = quota
        self._costs: OrderedDict[str, int] = OrderedDict()
        """The cost of each document, expired ones included; the least recently used comes first."""
        self._used = 0
        self._hits = 0
        self._misses = 0
        self._evictions = 0

    async def get(self, key: str) -> Document | None:
        document = self.recall(key)
        if document is None:
            self._misses += 1
        return document

    def recall(self, key: str) -> Document | None:
        document = super().recall(key)
        if document is not None:
            self._hits += 1
            self._costs.move_to_end(key)
        return document

    async def head(self, key: str) -> Meta | None:
        meta = await super().head(key)
        if meta is not None:
            self._costs.move_to_end(key)
        return meta

    async def put(self, request: PutRequest) -> WriteResult:
        admitted = await admit_upload(self._quota, request, self._used_bytes, super().head, self.sweep)
        return await super().put(admitted)

    def submit(self, request: PutRequest, on_outcome: Callable[[WriteResult | Exception], None]) -> bool:
        return False  # expired documents may have to be swept first

    async def usage(self) -> Usage:
        quota = self._quota
        counts = self._hits, self._misses, self._evictions
        return Usage(len(self._costs), self._used, quota.max_bytes, quota.evict, *counts)

    async def close(self) -> None:
        await super().close()
        self._costs.clear()

    async def _used_bytes(self) -> int:
        return self._used

    def _store(self, document: Document) -> None:
        """Raise NoSpace when the document does not fit; only expired documents have been removed then."""
        key, cost = document.meta.key, self._quota.cost_of(document.meta)
        replaced = self._costs.get(key, 0)
        while cost > replaced and self._used - replaced + cost > self._quota.max_bytes:
            if cost > self._quota.max_bytes or not self._evict(key):
                raise self._quota.exceeded()
        super()._store(document)
        self._costs[key] = cost
        self._costs.move_to_end(key)
        self._used += cost - replaced

    def _evict(self, key: str) -> bool:
        """Remove one document other than `key`, if possible: an expired one, or the least recently used."""
        expired = [other for other in self._documents.expired(self._clock(), 2) if other != key]
        oldest = () if expired or not self._quota.evict else (other for other in self._costs if other != key)
        victim = expired[0] if expired else next(iter(oldest), None)
        if victim is None:
            return False
        self._evictions += not expired
        self._remove(victim)
        return True

    def _remove(self, key: str) -> None:
        super()._remove(key)
        self._used -= self._costs.pop(key, 0)


MEMORY: Final = EngineKind(
    open=open_memory,
    summary="documents in memory, for tests and caches",
    example="memory:",
    survives="nothing: documents are lost when the process ends",
    processes=Processes.ONE,
    streams=False,
    on_disk=False,
    options=QUOTA_OPTIONS,
)
