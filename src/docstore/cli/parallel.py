"""Several documents at once: a few threads that take from one queue.

The queue is bounded, so that a collection of millions is listed as fast as it is worked on. What goes wrong with one
document is told and the others go on, but when the server is gone, or the disk is full. The threads are daemons, and
not a ThreadPoolExecutor's, for whose last call an interrupted command would wait.
"""

import errno
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, Queue
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from docstore.cli.download import GivenUp
from docstore.cli.errors import NOT_MET, USAGE, Told, lines, say, status_of
from docstore.cli.folder import UnsafeKey
from docstore.errors import DocstoreError, NoSpace, StorageUnavailable

if TYPE_CHECKING:
    from docstore.cli.progress import Bar

T = TypeVar("T")

AT_ONCE: Final = 8
_STOPS_WITHIN_S: Final = 2.0


class Stopped(GivenUp):
    """The work is to be given up."""


class Several(Generic[T]):
    """Calls `do` with each of many items, some at once; `name` says of one what it is called in a line about it."""

    def __init__(self, do: Callable[[T, "Several[T]"], None], name: Callable[[T], str], bar: "Bar") -> None:
        self._do = do
        self._name = name
        self._bar = bar
        self._queue: Queue[T | None] = Queue(AT_ONCE)
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._status = 0
        self._any_done = False
        self._unforeseen: Exception | None = None

    def check(self) -> None:
        """Raises Stopped when the work is to be given up; called now and then by what takes long."""
        if self._ended.is_set():
            raise Stopped

    def run(self, items: Iterable[T]) -> int:
        """The exit status: the worst that came of any item, but a wrong usage only when none at all could be done."""
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        try:
            for item in items:
                self._queue.put(item)
                if self._ended.is_set():
                    break
            for _ in threads:
                self._queue.put(None)
            for thread in threads:
                thread.join()
        except BaseException:
            self._stop(threads)
            raise
        if self._unforeseen is not None:
            raise self._unforeseen
        return NOT_MET if self._status == USAGE and self._any_done else self._status

    def _stop(self, threads: list[threading.Thread]) -> None:
        """Waits a little for what is being done; a thread that hangs on a server is left behind."""
        self._ended.set()
        with suppress(Empty):
            while True:
                self._queue.get_nowait()
        for _ in threads:
            self._queue.put_nowait(None)
        until_s = time.monotonic() + _STOPS_WITHIN_S
        for thread in threads:
            thread.join(max(0.0, until_s - time.monotonic()))

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._ended.is_set():
                continue
            try:
                self._do(item, self)
                self._any_done = True
            except Stopped:
                continue
            except (DocstoreError, OSError, Told, UnsafeKey) as error:
                self._told_safely(item, error)
            except Exception as error:
                self._give_up(error)

    def _told_safely(self, item: T, error: Exception) -> None:
        """A thread goes on whatever becomes of what it says: others wait for it to take what comes."""
        try:
            self._tell(item, error)
        except Exception as unforeseen:
            self._give_up(unforeseen)

    def _give_up(self, error: Exception) -> None:
        self._unforeseen = error
        self._ended.set()

    def _tell(self, item: T, error: Exception) -> None:
        with self._lock:
            if self._ended.is_set():
                return
            self._status = max(self._status, NOT_MET if isinstance(error, UnsafeKey) else status_of(error))
            said = lines(error)
            if _is_end(error):
                self._ended.set()
            else:
                said = [f"{self._name(item)}: {said[0]}"]
            self._bar.say(lambda: say("\ndocstore: ".join(said)))


def _is_end(error: Exception) -> bool:
    """Whether the other documents can only meet the same."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
    return isinstance(error, StorageUnavailable | NoSpace)
