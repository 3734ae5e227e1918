"""memory with a bound: `memory:?max_bytes=1GiB&evict=lru`.

Like the engine beneath it, it is exact: what goes first is what was read or written longest ago, and the look at the
room, the evictions and the write are one step. Being asked for its meta is a use too: who is told by HEAD that a
document is there does not send it again. Being listed is none, else every listing would make all documents alike.
"""

from typing import Final

from docstore.engines.contract import PutRequest, Usage
from docstore.engines.memory import Memory
from docstore.engines.shared.expiring_index import Ordered
from docstore.engines.shared.ledger import Ledger
from docstore.engines.shared.quota import Admission, Room, Tally
from docstore.model import Clock, Document, Meta, WriteResult

OVERHEAD: Final = 1024
"""Bytes of memory that a document takes beside content, key and fields; measured by benchmarks/cache.py."""


class BoundedMemory(Memory):
    """The engine of `memory:` URLs with `max_bytes`."""

    def __init__(self, clock: Clock, room: Room) -> None:
        super().__init__(clock)
        self._room = room
        self._tally = Tally()
        self._ledger = Ledger(room)
        self._documents = _Held(room, clock, self._ledger)
        self._admission = Admission(room, self._used, super().head, self.sweep)

    async def get(self, key: str) -> Document | None:
        document = await super().get(key)
        self._tally.read(document is not None)
        if document is not None:
            self._ledger.touch(key)
        return document

    async def head(self, key: str) -> Meta | None:
        meta = await super().head(key)
        if meta is not None:
            self._ledger.touch(key)
        return meta

    async def put(self, request: PutRequest) -> WriteResult:
        return await super().put(await self._admission.admit(request))

    async def usage(self) -> Usage:
        return self._ledger.usage(self._tally)

    async def _used(self) -> int:
        return self._ledger.used


class _Held(Ordered[Document]):
    """The documents, which make room for the one that comes."""

    def __init__(self, room: Room, clock: Clock, ledger: Ledger) -> None:
        super().__init__()
        self._room = room
        self._clock = clock
        self._ledger = ledger

    def hold(self, entry: Document) -> None:
        """Raises NoSpace, and nothing is lost then but what has expired."""
        meta = entry.meta
        cost = self._room.cost_of(meta)
        while not isinstance(claimed := self._ledger.claim(meta.key, cost, self._clock()), int):
            if claimed is None:
                raise self._room.full()
            self.forget(claimed.key)
        super().hold(entry)
        self._ledger.hold(meta.key, cost, meta.expires_ns, claimed)

    def forget(self, key: str) -> None:
        super().forget(key)
        self._ledger.forget(key)
