"""The quota of a token: a limit on the size of all documents below its mount and prefix, for what the token stores.

Documents that other clients stored count too, so that deleting documents and their expiry make space. Listing them for
each write would be slow, so the size is counted again from time to time, and before a write is rejected. In between,
the writes of this token in this process are added; those of other clients and other workers are noticed at the next
count. An engine's own quota (`max_bytes`) was rejected: few engines have one, and it is for all clients.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Final

from docstore.content import Upload
from docstore.engines.contract import Engine, PutRequest
from docstore.model import ANY, Document, Expectation, Meta, WriteResult
from docstore.server.errors import HTTPProblem

COUNT_INTERVAL_S: Final = 5.0
"""How long a count is used, at most, unless counting takes long."""
RECOUNT_INTERVAL_S: Final = 0.1
"""How soon a write that does not fit may cause another count."""
_REST: Final = 20
"""Between counts passes this many times the duration of one, so that counting takes less than 5% of the time."""
_PAGE: Final = 1000


class TokenUsage:
    """The bytes of content that the documents of a token take, of at most `quota`."""

    def __init__(
        self, stores: Sequence[tuple[Engine, str]], quota: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`stores` are engines, each with the prefix of the keys that count."""
        self._stores = stores
        self._quota = quota
        self._monotonic = monotonic
        self._counting = asyncio.Lock()
        self._counted_s = self._took_s = float("-inf")
        self._grown = 0
        """All that was added."""
        self.used = 0
        """Of stored documents."""
        self.pending = 0
        """Of writes in progress, less what they replace."""
        self.targets: dict[tuple[object, str], _Target] = {}
        """The documents that writes in progress will replace, by engine and key."""

    def fits(self, size: int) -> bool:
        return size <= 0 or self.used + self.pending + size <= self._quota

    def add(self, size: int) -> None:
        """Count a change of the documents."""
        self.used += size
        self._grown += max(0, size)

    async def count(self, interval_s: float) -> None:
        """Count what is stored, unless that was done in the last `interval_s`."""
        async with self._counting:
            started_s = self._monotonic()
            if started_s < self._counted_s + max(interval_s, _REST * self._took_s):
                return
            used, grown = 0, self._grown
            for engine, prefix in self._stores:
                page = await engine.list(prefix=prefix, limit=_PAGE)
                while page:
                    used += sum(meta.size for meta in page)
                    await asyncio.sleep(0)  # an engine may never yield
                    page = (
                        await engine.list(prefix=prefix, after=page[-1].key, limit=_PAGE) if page[_PAGE - 1 :] else []
                    )
            # The listing may lack what was stored meanwhile, so all of that is added.
            self.used, self._counted_s = used + self._grown - grown, self._monotonic()
            self._took_s = self._counted_s - started_s

    def exceeded(self, size: int) -> HTTPProblem:
        return HTTPProblem(
            "quota-exceeded",
            f"the documents of this token take {self.used + self.pending:,} of {self._quota:,} bytes, "
            f"and {size:,} more do not fit",
        )


class _Target:
    """A document that writes in progress will replace."""

    __slots__ = ("_usage", "size", "writes")

    def __init__(self, usage: TokenUsage) -> None:
        self._usage = usage
        self.size: int | None = None
        """Bytes; None if it is not known yet."""
        self.writes: set[_Write] = set()

    def resize(self, size: int) -> None:
        """Note that the document has changed, and with it what its writes take."""
        before = sum(write.more(0) for write in self.writes)
        self.size = size
        self._usage.pending += sum(write.more(0) for write in self.writes) - before


class _Write:
    """The space of one write, beyond the bytes that it replaces: those become free only at its commit."""

    __slots__ = ("_size", "_target", "_usage")

    def __init__(self, usage: TokenUsage, target: _Target) -> None:
        self._usage = usage
        self._target = target
        self._size = 0

    def more(self, size: int) -> int:
        """Return how much the write takes with `size` bytes more."""
        return max(0, self._size + size - (self._target.size or 0))

    async def take(self, size: int) -> None:
        """Raise HTTPProblem (507) if `size` bytes more do not fit."""
        usage = self._usage
        if not usage.fits(self.more(size) - self.more(0)):
            await usage.count(RECOUNT_INTERVAL_S)
            if not usage.fits(self.more(size) - self.more(0)):
                raise usage.exceeded(self.more(size) - self.more(0))
        usage.pending += self.more(size) - self.more(0)
        self._size += size


class _CountedUpload:
    """An upload of unknown size, which takes its space as it arrives."""

    size: None = None

    def __init__(self, upload: Upload, write: _Write) -> None:
        self._upload = upload
        self._write = write

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._upload:
            await self._write.take(len(chunk))
            yield chunk


class TokenQuotaEngine:
    """An engine whose writes stay within the quota of a token."""

    __slots__ = ("_engine", "_usage")

    def __init__(self, engine: Engine, usage: TokenUsage) -> None:
        self._engine = engine
        self._usage = usage

    async def get(self, key: str) -> Document | None:
        return await self._engine.get(key)

    async def head(self, key: str) -> Meta | None:
        return await self._engine.head(key)

    async def put(self, request: PutRequest) -> WriteResult:
        """Raise HTTPProblem (507), before the upload is read if its size is known."""
        usage, upload, place = self._usage, request.upload, (self, request.key)
        await usage.count(COUNT_INTERVAL_S)
        target = usage.targets.setdefault(place, _Target(usage))
        write = _Write(usage, target)
        target.writes.add(write)
        try:
            if target.size is None:
                current = await self._engine.head(request.key)
                if target.size is None:  # another write may have ended meanwhile
                    target.resize(current.size if current else 0)
            if upload.size is None:
                request = replace(request, upload=_CountedUpload(upload, write))
            else:
                await write.take(upload.size)
            result = await self._engine.put(request)
            usage.add(result.meta.size - (target.size or 0))
            target.resize(result.meta.size)
        finally:
            usage.pending -= write.more(0)
            target.writes.remove(write)
            if not target.writes:
                del usage.targets[place]
        return result

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        removed = await self._engine.delete(key, expect=expect)
        if removed is not None:
            self._usage.add(-removed.size)
            if target := self._usage.targets.get((self, key)):
                target.resize(0)
        return removed

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        return await self._engine.list(prefix=prefix, after=after, limit=limit)

    async def close(self) -> None:
        """The store closes the engine itself."""
