"""Uses of documents, noted in memory until they are written down together: a read is never a write.

What is noted here is lost with the process, so after a kill the documents that were only read since the last time look
as if they had not been. Times never stand still nor go back here, whatever the clock does: their order is that of the
uses. A use that is written down at once has its time from here too, so that there is one order.
"""

import threading
from typing import Final

from docstore.model import Clock

NOTED_LIMIT: Final = 10_000
"""Documents from which on the notes are to be written down: some megabytes, and some 50 ms of a writer."""

_LAST_NS: Final = 2**63 - 1


class Uses:
    """When documents were last used, by key. One thread notes, another may take; each step is one of a dict's own.

    Only to give the next time takes a lock: both may.
    """

    def __init__(self, clock: Clock, last_ns: int = 0) -> None:
        """`last_ns` is the latest time that is written down already."""
        self._clock = clock
        self._last_ns = last_ns
        self._giving = threading.Lock()
        self._noted: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._noted)

    def note(self, key: str) -> None:
        # While nobody takes them, as when the disk is full, there are at most twice as many.
        if len(self._noted) < 2 * NOTED_LIMIT or key in self._noted:
            self._noted[key] = self.next()

    def next(self, last_ns: int = 0) -> int:
        """The time of a use that is later than all before, and than `last_ns`, which another process may have given."""
        with self._giving:
            # Later than a write at the same instant: a clock may be coarse.
            self._last_ns = min(max(self._last_ns, last_ns, self._clock()) + 1, _LAST_NS)
            return self._last_ns

    def take(self, key: str) -> int | None:
        """When `key` was last used, None when that is not noted. It is noted no more."""
        return self._noted.pop(key, None)

    def give_back(self, taken: dict[str, int]) -> None:
        """What was taken could not be written down: it is noted again, unless it was used since."""
        for key, used_ns in taken.items():
            self._noted.setdefault(key, used_ns)

    def take_all(self) -> list[tuple[int, str]]:
        """All that is noted, and noted no more."""
        taken: list[tuple[int, str]] = []
        while self._noted:
            key, used_ns = self._noted.popitem()
            taken.append((used_ns, key))
        return taken
