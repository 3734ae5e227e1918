"""One document into one file: gone on with where it broke, verified, and in its place only when it is whole.

What has come is in a partial file, and the ETag of the version it is of in another one beside it, written first. So a
download that a broken connection or a kill cut off is gone on with by a range of just that version, and begun anew when
the document is another by then. The digest is that of the whole, what came before included. Ctrl-C takes both away.

The library's own download was not used: it has no place for a bar, and opens its files by path.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from docstore.cli.errors import EXIT_FAILED, CommandError
from docstore.cli.parallel import Stopped
from docstore.errors import Conflict, DigestMismatch, IncompleteUpload, NotFound

if TYPE_CHECKING:
    from hashlib import _Hash

    from docstore import Client, Info
    from docstore.cli.progress import Bar

_CHANGES: Final = 5
"""How often a document may change while it is read before that is told."""
_BLOCK_SIZE: Final = 1024 * 1024
_ETAG_LIMIT: Final = 256


@dataclass(frozen=True, slots=True)
class Part:
    """Where content is gathered: a name in an open folder, in which no link is followed."""

    folder: int
    name: str

    @property
    def tag_name(self) -> str:
        return f"{self.name}.etag"

    def open(self) -> IO[bytes]:
        """The content, for reading and writing. Raises CommandError when another command is at it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.fdopen(os.open(self.name, flags, 0o666, dir_fd=self.folder), "r+b")
        try:
            if self._claimed(file):
                return file
        except BaseException:
            file.close()
            raise
        file.close()
        raise CommandError(EXIT_FAILED, f"{self.name}: another docstore is just downloading into it")

    def _claimed(self, file: IO[bytes]) -> bool:
        """Whether `file` is nobody else's until it is closed, and still what the name stands for."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except (BlockingIOError, PermissionError, FileNotFoundError):
            return False
        return os.path.samestat(os.fstat(file.fileno()), there)

    def tag(self) -> str:
        """The ETag of the version that the content is of, "" when that is not known."""
        try:
            descriptor = os.open(self.tag_name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.folder)
        except OSError:
            return ""
        with os.fdopen(descriptor, "rb") as file:
            return file.read(_ETAG_LIMIT).decode("ascii", "replace").strip()

    def set_tag(self, etag: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self.tag_name, flags, 0o666, dir_fd=self.folder), "w", encoding="ascii") as file:
            file.write(f"{etag}\n")

    def remove(self) -> None:
        for name in (self.name, self.tag_name):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self.folder)

    def place(self, name: str, folder: int | None = None) -> None:
        """Moves the content to its place, which may be in another folder."""
        os.rename(self.name, name, src_dir_fd=self.folder, dst_dir_fd=self.folder if folder is None else folder)
        with suppress(FileNotFoundError):
            os.unlink(self.tag_name, dir_fd=self.folder)


def download(docs: "Client", key: str, part: Part, bar: "Bar", place: Callable[[], None],
             check: Callable[[], None] = lambda: None) -> None:  # fmt: skip
    """Completes `part` with the content of a document, and calls `place`, which moves it away, while it is nobody
    else's; `check` may raise to give it up, which removes the part.

    Raises NotFound, Conflict when it changes all the time, DigestMismatch with nothing left, and with the part kept,
    if anything has come, whatever of the network or the disk cut it off.
    """
    with part.open() as file:
        try:
            _complete_one_version(docs, key, file, part, bar, check)
            place()
        except BaseException as error:
            nothing = not os.fstat(file.fileno()).st_size and not file.tell()
            if nothing or isinstance(error, NotFound | DigestMismatch | KeyboardInterrupt | Stopped):
                part.remove()
            raise


def _complete_one_version(
    docs: "Client", key: str, file: IO[bytes], part: Part, bar: "Bar", check: Callable[[], None]
) -> None:
    for _ in range(_CHANGES):
        info = docs.info(key)
        with suppress(Conflict):
            _complete(docs, info, file, part, bar, check)
            return
    raise Conflict(None, f"{key!r} changes faster than it can be read")


def _complete(docs: "Client", info: "Info", file: IO[bytes], part: Part, bar: "Bar", check: Callable[[], None]) -> None:
    if part.tag() != info.etag or os.fstat(file.fileno()).st_size > info.size:
        file.truncate(0)
        part.set_tag(info.etag)
    state = _hashed(file, bar, check)
    if (position := file.tell()) < info.size:
        for piece in docs.iter_content(info.key, start=position or None, if_match=info.etag):
            check()
            file.write(piece)
            state.update(piece)
            bar.advance(len(piece))
    file.flush()
    if file.tell() != info.size:
        raise IncompleteUpload(f"{info.key!r}: {file.tell()} of {info.size} bytes came")
    if info.digest is not None and state.digest() != info.digest:
        raise DigestMismatch(f"{info.key!r}: what came is not what the store says it has; nothing was kept")


def _hashed(file: IO[bytes], bar: "Bar", check: Callable[[], None]) -> "_Hash":
    """The state of the digest after what the file has already, which is left at its end."""
    state = hashlib.sha256()
    file.seek(0)
    while block := file.read(_BLOCK_SIZE):
        check()
        state.update(block)
        bar.advance(len(block))
    return state


def into(docs: "Client", key: str, target: Path, bar: "Bar") -> None:
    """Downloads a document to the file `target`, which is whole afterwards or as it was."""
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        part = Part(folder, part_name(target.name))
        download(docs, key, part, bar, lambda: part.place(target.name))
    finally:
        os.close(folder)


def part_name(name: str) -> str:
    """`NAME.part`, or what stands for it where that would be too long for a name."""
    if len(os.fsencode(name)) <= _NAME_LIMIT - len(".part.etag"):
        return f"{name}.part"
    return f"{hashlib.sha256(os.fsencode(name)).hexdigest()}.part"


_NAME_LIMIT: Final = 255
