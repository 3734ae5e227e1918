"""Content that is too large for a row, in files beside the database: `<database>.sealed/<random name>`.

A file is complete and on the disk before a row names it, is never renamed nor changed, and is unlinked after the
COMMIT that lets go of it; who reads it then holds a descriptor. So the database alone says which files are documents,
and a process that dies leaves at worst a file that no row names.

What a snapshot holds is in a folder of its own beside them (snapshot.py), which a process that dies leaves too.

Such orphans are collected when the store is opened and no other process has it open: an upload on its way is a file
that no row names yet. Every engine holds a shared lock on `lock`, and who gets it exclusively is alone. Only files with
names of our making are touched, and none when the database is not there: then all would be orphans. Where there is no
flock (Windows), nothing is collected.
"""

import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from docstore.content import Descriptor, FileContent
from docstore.engines.shared.fs import lock_shared, make_folder, sync_folder, translate_os_errors, try_exclusive_lock
from docstore.errors import CorruptData, OpenError

SNAPSHOT: Final = "snapshot-"
"""How the names of folders begin in which snapshots are held."""

_NAME: Final = re.compile(r"[0-9a-f]{32}")
_READ: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0)

SMALLEST_DATABASE: Final = 512
"""Bytes in the smallest page that SQLite knows."""

_log: Final = logging.getLogger(__name__)


def _is_ours(name: object) -> bool:
    """Whether a row's name for a file is one of our making: in a damaged row it may be anything."""
    return type(name) is str and _NAME.fullmatch(name) is not None


def refuse_without_database(path: Path) -> None:
    """Raises OpenError when what belongs to a database stands beside `path`, but no database does.

    SQLite would drop the log, and the sealed files would be collected as orphans: whoever lost the database, or has
    not brought it back yet, would lose the rest with it. A file of some bytes SQLite would take for an empty one.
    """
    log, folder = Path(f"{path}-wal"), Path(f"{path}.sealed")
    left: Path | None = log if log.is_file() and log.stat().st_size > 0 else None
    if left is None and folder.is_dir():
        left = next((file for file in folder.iterdir() if _NAME.fullmatch(file.name)), None)
    # In this order: who makes a database makes it before what belongs to it.
    size = path.stat().st_size if path.exists() else 0
    if 0 < size < SMALLEST_DATABASE:
        raise OpenError(f"{path} is not an SQLite database")
    if left is not None and size == 0:
        raise OpenError(f"{path} is missing or empty, but {left} belongs to it: bring it back, or move that away")


def open_sealed(path: Path, size: int) -> FileContent | None:
    """The content in the file, None when it is gone. Raises CorruptData when it has another size."""
    with translate_os_errors(path):
        try:
            descriptor = Descriptor(os.open(path, _READ))
        except FileNotFoundError:
            return None
        found = os.fstat(descriptor.number).st_size
    if found != size:
        raise CorruptData(f"{path} has {found} bytes of {size}")
    return FileContent(descriptor, 0, size)


class SealedFolder:
    """The folder of one database's sealed files, opened: holds its lock until it is closed."""

    def __init__(self, path: Path, is_named: Callable[[str], bool]) -> None:
        """`is_named` says whether a row names the file. Raises OSError, and what `is_named` raises."""
        make_folder(path)
        self.path = path
        self._lock: int | None = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._share(self._lock, is_named)
        except BaseException:
            self.close()
            raise

    def _share(self, lock: int, is_named: Callable[[str], bool]) -> None:
        if try_exclusive_lock(lock):
            self._collect(is_named)
        else:
            _log.debug("%s is in use: nothing is collected", self.path)
        # Waits for a process that collects: an upload begun before its end could be taken for an orphan.
        lock_shared(lock)

    def _collect(self, is_named: Callable[[str], bool]) -> None:
        with os.scandir(self.path) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name) and not is_named(entry.name):
                    self.remove([entry.name])
                elif entry.name.startswith(SNAPSHOT):
                    shutil.rmtree(entry.path, ignore_errors=True)

    def new_path(self) -> Path:
        return self.path / secrets.token_hex(16)

    def open(self, name: str, size: int) -> FileContent | None:
        """The content in a file, None when it is gone. Raises CorruptData when it has another size, or no name
        of ours."""
        self.check(name)
        return open_sealed(self.path / name, size)

    def check(self, name: str) -> None:
        """Raises CorruptData for a name in a row that is none of ours."""
        if not _is_ours(name):
            raise CorruptData(f"{self.path}: a row names {name!r}, which is no sealed file")

    def holds(self, name: str) -> bool:
        with translate_os_errors(self.path / name):
            try:
                (self.path / name).stat()
            except FileNotFoundError:
                return False
            return True

    def sync(self) -> None:
        """Makes the names of new files outlive a power cut; to be called before the COMMIT that refers to them."""
        with translate_os_errors(self.path):
            sync_folder(self.path)

    def remove(self, names: Iterable[str]) -> None:
        """Unlinks files that no row names any more, never what a damaged row takes for one.

        What can't be unlinked is left to the next collection.
        """
        for name in filter(_is_ours, names):
            try:
                (self.path / name).unlink(missing_ok=True)
            except OSError as error:
                _log.warning("%s stays until the store is opened again: %s", self.path / name, error)

    def close(self) -> None:
        if self._lock is not None:
            lock, self._lock = self._lock, None
            os.close(lock)
