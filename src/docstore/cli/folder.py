"""A folder that keys are written into as files, and never anything outside it, whatever the keys are.

Keys come from a store that others write to. Each segment becomes one name, checked first, and is opened relative to the
folder above it without following a symbolic link: a link that stands in the folder, or is put there meanwhile, is an
obstacle and never a way out. To resolve paths and compare their beginnings was rejected: between the look and the use
the path can change.

A file is written beside the others, in a folder of partial files, under the hash of its key (a name of 255 bytes has no
room for a suffix), and moved to its place when it is whole. Where the disk does not tell `A` from `a`, or the two ways
to write `é`, the second of such keys is refused.
"""

import errno
import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from docstore.cli.download import Part
from docstore.cli.errors import EXIT_PARTIAL, CommandError

PARTS: Final = ".docstore-parts"
"""The folder of what is being downloaded, gone when all of it is."""

_DEVICES: Final = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])[ ]*(\..*)?", re.IGNORECASE)
_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class UnsafeKey(CommandError):
    """The key can't be a file in this folder; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(EXIT_PARTIAL, message)


def check_segments(key: str, *, windows: bool = os.name == "nt") -> list[str]:
    """The names of the folders and of the file that `key` becomes. Raises UnsafeKey."""
    segments = key.split("/")
    for segment in segments:
        if segment in ("", ".", ".."):
            raise UnsafeKey(f"{segment!r} is not the name of a file")
        if "\0" in segment:
            raise UnsafeKey("a name of a file has no zero byte")
        if windows and (_DEVICES.fullmatch(segment) or re.search(r'[<>:"\\|?*\x00-\x1f]|[. ]$', segment)):
            raise UnsafeKey(f"{segment!r} can't be the name of a file on this system")
    if _folded(segments[0]) == PARTS:
        raise UnsafeKey(f"{PARTS} is where partial files are")
    return segments


def _folded(name: str) -> str:
    """What a disk that ignores case and the form of accents makes of a name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


class Folder:
    """A folder on this machine, made when it is not there; a `with` block closes it."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._parts = self._own_parts(path)
        except BaseException:
            os.close(self._root)
            raise
        self._taken: dict[bytes, str] | None = {} if _folds(self._parts) else None

    def _own_parts(self, path: Path) -> int:
        """The folder of partial files, which is nobody else's."""
        with suppress(FileExistsError):
            os.mkdir(PARTS, 0o700, dir_fd=self._root)
        parts = os.open(PARTS, _OPEN_FOLDER, dir_fd=self._root)
        if os.fstat(parts).st_uid != os.geteuid():
            os.close(parts)
            raise PermissionError(errno.EPERM, "it is somebody else's", str(path / PARTS))
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
            os.rmdir(PARTS, dir_fd=self._root)  # what is not finished stays, to be gone on with
        os.close(self._root)

    def part(self, key: str) -> Part:
        """Where the content of `key` is gathered."""
        return Part(self._parts, hashlib.sha256(key.encode("utf-8")).hexdigest())

    def claim(self, key: str) -> list[str]:
        """The segments of `key`, which is refused when another key has the same file here. Raises UnsafeKey."""
        segments = check_segments(key)
        if self._taken is not None:
            named = hashlib.sha256(_folded(key).encode("utf-8")).digest()
            if (other := self._taken.setdefault(named, key)) != key:
                raise UnsafeKey(f"it has the same file here as {other!r}")
        return segments

    def digest_of(self, segments: list[str], size: int) -> bytes | None:
        """The SHA-256 of the plain file that is there, when it has `size` bytes; else None."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with self._above(segments, make=False) as above:
                descriptor = os.open(segments[-1], flags, dir_fd=above)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if not _is_plain(descriptor) or os.fstat(descriptor).st_size != size:
                return None
            return hashlib.file_digest(file, "sha256").digest()

    def place(self, part: Part, segments: list[str]) -> None:
        """Moves what was gathered to its place. Raises UnsafeKey when something is in the way."""
        try:
            with self._above(segments, make=True) as above:
                part.place(segments[-1], above)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EEXIST, errno.ENOTEMPTY):
                part.remove()
                raise UnsafeKey("a file, a folder or a link is in the way") from error
            raise

    @contextmanager
    def _above(self, segments: list[str], *, make: bool) -> Iterator[int]:
        """The folder that the last of `segments` is in, opened name by name."""
        here = os.dup(self._root)
        try:
            for segment in segments[:-1]:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(segment, dir_fd=here)
                below = os.open(segment, _OPEN_FOLDER, dir_fd=here)
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)


def _is_plain(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _folds(folder: int) -> bool:
    """Whether the disk takes two names that differ in case for one."""
    name = "Case"
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=folder))
    try:
        os.stat(name.lower(), dir_fd=folder)
    except FileNotFoundError:
        return False
    finally:
        with suppress(FileNotFoundError):  # somebody else may be at the same
            os.unlink(name, dir_fd=folder)
    return True
