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
import random
import sys
import time
from pathlib import Path
from typing import Final

from docstore.errors import StorageUnavailable

if sys.platform != "win32":
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, lockf

    _TRY: Final = LOCK_EX | LOCK_NB

WRITE_TIMEOUT_S: Final = 30.0
"""How long a transaction waits for those of other processes. Nothing was changed yet, so it may take as long as a
request may."""

_QUEUE: Final = 0
_TURN: Final = 1
"""Bytes of the file; it need not have them."""

_SHORTEST_PAUSE_S: Final = 0.0001
_LONGEST_PAUSE_S: Final = 0.02
"""The shortest and the longest pause between two attempts to take the turn, for which one process at a time waits. In
between, a pause is an eighth of the wait so far, so that a process notices soon that a short turn has ended."""
_SHORTEST_QUEUE_PAUSE_S: Final = 0.001
_LONGEST_QUEUE_PAUSE_S: Final = 0.005
"""The pauses between two attempts to enter the queue. They become shorter with the wait, so that processes that have
just written rarely enter before those that wait, and random, so that no process always tries a moment too late."""


class WriteTurn:
    """The turns of one process. Used by one thread."""

    def __init__(self, database: Path, lock_file: Path) -> None:
        """Raise OSError."""
        self._database = database
        self._descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def take(self) -> None:
        """Wait for the turn. Raise StorageUnavailable after WRITE_TIMEOUT_S."""
        if sys.platform == "win32":
            return
        # PERF: without other processes, and so nearly always, four system calls are all that a batch pays.
        try:
            lockf(self._descriptor, _TRY, 1, _QUEUE)
        except OSError:
            self._wait_for(_QUEUE)
        try:
            lockf(self._descriptor, _TRY, 1, _TURN)
        except OSError:
            try:
                self._wait_for(_TURN)
            except BaseException:
                lockf(self._descriptor, LOCK_UN, 1, _QUEUE)
                raise
        lockf(self._descriptor, LOCK_UN, 1, _QUEUE)

    def release(self) -> None:
        if sys.platform != "win32":
            lockf(self._descriptor, LOCK_UN, 1, _TURN)

    def _wait_for(self, byte: int) -> None:
        began_s, waited_s = time.monotonic(), 0.0
        while True:
            if byte == _TURN:
                pause_s = min(max(_SHORTEST_PAUSE_S, waited_s / 8), _LONGEST_PAUSE_S)
            else:
                pause_s = max(_LONGEST_QUEUE_PAUSE_S - waited_s / 16, _SHORTEST_QUEUE_PAUSE_S)
                pause_s *= random.uniform(0.5, 1)  # noqa: S311
            time.sleep(pause_s)
            try:
                lockf(self._descriptor, _TRY, 1, byte)
                return
            except (BlockingIOError, PermissionError):
                waited_s = time.monotonic() - began_s
                if waited_s >= WRITE_TIMEOUT_S:
                    reason = f"other processes have been writing for {WRITE_TIMEOUT_S:g} s"
                    raise StorageUnavailable(f"{self._database}: {reason}") from None

    def close(self) -> None:
        os.close(self._descriptor)
