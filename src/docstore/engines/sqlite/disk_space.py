"""Reserve disk space, so that documents can always be removed from a full disk.

A removal needs space before it frees any: its pages go to the log first. So PATH-reserve, an allocated file without
content, stands beside the database and is released when a commit finds no space. A commit that makes the database grow
needs a complete reserve: a megabyte (a removal writes some ten pages), and as much as the database will still grow by a
checkpoint. One that makes nothing grow may use up the reserve. So there is space for it and for a complete checkpoint,
which frees the log's own file. Then the freed pages are given back to the file system and the reserve is allocated
again. Where a file system allocates nothing (some compress zeros away) there is no reserve.

Rejected: a log that stays allocated (a checkpoint, which may need space itself, must precede its reuse), a look at the
free space before each write (useless against other programs), and space allocated at the end of the database (another
process may be writing there, and only SQLite knows).
"""

import ctypes
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import apsw

from docstore.engines.shared.fs import PathIdentity, translate_os_errors, write_all
from docstore.engines.sqlite.driver_errors import engine_error
from docstore.engines.sqlite.schema import WRITE_TIMEOUT_MS
from docstore.errors import EngineError

BALLAST_SIZE: Final = 1024 * 1024
SMALLEST_BALLAST: Final = 128 * 1024
BALLAST_SHARE: Final = 16
"""A reserve takes at most this fraction of its disk, unless that is less than SMALLEST_BALLAST."""

RESERVE_AHEAD: Final = 4 * 1024 * 1024
"""By how much more than needed the reserve grows, so that few commits have to make it grow."""

LOW_SPACE_TIMEOUT_MS: Final = 250
"""How long a checkpoint waits for readers on a full disk: all writers wait for it."""

VACUUMS: Final = 8
"""Steps in which free pages are returned to the file system after one commit that found no space."""

VACUUM_PAGES: Final = 512

_log: Final = logging.getLogger(__name__)


class Ballast:
    """An allocated file of no content, the reserve of the database at `path`. Several processes may share it."""

    def __init__(self, database: Path) -> None:
        """Raise OSError."""
        self._path = Path(f"{database}-reserve")
        disk = os.statvfs(database.parent) if hasattr(os, "statvfs") else None
        share = BALLAST_SIZE if disk is None else disk.f_blocks * disk.f_frsize // BALLAST_SHARE
        self.full_size = min(BALLAST_SIZE, max(SMALLEST_BALLAST, share))

    def size(self) -> int:
        with translate_os_errors(self._path):
            try:
                return self._path.stat().st_size
            except FileNotFoundError:
                return 0

    def grow(self, size: int, *, ahead: int = 0) -> None:
        """Make it at least `size` bytes, and `ahead` bytes more if there is space. Raise NoSpace."""
        if self.size() >= size:
            return
        with translate_os_errors(self._path):
            if ahead:
                with suppress(OSError):
                    self._allocate(size + ahead)
                    return
            self._allocate(size)

    def refill(self) -> None:
        """Make it as large as there is space for, up to `full_size`: half a reserve is better than none."""
        size = self.full_size
        while size >= SMALLEST_BALLAST // 4:
            try:
                self.grow(size)
            except EngineError as error:
                _log.debug("%s", error)
                size //= 2
            else:
                return

    def shrink(self, size: int) -> None:
        """Free what is more than `size` bytes. Raise EngineError."""
        if self.size() > size:
            with translate_os_errors(self._path):
                os.truncate(self._path, size)

    def _allocate(self, size: int) -> None:
        """Allocate `size` bytes, or leave the file as it was and raise OSError."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            before = os.fstat(descriptor).st_size
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(descriptor, 0, size)
                else:
                    os.lseek(descriptor, before, os.SEEK_SET)
                    write_all(descriptor, bytes(size - before))
            except OSError:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)


class DiskSpace:
    """The disk space around one database. Used by the thread that owns `connection`, except for `check`."""

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        """Raise OSError."""
        self._connection = connection
        self._path = path
        self._reserve = Ballast(path)
        connection.pragma("page_count")  # the first read creates the log
        self._database = PathIdentity(path)
        self._log_and_blobs = PathIdentity(Path(f"{path}-wal")), PathIdentity(Path(f"{path}.sealed"))
        self.grew = False
        """Whether the last commit that was checked makes the database grow."""
        self._page_size: int = connection.pragma("page_size")
        self._reserve.refill()

    def check(self) -> os.stat_result:
        """Return the database's status. Raise StorageUnavailable when it, its log or its blobs were moved away."""
        status = self._database.check()
        for identity in self._log_and_blobs:
            identity.check()
        return status

    def admit(self, *, low_space: bool) -> None:
        """Check a transaction right before its COMMIT: until then no other process changes the reserve.

        Raise NoSpace, or StorageUnavailable: a write to a database that was removed is lost.
        """
        growth = self._growth(self.check())
        self.grew = growth > 0
        if self.grew:
            self._reserve.grow(self._reserve.full_size + growth, ahead=0 if low_space else RESERVE_AHEAD)
        elif low_space:
            self._reserve.shrink(0)

    def release_reserve(self) -> None:
        """Free all space that can be freed for one commit."""
        self.grew = False
        with self._logging_errors():
            self._reserve.shrink(0)
            self._checkpoint()

    def restore(self) -> None:
        """Return free pages to the file system and allocate the reserve again, after a commit on a full disk."""
        with self._logging_errors():
            self.release_reserve()
            for _ in range(VACUUMS):
                if not self._connection.pragma("freelist_count"):
                    break
                self._connection.execute(f"PRAGMA incremental_vacuum({self._vacuum_pages()})").fetchall()
                self._checkpoint()
        self._reserve.refill()

    def shrink_reserve(self) -> None:
        """Shrink a reserve that has grown, before the connection is closed."""
        try:
            self.check()
        except EngineError as error:
            _log.error("%s", error)
            # SQLite would remove the log by its name, which may be that of another database's log now.
            keep = ctypes.c_int(1)
            self._connection.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(keep))
            return
        with self._logging_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._reserve.shrink(self._reserve.full_size + max(0, self._growth(self.check())))
            finally:
                self._connection.execute("ROLLBACK")

    def _growth(self, status: os.stat_result) -> int:
        """Return by how many bytes a checkpoint makes the database grow."""
        pages: int = self._connection.execute("PRAGMA page_count").get
        return pages * self._page_size - status.st_size

    def _checkpoint(self) -> None:
        """Write the log back and empty it. Raise apsw.Error, also when readers keep it in use for long."""
        self._connection.set_busy_timeout(LOW_SPACE_TIMEOUT_MS)
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            self._connection.set_busy_timeout(WRITE_TIMEOUT_MS)

    def _vacuum_pages(self) -> int:
        """Return how many pages can be returned in one step: each takes up to three in the log."""
        if not hasattr(os, "statvfs"):
            return VACUUM_PAGES
        disk = os.statvfs(self._path.parent)
        return min(VACUUM_PAGES, max(4, disk.f_bavail * disk.f_frsize // self._page_size // 8))

    @contextmanager
    def _logging_errors(self) -> Iterator[None]:
        """Log what fails inside: the commit that follows tells whether there is space."""
        try:
            yield
        except apsw.BusyError:
            _log.debug("%s: the log is in use, its checkpoint comes later", self._path)
        except apsw.Error as error:
            _log.warning("cannot free disk space: %s", engine_error(error, self._connection, self._path))
        except (OSError, EngineError) as error:
            _log.warning("cannot free disk space: %s", error)
