"""The body of a request on its way to whoever handles it: an Upload over what the connection receives.

At most HIGH_SIZE bytes and one segment wait here; then nothing more is read from the socket until half of it is taken.
The body isn't asked for before somebody iterates: that is when a client that waits for 100 (Continue) is told so, and
who refuses the request before has spared the client the sending.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from docstore.errors import UploadError

HIGH_SIZE: Final = 256 * 1024
LOW_SIZE: Final = 128 * 1024


class Body:
    """An Upload. `changed` is called when it is first asked for, and when enough was taken to read on."""

    __slots__ = ("_changed", "_chunks", "_complete", "_error", "_waiter", "asked", "held", "size")

    def __init__(self, size: int | None, changed: Callable[[], None]) -> None:
        self.size = size
        self.asked = False
        self.held = 0
        self._chunks: deque[bytes] = deque()
        self._complete = False
        self._error: UploadError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._changed = changed

    def __aiter__(self) -> AsyncIterator[bytes]:
        if not self.asked:
            self.asked = True
            self._changed()
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._complete:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunk = self._chunks.popleft()
        before, self.held = self.held, self.held - len(chunk)
        if before > LOW_SIZE >= self.held:
            self._changed()
        return chunk

    def feed(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self.held += len(chunk)
        self._wake()

    def finish(self) -> None:
        """All of it has come."""
        self._complete = True
        self._wake()

    def fail(self, error: UploadError) -> None:
        """The rest won't come: whoever iterates gets `error` after what did come. Nothing changes what is complete."""
        if not self._complete and self._error is None:
            self._error = error
            self._wake()

    def abandon(self) -> None:
        """Nobody reads it any more."""
        self._chunks.clear()
        self.held = 0

    @property
    def failed(self) -> bool:
        return self._error is not None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
