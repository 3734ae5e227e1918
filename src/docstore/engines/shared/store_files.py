"""The files of this process's open stores, which no other code of the process may open.

POSIX drops every lock that a process holds on a file as soon as the process closes any descriptor of that file. SQLite
locks its files so: opened and closed by a second engine, a database loses the locks that keep other processes from
writing into it or removing its log. So an engine with such files names them here, and the engine of `file:` asks
before it opens anything. Configuration refuses mounts that lie in each other (`is_inside`) before anything is opened.
"""

import os
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_Inode = tuple[int, int]
_in_use: Final[Counter[_Inode]] = Counter()
_changing: Final = threading.Lock()


class StoreFiles:
    """The files of one open store. An inode is not given to another file while somebody has it open."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """`paths` that do not exist are skipped. Raises OSError."""
        self._inodes = [inode for path in paths if (inode := _inode_of(path)) is not None]
        with _changing:
            _in_use.update(self._inodes)

    def close(self) -> None:
        """Release the files; to be called after the store's own descriptors are closed."""
        with _changing:
            _in_use.subtract(self._inodes)
            for inode in self._inodes:
                if _in_use[inode] <= 0:
                    del _in_use[inode]
            self._inodes = []


def is_store_file(name: bytes, folder: int) -> bool:
    """Whether `name` in the open `folder` is a file of a store that this process has open. Raises OSError."""
    if not _in_use:
        return False
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (status.st_dev, status.st_ino) in _in_use


def is_inside(path: Path, folder: Path) -> bool:
    """Whether `path` is `folder` or lies in it, after links and bind mounts are resolved. Neither has to exist."""
    wanted = _inode_of(folder)
    path, folder = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    return any(
        above == folder or (wanted is not None and _inode_of(above) == wanted) for above in (path, *path.parents)
    )


def _inode_of(path: Path) -> _Inode | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino
