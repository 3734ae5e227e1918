"""Blobs: content too large for a row, in files beside the database, `<database>.sealed/<random name>`.

A blob is complete and on the disk before a row refers to it, is never renamed or changed, and is unlinked after the
COMMIT that drops the reference; readers then still hold a descriptor. So the database alone says which blobs are
documents, and a process that dies leaves at worst an orphan, or the folder of a snapshot (snapshot.py).

Orphans are removed when the store is opened and no other process has it open: an upload in progress is a file without a
reference, too. Every engine holds a shared lock on the file `lock`, and only an exclusive lock allows the removal.
Windows has no flock(2), and nothing is removed there.
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
from docstore.engines.shared.fs import (
    lock_shared,
    make_folder,
    sync_folder,
    translate_os_errors,
    try_exclusive_lock,
)
from docstore.errors import CorruptData, OpenError

SNAPSHOT_PREFIX: Final = "snapshot-"
"""How the names of snapshot folders begin."""

SMALLEST_DATABASE: Final = 512
"""Bytes in the smallest page that SQLite supports."""

_NAME: Final = re.compile(r"[0-9a-f]{32}")
_READ: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0)

_log: Final = logging.getLogger(__name__)


def _is_blob_name(name: object) -> bool:
    """Return whether a row's name for a blob is one of our making: in a damaged row it may be anything."""
    return type(name) is str and _NAME.fullmatch(name) is not None


def refuse_without_database(path: Path) -> None:
    """Raise OpenError if a log or blobs exist beside `path`, but no database does.

    SQLite would drop the log, and the blobs would be removed as orphans: a database that was lost or is still to be
    restored would lose the rest as well. SQLite would take a file of a few bytes for an empty database.
    """
    log, folder = Path(f"{path}-wal"), Path(f"{path}.sealed")
    left: Path | None = log if log.is_file() and log.stat().st_size > 0 else None
    if left is None and folder.is_dir():
        left = next((file for file in folder.iterdir() if _NAME.fullmatch(file.name)), None)
    # In this order: another process that makes the database makes it before its log and blobs.
    size = path.stat().st_size if path.exists() else 0
    if 0 < size < SMALLEST_DATABASE:
        raise OpenError(f"{path} is not an SQLite database")
    if left is not None and size == 0:
        raise OpenError(f"{path} is missing or empty, but {left} belongs to it: restore it, or move that away")


def open_blob(path: Path, size: int) -> FileContent | None:
    """Return the content of the file, None when it is gone. Raise CorruptData when its size is not `size`."""
    with translate_os_errors(path):
        try:
            descriptor = Descriptor(os.open(path, _READ))
        except FileNotFoundError:
            return None
        found = os.fstat(descriptor.number).st_size
    if found != size:
        raise CorruptData(f"{path} has {found} bytes of {size}")
    return FileContent(descriptor, 0, size)


class BlobReader:
    """The blobs of one database, for reading."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, name: str, size: int) -> FileContent | None:
        """Return the content of a blob, None when it is gone. Raise CorruptData for another size or a bad name."""
        self.check_name(name)
        return open_blob(self.path / name, size)

    def check_name(self, name: str) -> None:
        """Raise CorruptData for a name in a row that is not of our making."""
        if not _is_blob_name(name):
            raise CorruptData(f"{self.path}: a row refers to {name!r}, which is not the name of a blob")


class BlobFolder(BlobReader):
    """The open blob folder of one database. It holds its lock until it is closed."""

    def __init__(self, path: Path, is_orphan: Callable[[str], bool]) -> None:
        """`is_orphan` tells whether no row refers to a blob. Raise OSError, and what `is_orphan` raises."""
        super().__init__(path)
        make_folder(path)
        self._lock: int | None = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if try_exclusive_lock(self._lock):
                self._remove_orphans(is_orphan)
            else:
                _log.debug("%s is in use: orphans stay", self.path)
            # Waits for a process that removes orphans: it could take an upload that begins meanwhile for one.
            lock_shared(self._lock)
        except BaseException:
            self.close()
            raise

    def _remove_orphans(self, is_orphan: Callable[[str], bool]) -> None:
        with os.scandir(self.path) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name) and is_orphan(entry.name):
                    self.remove([entry.name])
                elif entry.name.startswith(SNAPSHOT_PREFIX):
                    shutil.rmtree(entry.path, ignore_errors=True)

    def new_path(self) -> Path:
        return self.path / secrets.token_hex(16)

    def sync(self) -> None:
        """Make new names survive a power cut. To be called before the COMMIT that refers to them."""
        with translate_os_errors(self.path):
            sync_folder(self.path)

    def remove(self, names: Iterable[str]) -> None:
        """Unlink blobs without a reference; skip invalid names from damaged rows.

        Files that can't be unlinked are removed when the store is opened again.
        """
        for name in filter(_is_blob_name, names):
            try:
                (self.path / name).unlink(missing_ok=True)
            except OSError as error:
                _log.warning("cannot remove %s until the store is opened again: %s", self.path / name, error)

    def close(self) -> None:
        if self._lock is not None:
            lock, self._lock = self._lock, None
            os.close(lock)
