"""Room on a disk that is full: what it takes that documents can always be removed.

A removal needs room before it gives any: its pages go to the log first. So PATH-reserve, an allocated file that holds
nothing, is kept beside the database, and given up when a commit finds no room. Two rules keep it large enough:

    a commit that makes the database grow needs the reserve whole: a megabyte (a removal writes some ten pages), and by
        how much the database is still to grow when the log is written back; else it is refused, on a disk that has
        room for it too
    a commit that makes nothing grow (a removal, a sweep, a smaller document) may use the reserve up

So when the reserve is given up there is room for the removal and for writing back all of the log, and that gives up the
log's own file, which is larger than what was needed. What a removal freed inside of the database is given back to the
file system then, and the reserve made anew. Where that fails, growing commits wait until there is room.

Rejected: a log that is kept allocated (it can be overwritten only when it is written back, which may need room itself),
a look at the free room before each write (it does nothing against other programs), and space allocated at the end of
the database (another process may be writing there, and only SQLite knows).
"""

import ctypes
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from docstore.engines.shared.ballast import Ballast, free_room
from docstore.engines.shared.fs import PathIdentity
from docstore.engines.sqlite.driver_errors import engine_error
from docstore.engines.sqlite.schema import WRITE_TIMEOUT_MS
from docstore.errors import EngineError

AHEAD_SIZE: Final = 4 * 1024 * 1024
"""By how much more than is needed the reserve grows, so that few commits have to make it grow."""

PRESSED_TIMEOUT_MS: Final = 250
"""How long the log waits for readers on a full disk: all that write wait for it."""

VACUUMS: Final = 8
"""Steps in which room is given back after one commit that found none."""

VACUUM_PAGES: Final = 512

_log: Final = logging.getLogger(__name__)


def reserve_of(path: Path) -> Ballast:
    """The reserve of the database at `path`. Raises OSError."""
    return Ballast(Path(f"{path}-reserve"))


class Headroom:
    """The room around one database. Used by the thread that owns `connection`, but for `check`."""

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        """Raises OSError."""
        self._connection = connection
        self._path = path
        self._reserve = reserve_of(path)
        connection.pragma("page_count")  # a first read makes the log, if there is none
        self._database = PathIdentity(path)
        self._beside = (PathIdentity(Path(f"{path}-wal")), PathIdentity(Path(f"{path}.sealed")))
        self.grew = False
        """Whether the commit that was asked for last makes the database grow."""
        self._page_size: int = connection.pragma("page_size")
        self._reserve.refill()

    def check(self) -> os.stat_result:
        """The database's status. Raises StorageUnavailable when it, its log or its sealed files are not where
        they were."""
        status = self._database.check()
        for standing in self._beside:
            standing.check()
        return status

    def admit(self, *, pressed: bool) -> None:
        """To be asked before each COMMIT, inside the transaction: no other process changes the reserve meanwhile.

        Raises NoSpace, or StorageUnavailable: what is written into a database that was removed is lost.
        """
        growth = self._growth(self.check())
        self.grew = growth > 0
        if self.grew:
            self._reserve.hold(self._reserve.wanted + growth, ahead=0 if pressed else AHEAD_SIZE)
        elif pressed:
            self._reserve.give_up()

    def press(self) -> None:
        """Makes all room there can be for one commit."""
        self.grew = False
        with self._tried():
            self._reserve.give_up()
            self._write_back()

    def restore(self) -> None:
        """After a commit that was pressed: gives back what is free in the database, and makes the reserve anew."""
        with self._tried():
            self.press()
            for _ in range(VACUUMS):
                if not self._connection.pragma("freelist_count"):
                    break
                self._connection.execute(f"PRAGMA incremental_vacuum({self._vacuum_pages()})").fetchall()
                self._write_back()
        self._reserve.refill()

    def settle(self) -> None:
        """Before the connection is closed: makes a reserve that has grown as small as it may be."""
        try:
            self.check()
        except EngineError as error:
            _log.error("%s", error)
            # SQLite would remove the log by its name, and by now that may be the log of another database.
            keep = ctypes.c_int(1)
            self._connection.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(keep))
            return
        with self._tried():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._reserve.cut(self._reserve.wanted + max(0, self._growth(self.check())))
            finally:
                self._connection.execute("ROLLBACK")

    def _growth(self, status: os.stat_result) -> int:
        """How many bytes the database still grows when the log is written back."""
        pages: int = self._connection.execute("PRAGMA page_count").get
        return pages * self._page_size - status.st_size

    def _write_back(self) -> None:
        """Writes the log back and makes it empty. Raises apsw.Error, also when readers keep it for long."""
        self._connection.set_busy_timeout(PRESSED_TIMEOUT_MS)
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            self._connection.set_busy_timeout(WRITE_TIMEOUT_MS)

    def _vacuum_pages(self) -> int:
        """How many pages can be given back in one step: for each, up to some three go to the log."""
        free = free_room(self._path.parent)
        return VACUUM_PAGES if free is None else min(VACUUM_PAGES, max(4, free // self._page_size // 8))

    @contextmanager
    def _tried(self) -> Iterator[None]:
        """What fails in here was worth a try; the commit that follows tells whether there is room."""
        try:
            yield
        except apsw.BusyError:
            _log.debug("%s: the log is in use, it is written back later", self._path)
        except apsw.Error as error:
            _log.warning("no room can be made: %s", engine_error(error, self._connection, self._path))
        except (OSError, EngineError) as error:
            _log.warning("no room can be made: %s", error)
