"""memory: a dict, as in the original, with its keys kept in order. It survives nothing, and is the specification.

All other engines must behave as these lines do. Nothing here waits between a check and the write it guards, so on
one event loop every method is atomic without a lock.
"""

import hashlib

from sortedcontainers import SortedDict, SortedSet

from docstore.content import Inline, Upload, read_all
from docstore.engines import EngineURL
from docstore.errors import CannotOpen, Conflict
from docstore.model import ANY, Clock, Document, Expectation, Fields, Meta, Written, met, version_of


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
        self._documents: SortedDict[str, Document] = SortedDict()
        self._expiring: SortedSet[tuple[int, str]] = SortedSet()

    def _current(self, key: str) -> Document | None:
        document = self._documents.get(key)
        return None if document is None or document.meta.expired(self._clock()) else document

    async def get(self, key: str) -> Document | None:
        return self._current(key)

    async def head(self, key: str) -> Meta | None:
        document = self._current(key)
        return document.meta if document else None

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
        digest = hashlib.sha256(data).digest()
        # From here to the end nothing waits: the check and the write are one step.
        current = await self.head(key)
        if not met(expect, current):
            raise Conflict(current)
        meta = Meta(key, version_of(digest, fields), len(data), digest, fields, self._clock(), expires_ns)
        self._forget(key)
        self._documents[key] = Document(meta, Inline(data))
        if expires_ns is not None:
            self._expiring.add((expires_ns, key))
        return Written(meta, created=current is None)

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        current = await self.head(key)
        if not met(expect, current):
            raise Conflict(current)
        self._forget(key)
        return current

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        now_ns = self._clock()
        page: list[Meta] = []
        for key in self._documents.irange(max(prefix, after)):
            if not key.startswith(prefix) or len(page) == limit:
                break
            meta = self._documents[key].meta
            if key > after and not meta.expired(now_ns):
                page.append(meta)
        return page

    async def sweep(self, *, limit: int = 1000) -> int:
        now_ns, swept = self._clock(), 0
        while self._expiring and self._expiring[0][0] <= now_ns and swept < limit:
            self._forget(self._expiring[0][1])
            swept += 1
        return swept

    async def close(self) -> None:
        self._documents.clear()
        self._expiring.clear()

    def _forget(self, key: str) -> None:
        document = self._documents.pop(key, None)
        if document is not None and document.meta.expires_ns is not None:
            self._expiring.discard((document.meta.expires_ns, key))
