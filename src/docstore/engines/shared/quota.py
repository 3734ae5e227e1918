"""Room: how much a mount may hold, and what it does when that is used up. `max_bytes` and `evict` of an engine's URL.

Counted is what a document brings along, its content, key and stored fields as they are packed, and on top for each
document what its engine needs to keep it: so a million empty documents have a bound too. What is on its way is not
counted until it is stored.

A mount that evicts takes every write that fits at all. One that does not refuses what would make it hold more than its
room: a write by which it grows. What takes no more than the document that it replaces is always taken, also when the
room was made smaller since. A document that could never fit is ContentTooLarge and not NoSpace: no deletion would help.

An upload is looked at before its first byte is asked for, and as it comes when nobody announced its size. That is only
to spare who sends in vain: what holds the bound is each engine's own commit. A wrapper over any engine was rejected
for it: between its look and the commit another process could write.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from docstore.content import Upload
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL
from docstore.errors import ContentTooLarge, NoSpace, SetupError
from docstore.model import Fields, Meta
from docstore.units import parse_size

LEAST: Final = 64 * 1024
"""Bytes of the smallest room: less holds a few empty documents, and is a unit forgotten."""

OPTIONS: Final = {
    "max_bytes": "how much all documents may take, as in 1GiB; unbounded when it is not given",
    "evict": "lru lets what was used longest ago go when there is no room; else a full mount is 507",
}


@dataclass(frozen=True, slots=True)
class Room:
    """`overhead` is in bytes for each document."""

    max_bytes: int
    evict: bool
    overhead: int

    @classmethod
    def of(cls, url: EngineURL, overhead: int) -> "Room | None":
        """What the options of `url` ask for; None for an engine without a bound. Raises SetupError."""
        given, evict = url.options.get("max_bytes"), url.options.get("evict")
        if evict not in (None, "lru"):
            raise SetupError(f"evict={evict} of {url.scheme}: there is only evict=lru")
        if given is None:
            if evict is not None:
                raise SetupError(f"evict={evict} of {url.scheme}: needs max_bytes, as in max_bytes=1GiB&evict=lru")
            return None
        max_bytes = parse_size(given)
        if max_bytes < LEAST:
            raise SetupError(f"max_bytes={given} of {url.scheme}: it is at least {LEAST // 1024}KiB")
        return cls(max_bytes, evict is not None, overhead)

    @property
    def word(self) -> str | None:
        """The value of `evict`."""
        return "lru" if self.evict else None

    def cost(self, key: str, size: int, fields: Fields) -> int:
        """Bytes of room that a document takes."""
        return size + len(key.encode()) + len(fields.pack()) + self.overhead

    def cost_of(self, meta: Meta) -> int:
        return self.cost(meta.key, meta.size, meta.fields)

    def full(self) -> NoSpace:
        return NoSpace(f"the mount is full: it holds at most {self.max_bytes} bytes")


class Admission:
    """Looks at uploads before an engine takes them; `used`, `head` and `sweep` ask that engine."""

    def __init__(
        self,
        room: Room,
        used: Callable[[], Awaitable[int]],
        head: Callable[[str], Awaitable[Meta | None]],
        sweep: Callable[[], Awaitable[int]],
    ) -> None:
        self._room = room
        self._used = used
        self._head = head
        self._sweep = sweep

    async def admit(self, request: PutRequest) -> PutRequest:
        """The request, whose upload is watched when its size was not announced. Raises NoSpace or ContentTooLarge."""
        key, upload = request.key, request.upload
        room, bare = self._room, self._room.cost(key, 0, request.fields)
        asked = bare + (upload.size or 0)
        free = room.max_bytes
        if asked > free or not room.evict:
            free = await self._free(key, asked, announced=upload.size is not None)
        if asked > free:
            raise room.full() if asked <= room.max_bytes else ContentTooLarge(max(room.max_bytes - bare, 0))
        if upload.size is not None:
            return request
        refusal = room.full() if free < room.max_bytes else ContentTooLarge(free - bare)
        return replace(request, upload=_Watched(upload, free - bare, refusal))

    async def _free(self, key: str, asked: int, *, announced: bool) -> int:
        """The most that a document of this key may take now."""
        room = self._room
        left = 0
        if not room.evict:
            left = room.max_bytes - await self._used()
            while left < asked and await self._sweep():
                left = room.max_bytes - await self._used()
            if announced and left >= asked:
                return left
        current = await self._head(key)
        held = 0 if current is None else room.cost_of(current)
        return max(held, room.max_bytes if room.evict else left + held)


class _Watched:
    """An upload of a size that nobody announced: refused when it is larger than `limit`."""

    __slots__ = ("_limit", "_refusal", "_upload", "size")

    def __init__(self, upload: Upload, limit: int, refusal: NoSpace | ContentTooLarge) -> None:
        self._upload = upload
        self._limit = limit
        self._refusal = refusal
        self.size = upload.size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        arrived = 0
        async for chunk in self._upload:
            arrived += len(chunk)
            if arrived > self._limit:
                raise self._refusal
            yield chunk


@dataclass(slots=True)
class Tally:
    """What became of reads."""

    hits: int = 0
    misses: int = 0

    def read(self, found: bool) -> None:
        if found:
            self.hits += 1
        else:
            self.misses += 1
