"""File system steps that the engines on disk share: durable writes, errors, locks, and the identity of a path.

Locks are flock(2): the system releases them when the process ends, however it ends. A file that is open can be removed,
replaced or hidden under a mount without its process noticing, and what it writes then is lost: one stat of the path
tells (`PathIdentity`). Watching the folder was rejected: it differs on every system and does not exist on network file
systems. Functions that do not name an EngineError raise OSError: only the caller knows what the failure means.
"""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from docstore.errors import EngineError, NoSpace, NotWritable, OpenError, StorageUnavailable

if sys.platform != "win32":
    import fcntl

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BUSY: Final = {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOLCK}
_NOT_WRITABLE: Final = {errno.EROFS, errno.EACCES, errno.EPERM}
_MISSING: Final = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}


def error_class(number: int | None) -> type[EngineError]:
    """Return NoSpace, StorageUnavailable or EngineError for an errno."""
    return NoSpace if number in _FULL else StorageUnavailable if number in _BUSY else EngineError


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Raise NoSpace, StorageUnavailable or EngineError, naming `path`, for an OSError raised inside."""
    try:
        yield
    except OSError as error:
        raise _translated(error, path) from error


def _translated(error: OSError, path: Path) -> EngineError:
    return error_class(error.errno)(f"{path}: {error.strerror or error}")


@contextmanager
def translate_open_errors(path: Path) -> Iterator[None]:
    """Raise OpenError or NotWritable for an OSError raised inside, and OpenError for a `path` that can't be one."""
    try:
        yield
    except OSError as error:
        kind = NotWritable if error.errno in _NOT_WRITABLE else OpenError
        raise kind(f"cannot open {error.filename or path}: {error.strerror or error}") from error
    except (ValueError, RuntimeError) as error:
        raise OpenError(f"{str(path)!r} is not a path: {error}") from error


def copy_error(error: EngineError) -> EngineError:
    """Copy an error for another caller: an exception that is raised again collects a traceback each time."""
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, even if the system takes only part of it at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(path: Path) -> None:
    """Make new names in a folder survive a power cut. Does nothing on Windows, which has no such call."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create the folder and its parents if they are absent, durably."""
    for folder in (*reversed(path.parents), path):
        while not folder.is_dir():
            try:
                folder.mkdir()
            except FileExistsError:  # perhaps a folder by now: others may make and remove it meanwhile
                _check_folder(folder)
            sync_folder(folder.parent)


def _check_folder(path: Path) -> None:
    """Raise NotADirectoryError for a file or a link to nothing."""
    try:
        is_wrong = not stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        is_wrong = path.is_symlink()
    if is_wrong:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def try_exclusive_lock(descriptor: int) -> bool:
    """Lock an open file exclusively, without waiting. False if it is locked already, and always on Windows."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def try_shared_lock(descriptor: int) -> bool:
    """Lock an open file against exclusive locks, without waiting. False if one is held, and always on Windows."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_shared(descriptor: int) -> None:
    """Wait for a shared lock on an open file; an exclusive one becomes shared. Does nothing on Windows."""
    if sys.platform != "win32":
        fcntl.flock(descriptor, fcntl.LOCK_SH)


class PathIdentity:
    """The file that `path` referred to when this was created."""

    def __init__(self, path: Path) -> None:
        """Raise OSError if `path` does not exist."""
        self.path = path
        self._name = str(path)
        self._opened = path.stat()

    def check(self) -> os.stat_result:
        """Return the file's status. Raise StorageUnavailable if `path` refers to another file now, or to none."""
        # PERF: each commit to a database checks three paths. Path.stat and a context manager took twice as long.
        try:
            status = os.stat(self._name)  # noqa: PTH116
        except OSError as error:
            if error.errno not in _MISSING:
                raise _translated(error, self.path) from error
        else:
            if os.path.samestat(status, self._opened):
                return status
        raise StorageUnavailable(
            f"{self.path} was removed or replaced while it was open: put it back, or restart the server"
        )
