"""The engine of `file:` URLs with `max_bytes`: counts reads, notes uses, and looks the folder over now and then.

Uses are written down by each sweep and on close: a kill takes at most those between two sweeps with it. A smaller bound
than before holds from the start: opening evicts until it does; without `evict` everything stays, and what would grow
is refused.
"""

import asyncio
import logging
import threading
from contextlib import ExitStack
from typing import Final

from docstore.engines.contract import PutRequest, Usage
from docstore.engines.file.counting import Counting
from docstore.engines.file.engine import File
from docstore.engines.file.metadata import Control
from docstore.engines.file.reader import Reader
from docstore.engines.file.recency import Recency
from docstore.engines.file.writer import Writer
from docstore.engines.shared.fs import PathIdentity
from docstore.engines.shared.quota import Admission, Room, Tally
from docstore.engines.shared.uses import Uses
from docstore.model import Clock, Document, Meta, WriteResult

LOOKED_OVER: Final = 5_000
"""Names that each sweep looks at for what came or went by hand."""

_log: Final = logging.getLogger(__name__)


class Bounds:
    """What a folder with a bound has beside the folder: its count, and the uses of its documents."""

    def __init__(self, room: Room, counting: Counting, recency: Recency, clock: Clock) -> None:
        """Looks at every document, and evicts what is too much. Raises OSError."""
        self.room = room
        self.ledger = counting.ledger
        self.tally = Tally()
        self._counting = counting
        self._recency = recency
        self._clock = clock
        self._uses = Uses(clock, counting.count(recency))
        self._writing = threading.Lock()
        counting.trim()

    def used(self, key: str) -> None:
        """It was read just now."""
        self.ledger.touch(key)
        if self.room.evict:
            self._uses.note(key)

    def look_over(self) -> None:
        self.write_down()
        self._counting.look_over(LOOKED_OVER)

    def write_down(self) -> None:
        """All that is noted. When it can't be, no document suffers: that is only logged."""
        with self._writing:
            try:
                self._recency.add(self._uses.take_all())
                if self._recency.is_long(len(self.ledger)):
                    self._recency.rewrite(self.ledger.keys(), self._clock())
            except OSError as error:
                _log.warning("when documents were last used can't be written down: %s", error)


class BoundedFile(File):
    """One folder that has a bound; no other process counts it."""

    def __init__(
        self,
        control: Control,
        soon: Reader,
        reader: Reader,
        writer: Writer,
        standing: list[PathIdentity],
        opened: ExitStack,
        bounds: Bounds,
    ) -> None:
        super().__init__(control, soon, reader, writer, standing, opened)
        self._bounds = bounds
        self._admission = Admission(bounds.room, self._used, super().head, super().sweep)

    async def get(self, key: str) -> Document | None:
        document = await super().get(key)
        self._bounds.tally.read(document is not None)
        if document is not None:
            self._bounds.used(key)
        return document

    async def head(self, key: str) -> Meta | None:
        meta = await super().head(key)
        if meta is not None:
            self._bounds.used(key)
        return meta

    async def put(self, request: PutRequest) -> WriteResult:
        return await super().put(await self._admission.admit(request))

    async def sweep(self, *, limit: int = 1000) -> int:
        swept = await super().sweep(limit=limit)
        await self._write("", self._bounds.look_over)
        return swept

    async def usage(self) -> Usage:
        return self._bounds.ledger.usage(self._bounds.tally)

    async def _used(self) -> int:
        return self._bounds.ledger.used

    async def close(self) -> None:
        await asyncio.to_thread(self._bounds.write_down)
        await super().close()
