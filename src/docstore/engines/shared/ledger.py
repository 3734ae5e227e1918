"""What a mount with a bound holds: how much room each document takes, when it expires, when it was last used.

It decides what goes when the room is used up: first what has expired, then what has not been used for longest. It
knows costs and not content, and removes nothing itself. Each answer takes the same short time however much is held.

Room is reserved before a document is written and settled when it stands, so that of many who write at once no two count
on the same room: `used` is at every instant at least what is on the disk. A document that somebody is removing already
is not named to another as long as there is one else.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from sortedcontainers import SortedSet

from docstore.engines.contract import Usage
from docstore.engines.shared.quota import Room, Tally


@dataclass(frozen=True, slots=True)
class _Entry:
    cost: int
    expires_ns: int | None


@dataclass(frozen=True, slots=True)
class Victim:
    """A document that is to go."""

    key: str
    expired: bool


_NOTHING: Final = _Entry(0, None)
_WAIT_S: Final = 1.0
"""After so long it is looked again, whether or not anybody told."""


class Ledger:
    """Safe among threads."""

    def __init__(self, room: Room) -> None:
        self._room = room
        # PERF: the lock itself is entered and not the condition, whose methods are Python's: a third of a touch.
        self._lock = threading.RLock()
        self._given_back = threading.Condition(self._lock)
        self._waiting = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        """Those that were used last come last."""
        self._expiring: SortedSet[tuple[int, str]] = SortedSet()
        self._leaving: dict[str, bool] = {}
        """What was named to somebody who removes it, and whether it had expired."""
        self._used = 0
        self._reserved = 0
        self._evictions = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    @property
    def used(self) -> int:
        """Bytes, what is reserved included."""
        return self._used

    def usage(self, tally: Tally) -> Usage:
        with self._lock:
            held, used, evictions = len(self._entries), self._used, self._evictions
        return Usage(held, used, self._room.max_bytes, self._room.word, tally.hits, tally.misses, evictions)

    def keys(self) -> list[str]:
        """Those that were used last come last."""
        with self._lock:
            return list(self._entries)

    def cost_of(self, key: str) -> int:
        """0 when nothing is held."""
        return self._entries.get(key, _NOTHING).cost

    def touch(self, key: str) -> None:
        """It was used just now, and stays even if it was to go. One that is not held stays out."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                self._leaving.pop(key, None)

    def claim(self, key: str, cost: int, now_ns: int) -> int | Victim | None:
        """Room for `cost` bytes in place of what is held for `key`: the bytes that are reserved for it now.

        Or what has to be removed before the next try; or None, when it fits on no account. What takes no more than it
        replaces always fits. Waits while all that could go is still being written.
        """
        with self._lock:
            while True:
                reserved = self._reserve(key, cost, 0)
                if reserved is not None:
                    return reserved
                victim = None if cost > self._room.max_bytes else self._choose(now_ns, key)
                if victim is not None:
                    return victim
                if not self._room.evict or not self._reserved or cost > self._room.max_bytes:
                    return None
                self._waiting += 1
                self._given_back.wait(_WAIT_S)
                self._waiting -= 1

    def confirm(self, key: str, cost: int, reserved: int) -> int | None:
        """What is reserved when it is known what stands at `key`; None when there is not enough room any more."""
        with self._lock:
            return self._reserve(key, cost, reserved)

    def release(self, reserved: int) -> None:
        with self._lock:
            self._keep(-reserved)

    def hold(self, key: str, cost: int, expires_ns: int | None, reserved: int = 0) -> None:
        """It stands, and was used just now; what was reserved for it is."""
        with self._lock:
            self._drop(key)
            self._leaving.pop(key, None)
            self._entries[key] = _Entry(cost, expires_ns)
            if expires_ns is not None:
                self._expiring.add((expires_ns, key))
            self._used += cost
            self._keep(-reserved)

    def forget(self, key: str) -> None:
        """It is gone."""
        with self._lock:
            self._drop(key)
            self._evictions += self._leaving.pop(key, True) is False
            self._tell()

    def excess(self, now_ns: int) -> Victim | None:
        """What has to be removed because more is held than there is room for."""
        with self._lock:
            return self._choose(now_ns, "") if self._used > self._room.max_bytes else None

    def is_leaving(self, key: str) -> bool:
        """Whether it is still to go: since it was named it may have been used, or replaced."""
        return key in self._leaving

    def let_stay(self, victim: Victim | None) -> None:
        """Who asked for it removes nothing."""
        if victim is not None:
            self._leaving.pop(victim.key, None)

    def spare(self, victim: Victim) -> None:
        """It can't be removed: another is to go before it."""
        with self._lock:
            entry = self._entries.get(victim.key, _NOTHING)
            if entry.expires_ns is not None:
                self._expiring.discard((entry.expires_ns, victim.key))
            self.touch(victim.key)

    def _choose(self, now_ns: int, sparing: str) -> Victim | None:
        """Of those that somebody removes already, only when there is no other."""
        victim = self._first(now_ns, {sparing, *self._leaving}) or self._first(now_ns, {sparing})
        if victim is not None:
            self._leaving[victim.key] = victim.expired
        return victim

    def _first(self, now_ns: int, sparing: set[str]) -> Victim | None:
        for expires_ns, key in self._expiring:
            if expires_ns > now_ns:
                break
            if key not in sparing:
                return Victim(key, expired=True)
        if self._room.evict:
            for key in self._entries:
                if key not in sparing:
                    return Victim(key, expired=False)
        return None

    def _reserve(self, key: str, cost: int, reserved: int) -> int | None:
        more = max(cost - self.cost_of(key), 0) - reserved
        if more <= 0:
            return reserved
        if self._used + more > self._room.max_bytes:
            return None
        self._keep(more)
        return reserved + more

    def _keep(self, amount: int) -> None:
        self._reserved += amount
        self._used += amount
        if amount < 0:
            self._tell()

    def _tell(self) -> None:
        if self._waiting:
            self._given_back.notify_all()

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._used -= entry.cost
            if entry.expires_ns is not None:
                self._expiring.discard((entry.expires_ns, key))
