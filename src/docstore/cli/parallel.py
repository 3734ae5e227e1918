"""Work on several documents at once: a few threads that take items from a queue.

The queue is bounded, so a collection of millions is listed as fast as it is processed. An error of one document is
printed and the others continue, except when the server is down or the disk is full. The threads are daemons: those of
a ThreadPoolExecutor would keep an interrupted command waiting for their last call. Tasks of asyncio were rejected: they
took twice as long to download many small documents.
"""

import errno
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, Queue
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from docstore.cli.errors import CommandError
from docstore.errors import DocstoreError, NoSpace, StorageUnavailable

if TYPE_CHECKING:
    from docstore.cli.progress import Advance
    from docstore.cli.summary import Summary

_T = TypeVar("_T")

THREADS: Final = 8
_STOP_TIMEOUT_S: Final = 2.0


class Stopped(Exception):
    """Raised within the work on a document when the command ends early."""


class WorkerPool(Generic[_T]):
    """Calls `work` with each of many items, several at once.

    Its second argument counts bytes on the bar, and raises Stopped when the command ends early. `name` returns what an
    error message calls an item, `size` its bytes.
    """

    def __init__(
        self,
        work: Callable[[_T, "Advance"], None],
        name: Callable[[_T], str],
        summary: "Summary",
        size: Callable[[_T], int] = lambda _: 0,
    ) -> None:
        self._work = work
        self._name = name
        self._size = size
        self._summary = summary
        self._queue: Queue[_T | None] = Queue(THREADS)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._fatal: Exception | None = None

    def run(self, items: Iterable[_T]) -> int:
        """Process all items; return the exit status. Raise an error that concerns all of them."""
        threads = [threading.Thread(target=self._run_thread, daemon=True) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        try:
            for item in items:
                self._queue.put(item)
                if self._stopping.is_set():
                    break
            for _ in threads:
                self._queue.put(None)
            for thread in threads:
                thread.join()
        except BaseException:
            self._stop(threads)
            raise
        if self._fatal is not None:
            raise self._fatal
        return self._summary.status

    def _stop(self, threads: list[threading.Thread]) -> None:
        """Wait a little for the items in progress; a thread that hangs on a server is left behind."""
        self._stopping.set()
        with suppress(Empty):
            while True:
                self._queue.get_nowait()
        for _ in threads:
            self._queue.put_nowait(None)
        end_s = time.monotonic() + _STOP_TIMEOUT_S
        for thread in threads:
            thread.join(max(0.0, end_s - time.monotonic()))

    def _run_thread(self) -> None:
        """Take items until the end of the queue, even when stopping: `run` may wait for space in the queue."""
        while (item := self._queue.get()) is not None:
            try:
                if not self._stopping.is_set():
                    self._work(item, self._advance)
                    with self._lock:
                        self._summary.count(self._name(item), self._size(item))
            except Stopped:
                continue
            except Exception as error:
                with self._lock:
                    if self._stopping.is_set():
                        continue
                    if not isinstance(error, DocstoreError | CommandError | OSError) or _concerns_all(error):
                        self._fatal = error
                        self._stopping.set()
                    else:
                        self._summary.fail(self._name(item), error)

    def _advance(self, n_bytes: int) -> None:
        if self._stopping.is_set():
            raise Stopped
        self._summary.bar.advance(n_bytes)


def _concerns_all(error: Exception) -> bool:
    """Whether all other documents would fail in the same way."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
    return isinstance(error, StorageUnavailable | NoSpace)
