"""The queue of writes between the event loop and the thread that commits them: in batches, one at a time.

At the end of each iteration the loop passes on the writes of that iteration, and no more until that batch is committed.
The writes that arrive meanwhile are the next batch.

PERF: a thread woken by the first write of a turn commits it alone, and competes for the interpreter's lock with the
loop that reads the others. At 32 connections a durable PUT takes 15% less of the process this way, at 64 18%.
"""

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

_T = TypeVar("_T")


class BatchQueue(Generic[_T]):
    """The loop calls `put` and `end`, the thread calls `take` and `done`."""

    def __init__(self, limit: int) -> None:
        """`limit` is the most items in a batch."""
        self._limit = limit
        self._waiting: deque[_T] = deque()
        self._ready = threading.Lock()
        """Released when the thread has something to take."""
        self._ready.acquire()
        self._gathering: asyncio.AbstractEventLoop | None = None
        """The loop that hands over at the end of its turn."""
        self._busy: asyncio.AbstractEventLoop | None = None
        """The loop whose batch is being committed; it hands over the next."""
        self._ended = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, item: _T, loop: asyncio.AbstractEventLoop) -> None:
        self._waiting.append(item)
        if self._gathering is not loop:
            self._gathering = loop
            loop.call_soon(self._hand_over, loop)

    def end(self) -> None:
        """Let the thread take the waiting items and then end. No `put` may follow."""
        self._ended = True
        self._wake()

    def take(self) -> list[_T]:
        """Wait for the next batch and return it; empty at the end."""
        while not self._ended:
            self._ready.acquire()
            if self._waiting:
                break
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._limit))]

    def done(self) -> None:
        """Report that the last batch is completed."""
        loop = self._busy
        # A closed loop has nothing to hand over.
        with suppress(RuntimeError):
            if loop is not None:
                loop.call_soon_threadsafe(self._continue, loop)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        self._gathering = None
        if self._waiting and (self._busy is None or self._busy.is_closed()):
            self._busy = loop
            self._wake()

    def _continue(self, loop: asyncio.AbstractEventLoop) -> None:
        self._busy = None
        if self._waiting and self._gathering is None:
            self._gathering = loop
            # Callers that were just answered may write again in this turn.
            loop.call_soon(self._hand_over, loop)

    def _wake(self) -> None:
        if self._ready.locked():
            self._ready.release()
