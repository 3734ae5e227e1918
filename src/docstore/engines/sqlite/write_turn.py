"""Turns among the processes that write one database.

SQLite lets one process write at a time. A process that finds the database busy sleeps and tries again, so a process
that commits without a pause wins nearly every race, and on a slow disk the others fail after their timeout. Two locks
make the order fair: a process holds the queue while it waits for the turn, and releases the queue when it has the turn.
A process that has just committed must pass the queue first, which the waiting process holds.

The locks are POSIX locks on two bytes of the file that every process with the database keeps open; they end with their
process. They only order the writers: without them (on Windows, or among two mounts of one process) SQLite's own lock
and its timeout still keep the transactions apart.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from docstore.errors import StorageUnavailable

if sys.platform != "win32":
    import fcntl

WRITE_TIMEOUT_S: Final = 30.0
"""How long a transaction waits for those of other processes. Nothing was changed yet, so it may take as long as a
request may."""

_QUEUE: Final = 0
_TURN: Final = 1
"""Bytes of the file; it need not have them."""

_PAUSE_S: Final = 0.001
_LONGEST_PAUSE_S: Final = 0.02


class WriteTurn:
    """The turns of one process. Used by one thread."""

    def __init__(self, database: Path, lock_file: Path) -> None:
        """Raise OSError."""
        self._database = database
        self._descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for the turn and hold it. Raise StorageUnavailable after WRITE_TIMEOUT_S."""
        if sys.platform == "win32":
            yield
            return
        deadline = time.monotonic() + WRITE_TIMEOUT_S
        self._lock(_QUEUE, deadline)
        try:
            self._lock(_TURN, deadline)
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _QUEUE)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _TURN)

    def _lock(self, byte: int, deadline: float) -> None:
        pause_s = _PAUSE_S
        while True:
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
                return
            except (BlockingIOError, PermissionError):
                if time.monotonic() >= deadline:
                    reason = f"other processes have been writing for {WRITE_TIMEOUT_S:g} s"
                    raise StorageUnavailable(f"{self._database}: {reason}") from None
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def close(self) -> None:
        os.close(self._descriptor)
