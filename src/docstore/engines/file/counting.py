"""How much there is in a folder with a bound, and what goes when that is too much.

The count is in memory and not on the disk: it is made by looking at every document once, when the folder is opened, so
after a kill it can't be wrong. For that only one process may have a folder open with a bound, which a lock sees to.
Another without a bound may have it open too, and a person may put files there, edit or remove them: what came or went
so is counted when the same key is written next, and at the latest when `look_over` has come round, a part of it with
each sweep. Files that came by hand are documents, so they may be evicted too.

Room is reserved before a write, by removing others, and settled under the lock of its key, in which nobody else changes
what stands there. What is removed counts until it is gone. So there is never more on the disk than was reserved, and of
many writers no two take the same room. Content that is still being received is not counted: it is no document yet.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from docstore.content import Descriptor
from docstore.engines.contract import PutRequest
from docstore.engines.file.account import RoomTaken
from docstore.engines.file.listing import LeftOut, keys
from docstore.engines.file.metadata import Control, fingerprint
from docstore.engines.file.reader import Reader
from docstore.engines.file.recency import Recency
from docstore.engines.file.tree import Tree
from docstore.engines.file.writer import Writer
from docstore.engines.shared.ledger import Ledger, Victim
from docstore.engines.shared.quota import Room
from docstore.errors import EngineError
from docstore.model import ANY, Clock, Meta, satisfies

OVERHEAD: Final = 8 * 1024
"""Bytes of disk that a document takes beside content, key and fields: a block for its sidecar, some for two inodes and
their names, and what the last block of the content has left."""

FAILURES_LIMIT: Final = 100
"""Documents that can't be removed, after which one write no longer tries others."""

_log: Final = logging.getLogger(__name__)


def _no_digest(file: Descriptor, status: object) -> bytes:
    # Who only counts need not know what a file that came by hand holds, and hashing it would take long.
    return b""


class Counting:
    """The account of a folder with a bound; safe among threads."""

    def __init__(self, room: Room, tree: Tree, control: Control, clock: Clock, reader: Reader) -> None:
        self.ledger = Ledger(room)
        self._room = room
        self._tree = tree
        self._control = control
        self._clock = clock
        self._reader = reader
        self._sizes = Reader(tree, control, clock, _no_digest)
        self._remover = Writer(tree, control, self._sizes, clock, self)
        self._looking = threading.Lock()
        self._round = self._all_keys()

    def count(self, recency: Recency) -> int:
        """Looks at every document; the time of the last use. Raises OSError."""
        uses = recency.read()
        found: list[tuple[int, str, int, int | None]] = []
        for key in keys(self._tree, "", "", LeftOut()):
            try:
                standing = self._sizes.find(key)
            except EngineError as error:
                _log.warning("it takes room, and nobody knows how much: %s", error)
                continue
            if standing is not None:
                meta = standing.meta
                used_ns = max(meta.modified_ns, uses.get(key, 0))
                found.append((used_ns, key, self._room.cost_of(meta), meta.expires_ns))
        found.sort()
        for _, key, cost, expires_ns in found:
            self.ledger.hold(key, cost, expires_ns)
        return found[-1][0] if found else 0

    @contextmanager
    def room_for(self, request: PutRequest, size: int) -> Iterator["_Taking"]:
        taking = _Taking(self._room.cost(request.key, size, request.fields), request.key, self)
        taking.reserved = self._make_room(request, taking.cost)
        try:
            yield taking
        finally:
            self.ledger.release(taking.reserved)

    def _make_room(self, request: PutRequest, cost: int) -> int:
        failures = 0
        while not isinstance(claimed := self.ledger.claim(request.key, cost, self._clock()), int):
            if request.expect is not ANY and not satisfies(request.expect, self._reader.head(request.key)):
                # The write will be refused for that, and nothing is to go for it.
                self.ledger.let_stay(claimed)
                return 0
            if claimed is None or failures == FAILURES_LIMIT:
                self.ledger.let_stay(claimed)
                raise self._room.full()
            failures += not self._evict(claimed)
        return claimed

    def _evict(self, victim: Victim) -> bool:
        """Whether it is gone, or was used since it was chosen."""
        try:
            self._remover.evict(victim.key, lambda: self.ledger.is_leaving(victim.key))
        except (EngineError, OSError) as error:
            _log.warning("%s can't be evicted: %s", self._sizes.path_of(victim.key), error)
            self.ledger.spare(victim)
            return False
        return True

    def trim(self) -> None:
        """Evicts what is more than there is room for, if anything may be."""
        failures = 0
        while failures < FAILURES_LIMIT and (victim := self.ledger.excess(self._clock())) is not None:
            failures += not self._evict(victim)

    def gone(self, key: str) -> None:
        self.ledger.forget(key)

    def correct(self, key: str, standing: Meta | None) -> None:
        """What is counted for `key` becomes what stands there; to be called under its lock."""
        if standing is None:
            self.ledger.forget(key)
        elif self.ledger.cost_of(key) != self._room.cost_of(standing):
            self.ledger.hold(key, self._room.cost_of(standing), standing.expires_ns)

    def look_over(self, limit: int) -> None:
        """Looks at the next `limit` names and corrects what is counted for them; begins again when it is round."""
        with self._looking:
            for _ in range(limit):
                try:
                    key = next(self._round, None)
                    if key is None:
                        self._round = self._all_keys()
                        break
                    if key:
                        self._look(key)
                except (EngineError, OSError) as error:
                    _log.warning("a document can't be counted: %s", error)
        self.trim()

    def _look(self, key: str) -> None:
        with self._control.locked(fingerprint(key)):
            found = self._sizes.find_locked(key)
            self.correct(key, found.meta if found else None)

    def _all_keys(self) -> Iterator[str]:
        """Keys to look at: first what stands there and is not counted, then all that is. "" is a name to pass over."""
        for key in keys(self._tree, "", "", LeftOut()):
            yield "" if key in self.ledger else key
        yield from self.ledger.keys()


class _Taking:
    """Room for one write, reserved or taken."""

    def __init__(self, cost: int, key: str, counting: Counting) -> None:
        self.cost = cost
        self.reserved = 0
        self._key = key
        self._counting = counting

    def take(self, standing: Meta | None) -> None:
        self._counting.correct(self._key, standing)
        reserved = self._counting.ledger.confirm(self._key, self.cost, self.reserved)
        if reserved is None:
            raise RoomTaken
        self.reserved = reserved

    def settle(self, meta: Meta) -> None:
        reserved, self.reserved = self.reserved, 0
        self._counting.ledger.hold(self._key, self.cost, meta.expires_ns, reserved)
