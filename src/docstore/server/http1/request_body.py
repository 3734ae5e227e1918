"""The body of a request for its handler: an Upload of the received bytes.

It holds at most PAUSE_SIZE bytes and one segment; then the socket is not read until the handler has taken half of that.
The body is not requested before the handler iterates: only then does a client that waits for 100 (Continue) get one,
and a handler that rejects the request earlier saves the client the upload.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from docstore.errors import UploadError

PAUSE_SIZE: Final = 256 * 1024
RESUME_SIZE: Final = 128 * 1024


class RequestBody:
    """An Upload. It calls `on_change` when it is first iterated, and when there is space for more."""

    __slots__ = ("_changed", "_chunks", "_complete", "_error", "_iterated", "_on_change", "buffered_size", "size")

    def __init__(self, size: int | None, on_change: Callable[[], None]) -> None:
        self.size = size
        self.buffered_size = 0
        self._chunks: deque[bytes] = deque()
        self._iterated = False
        self._complete = False
        self._error: UploadError | None = None
        self._changed: asyncio.Event | None = None
        self._on_change = on_change

    def __aiter__(self) -> AsyncIterator[bytes]:
        if not self._iterated:
            self._iterated = True
            self._on_change()
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._complete:
                raise StopAsyncIteration
            # PERF: most bodies are complete before they are read, and then no Event is made.
            self._changed = asyncio.Event()
            try:
                await self._changed.wait()
            finally:
                self._changed = None
        chunk = self._chunks.popleft()
        before, self.buffered_size = self.buffered_size, self.buffered_size - len(chunk)
        if before > RESUME_SIZE >= self.buffered_size:
            self._on_change()
        return chunk

    def feed(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self.buffered_size += len(chunk)
        self._wake()

    def finish(self) -> None:
        self._complete = True
        self._wake()

    def fail(self, error: UploadError) -> None:
        """Raise `error` in the handler after the chunks received so far; a complete body does not change."""
        if not self._complete and self._error is None:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()

    def discard(self) -> None:
        """Drop the chunks: the handler does not read them."""
        self._chunks.clear()
        self.buffered_size = 0
