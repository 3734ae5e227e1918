"""A folder into which documents are downloaded. Nothing outside it is ever written, whatever the keys are.

Keys come from a store that others write to. Each segment of a key is checked and becomes one file name, opened relative
to the folder above it without following symbolic links: a link inside the folder is an obstacle and not a way out.
Resolving paths and comparing their beginnings was rejected, because a path can change between the check and the use.

The library keeps the partial files in a folder of their own, so that an interrupt can remove all of them. On a disk
that does not distinguish `A` from `a`, or the two forms of `é`, the second of such keys is rejected.
"""

import errno
import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from docstore.cli.errors import EXIT_PARTIAL, CommandError

if TYPE_CHECKING:
    from docstore import Client, Info

PARTS: Final = ".docstore-parts"
"""The folder of partial files, which is removed when it is empty."""

_DEVICES: Final = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])[ ]*(\..*)?", re.IGNORECASE)
_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OBSTACLES: Final = (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL)


class UnsafeKey(CommandError):
    """The key can't be a file in this folder; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(EXIT_PARTIAL, message)


def check_segments(key: str, *, windows: bool = os.name == "nt") -> list[str]:
    """Return the names of the folders and of the file for `key`. Raise UnsafeKey."""
    segments = key.split("/")
    for segment in segments:
        if segment in ("", ".", ".."):
            raise UnsafeKey(f"{segment!r} is not a file name")
        if "\0" in segment:
            raise UnsafeKey("a file name can't contain a zero byte")
        if windows and (_DEVICES.fullmatch(segment) or re.search(r'[<>:"\\|?*\x00-\x1f]|[. ]$', segment)):
            raise UnsafeKey(f"{segment!r} is not a file name on this system")
    if _fold(segments[0]) == PARTS:
        raise UnsafeKey(f"{PARTS} is the folder of partial files")
    return segments


def _fold(name: str) -> str:
    """Return what a disk that ignores case and Unicode forms makes of a name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


class Folder:
    """A folder on this machine, created if it does not exist; a context manager."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._parts = self._open_parts(path)
        except BaseException:
            os.close(self._root)
            raise
        self._keys_of_files: dict[bytes, str] | None = {} if _ignores_case(self._parts) else None

    def _open_parts(self, path: Path) -> int:
        with suppress(FileExistsError):
            os.mkdir(PARTS, 0o700, dir_fd=self._root)
        parts = os.open(PARTS, _OPEN_FOLDER, dir_fd=self._root)
        if os.fstat(parts).st_uid != os.geteuid():
            os.close(parts)
            raise PermissionError(errno.EPERM, "it belongs to another user", str(path / PARTS))
        return parts

    def __enter__(self) -> "Folder":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is KeyboardInterrupt:
            for name in os.listdir(self._parts):  # noqa: PTH208 - it is a descriptor
                with suppress(OSError):
                    os.unlink(name, dir_fd=self._parts)
        os.close(self._parts)
        with suppress(OSError):
            os.rmdir(PARTS, dir_fd=self._root)  # fails if partial files are left, to be resumed
        os.close(self._root)

    def download(self, docs: "Client", info: "Info", name: str, progress: Callable[[int], None]) -> None:
        """Download a document as the file `name` in this folder. Raise UnsafeKey."""
        segments = self.claim(name)
        try:
            with self._open_parent(segments, create=True) as parent:
                docs.download(
                    info.key, segments[-1], info=info, progress=progress, dir_fd=parent, partial_dir_fd=self._parts
                )
        except OSError as error:
            if error.errno in _OBSTACLES:
                raise UnsafeKey("a file, a folder or a link is in the way") from error
            raise

    def claim(self, name: str) -> list[str]:
        """Return the segments of `name`. Raise UnsafeKey if this disk takes it for the name of another document."""
        segments = check_segments(name)
        if self._keys_of_files is not None:
            folded = hashlib.sha256(_fold(name).encode("utf-8")).digest()
            if (other := self._keys_of_files.setdefault(folded, name)) != name:
                raise UnsafeKey(f"the disk takes it for the same file as {other!r}")
        return segments

    def delete(self, name: str) -> None:
        """Remove a file, and the folders above it that are empty then. Raise OSError."""
        segments = check_segments(name)
        with self._open_parent(segments, create=False) as parent:
            os.unlink(segments[-1], dir_fd=parent)
        while segments := segments[:-1]:
            try:
                with self._open_parent(segments, create=False) as parent:
                    os.rmdir(segments[-1], dir_fd=parent)
            except OSError:
                return  # it is not empty

    @contextmanager
    def _open_parent(self, segments: list[str], *, create: bool) -> Iterator[int]:
        """Open the folder of the last segment, one name after the other."""
        folder = os.dup(self._root)
        try:
            for segment in segments[:-1]:
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(segment, dir_fd=folder)
                subfolder = os.open(segment, _OPEN_FOLDER, dir_fd=folder)
                os.close(folder)
                folder = subfolder
            yield folder
        finally:
            os.close(folder)


def _ignores_case(folder: int) -> bool:
    """Whether the disk takes two names that differ in case for one."""
    name = "Case"
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=folder))
    try:
        os.stat(name.lower(), dir_fd=folder)
    except FileNotFoundError:
        return False
    finally:
        with suppress(FileNotFoundError):  # another command may do the same
            os.unlink(name, dir_fd=folder)
    return True
