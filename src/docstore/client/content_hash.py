"""SHA-256 of content while it is transferred; of large content in a thread beside the transfer.

Hashing takes a quarter of the time of a large transfer, and hashlib does it without Python's lock. The event loop of
AsyncClient must not wait for such a thread, so its downloads are hashed where they are received.
"""

import hashlib
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from queue import Queue

_DIRECT_SIZE: Final = 1024 * 1024
"""Bytes that are hashed before a thread is worth its start."""
_BLOCKS_AHEAD: Final = 8
"""Blocks that wait for the thread at most."""


class ContentHash:
    """Close it after use of `in_thread`: a thread may be running."""

    def __init__(self) -> None:
        self._state = hashlib.sha256()
        self._size = 0
        self._threaded = False
        self._thread: threading.Thread | None = None
        self._blocks: Queue[bytes | None]

    def in_thread(self) -> None:
        """Let a thread hash the blocks that follow, once they are many."""
        self._threaded = True

    def update(self, block: bytes) -> None:
        self._size += len(block)
        if not self._threaded or self._size <= _DIRECT_SIZE:
            self._state.update(block)
            return
        if self._thread is None:
            from queue import Queue  # not loaded for small content

            self._blocks = Queue(_BLOCKS_AHEAD)
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        self._blocks.put(block)

    def _run(self) -> None:
        while (block := self._blocks.get()) is not None:
            self._state.update(block)

    def digest(self) -> bytes:
        """The digest of all blocks. Only after `close`, if `in_thread` was used."""
        return self._state.digest()

    def close(self) -> None:
        """Wait until all blocks are hashed."""
        if self._thread is not None:
            self._blocks.put(None)
            self._thread.join()
        self._threaded, self._thread = False, None
