"""A reserve: a file that holds nothing but room, to be given up when a removal finds none.

Removing takes room before it gives any, in most ways of storing: the change is logged first, or an index is written
anew. On a disk that is full to its last page nobody could make room then. The file is allocated, not sparse. Where a
file system allocates nothing (some compress zeros away), there is no reserve: a full disk needs room from elsewhere.
"""

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from docstore.engines.shared.fs import translate_os_errors, write_all
from docstore.errors import EngineError

RESERVE_SIZE: Final = 1024 * 1024

SMALLEST_RESERVE: Final = 128 * 1024
"""On disks of less than 2 MiB."""

_SHARE: Final = 16
"""A reserve is at most this part of its disk."""

_log: Final = logging.getLogger(__name__)


def free_room(folder: Path) -> int | None:
    """The bytes that are free where `folder` is; None on systems that do not tell. Raises OSError."""
    if not hasattr(os, "statvfs"):
        return None
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


class Ballast:
    """The reserve in the file `path`, which is made when there is room. Another process may use the same."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._path = path
        disk = os.statvfs(path.parent) if hasattr(os, "statvfs") else None
        share = RESERVE_SIZE if disk is None else disk.f_blocks * disk.f_frsize // _SHARE
        self.wanted = min(RESERVE_SIZE, max(SMALLEST_RESERVE, share))
        """Its size when it is whole."""

    def held(self) -> int:
        """Its size now."""
        with translate_os_errors(self._path):
            try:
                return self._path.stat().st_size
            except FileNotFoundError:
                return 0

    def hold(self, size: int, *, ahead: int = 0) -> None:
        """Makes it at least that large, and larger by `ahead` if there is room. Raises NoSpace."""
        if self.held() >= size:
            return
        with translate_os_errors(self._path):
            if ahead:
                with suppress(OSError):
                    self._allocate(size + ahead)
                    return
            self._allocate(size)

    def refill(self, size: int = 0) -> None:
        """As much of it, or of `size` when that is more, as there is room for: half of one is better than none."""
        size = max(size, self.wanted)
        while size >= SMALLEST_RESERVE // 4:
            try:
                self.hold(size)
            except EngineError as error:
                _log.debug("%s", error)
                size //= 2
            else:
                return

    def cut(self, size: int) -> None:
        """Gives back what is more than `size`. Raises EngineError."""
        if self.held() > size:
            with translate_os_errors(self._path):
                os.truncate(self._path, size)

    def give_up(self) -> bool:
        """Gives all of it back; whether there was any. Raises EngineError."""
        had = self.held() > 0
        self.cut(0)
        return had

    def _allocate(self, size: int) -> None:
        """Makes the file `size` bytes of room, or leaves it as it was. Raises OSError."""
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
