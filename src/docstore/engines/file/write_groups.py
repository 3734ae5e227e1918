"""Writes on their way from the event loop to the disk: in groups, one at a time.

The writes that arrive while a group is committed are the next group. Two writes of one key are never in one group.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from docstore.engines.file.writer import PendingWrite
from docstore.errors import StorageUnavailable

_log: Final = logging.getLogger(__name__)

GROUP_SIZE: Final = 64
"""The most writes of a group; each has five files open."""

OnEnd = Callable[[PendingWrite], None]


class WriteGroups:
    """Passes writes to `commit`, in a thread; it gives each an outcome and raises nothing."""

    def __init__(self, commit: Callable[[Sequence[PendingWrite]], None]) -> None:
        self._commit = commit
        self._thread = ThreadPoolExecutor(1, "docstore-file-group")
        self._waiting: list[tuple[PendingWrite, OnEnd]] = []
        self._busy = False
        self._idle: asyncio.Future[None] | None = None
        """Exists while `close` waits."""

    def submit(self, write: PendingWrite, on_end: OnEnd) -> None:
        """Call `on_end` in the event loop, later, when the write has an outcome."""
        self._waiting.append((write, on_end))
        if not self._busy:
            self._busy = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._start, loop)

    async def run(self, write: PendingWrite) -> None:
        """Return when the write has an outcome, also when this task is cancelled; then raise CancelledError."""
        ended = asyncio.get_running_loop().create_future()
        self.submit(write, ended.set_result)
        cancelled = False
        while not ended.done():
            try:
                await asyncio.shield(ended)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        group: dict[str, tuple[PendingWrite, OnEnd]] = {}
        later: list[tuple[PendingWrite, OnEnd]] = []
        for waiting in self._waiting:
            key = waiting[0].request.key
            if key in group or len(group) == GROUP_SIZE:
                later.append(waiting)
            else:
                group[key] = waiting
        self._waiting = later
        if group:
            self._pass_on(loop, list(group.values()))
            return
        self._busy = False
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _pass_on(self, loop: asyncio.AbstractEventLoop, group: list[tuple[PendingWrite, OnEnd]]) -> None:
        writes = [write for write, _ in group]
        try:
            work = loop.run_in_executor(self._thread, self._commit, writes)
        except RuntimeError as error:  # this is closed, or the system has no thread left
            for write in writes:
                write.fail(StorageUnavailable(f"{write.request.key!r} can't be written: {error}"))
            self._end(loop, group, None)
        else:
            work.add_done_callback(partial(self._end, loop, group))

    def _end(self, loop: asyncio.AbstractEventLoop, group: list[tuple[PendingWrite, OnEnd]], work: object) -> None:
        # After the callers that are answered here, who may write again at once.
        loop.call_soon(loop.call_soon, self._start, loop)
        for write, on_end in group:
            try:
                on_end(write)
            except Exception:
                _log.exception("the outcome of a write was not reported")

    async def close(self) -> None:
        """Wait for all writes."""
        if self._busy:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        await asyncio.to_thread(self._thread.shutdown)
