"""Writes on their way from the event loop to the disk: in groups, one at a time.

The writes that arrive while a group is committed are the next group. Two writes of one key are never in one group.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from docstore.engines.file.writer import PendingWrite

GROUP_SIZE: Final = 64
"""The most writes of a group; each has five files open."""

_Waiting = tuple[PendingWrite, "asyncio.Future[None]"]


class WriteGroups:
    """Passes writes to `commit`, in a thread; it gives each an outcome and raises nothing."""

    def __init__(self, commit: Callable[[Sequence[PendingWrite]], None]) -> None:
        self._commit = commit
        self._thread = ThreadPoolExecutor(1, "docstore-file-group")
        self._waiting: list[_Waiting] = []
        self._unended: set[asyncio.Future[None]] = set()

    async def run(self, write: PendingWrite) -> None:
        """Return when the write has an outcome, also when this task is cancelled; then raise CancelledError."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        self._waiting.append((write, ended))
        if not self._unended:
            loop.call_soon(self._start, loop)
        self._unended.add(ended)
        cancelled = False
        while not ended.done():
            try:
                await asyncio.shield(ended)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        group: dict[str, _Waiting] = {}
        later: list[_Waiting] = []
        for waiting in self._waiting:
            key = waiting[0].request.key
            if key in group or len(group) == GROUP_SIZE:
                later.append(waiting)
            else:
                group[key] = waiting
        self._waiting = later
        if group:
            work = loop.run_in_executor(self._thread, self._commit, [write for write, _ in group.values()])
            work.add_done_callback(partial(self._end, loop, [ended for _, ended in group.values()]))

    def _end(self, loop: asyncio.AbstractEventLoop, group: list["asyncio.Future[None]"], work: object) -> None:
        self._unended.difference_update(group)
        for ended in group:
            ended.set_result(None)
        # Callers that were just answered may write again in this turn.
        loop.call_soon(self._start, loop)

    async def close(self) -> None:
        """Wait for all writes."""
        while self._unended:
            await asyncio.wait(self._unended)
        await asyncio.to_thread(self._thread.shutdown)
