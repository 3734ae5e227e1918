"""The service's own folder in a mount, .docstore: temporary files, locks, and the small files that go with documents.

It does not know what those say. Nearly all is done through descriptors opened once, so a name can't come to mean
another folder meanwhile. A lock is a flock(2) on one of 256 files, chosen by the key and opened for the purpose, so it
holds between processes and between threads alike. A lock file for each key was rejected: removing one takes a lock.
"""

import hashlib
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from docstore.content import Descriptor
from docstore.engines.file.filenames import Place
from docstore.engines.shared.fs import error_class, translate_os_errors, write_all
from docstore.errors import NoSpace

if sys.platform != "win32":
    import fcntl

NAME: Final = ".docstore"
FOLDERS: Final = ("meta", "expiring", "tmp", "locks")


def fingerprint(key: str) -> str:
    """What the service's own files for `key` are called: 64 hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()


class Control:
    """FOLDER/.docstore, whose folders stand already; `opened` closes what this opens."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self._folder = folder
        self._folders: dict[str, int] = {}
        for name in FOLDERS:
            self._folders[name] = os.open(folder / NAME / name, os.O_RDONLY)
            opened.callback(os.close, self._folders[name])

    def path_of(self, place: Place) -> Path:
        """For people to read in a message: nothing is opened by it."""
        return self._folder / os.fsdecode(b"/".join(place))

    def own_path(self, kind: str, name: str) -> Path:
        """The same for a file of the service's own."""
        return self._folder / NAME / kind / name

    @contextmanager
    def locked(self, mark: str) -> Iterator[None]:
        """No other thread or process is inside for the same fingerprint. Never taken twice at a time: it may be equal.

        Only the operating system is called inside, never the event loop, so who waits here waits for a disk at most.
        """
        lock = self._lock(mark[:2])
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _lock(self, name: str) -> int:
        """The file to lock. On a disk without room for one more name it is the folder of the locks."""
        try:
            return os.open(name, os.O_RDWR, dir_fd=self._folders["locks"])
        except FileNotFoundError:
            folder = os.open(".", os.O_RDONLY, dir_fd=self._folders["locks"])
        try:
            # Locks are made by who holds the folder. So while one is missing, nobody has it, and the folder stands for
            # it: who waits here looks again, and finds the lock or the folder his.
            fcntl.flock(folder, fcntl.LOCK_EX)
            lock = os.open(name, os.O_RDWR | os.O_CREAT, 0o666, dir_fd=self._folders["locks"])
        except BaseException as error:
            if isinstance(error, OSError) and error_class(error.errno) is NoSpace:
                return folder
            os.close(folder)
            raise
        os.close(folder)
        return lock

    def new_temporary(self) -> Path:
        return self.own_path("tmp", uuid.uuid4().hex)

    def create(self, temporary: Path, data: bytes) -> Descriptor:
        """A new temporary file that holds `data`, not yet fsynced; the caller discards it, also when this raises."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        file = Descriptor(os.open(temporary.name, flags, 0o666, dir_fd=self._folders["tmp"]))
        write_all(file.number, data)
        return file

    def reopen(self, temporary: Path) -> Descriptor:
        return Descriptor(os.open(temporary.name, os.O_RDWR, dir_fd=self._folders["tmp"]))

    def place(self, temporary: Path, folder: int, name: str | bytes) -> None:
        """Renames it to `name` in `folder`, durably."""
        os.rename(temporary.name, name, src_dir_fd=self._folders["tmp"], dst_dir_fd=folder)
        os.fsync(folder)

    def discard(self, temporary: Path) -> None:
        self.remove("tmp", temporary.name)

    def read(self, kind: str, name: str) -> bytes | None:
        """All of a small file; None when there is none. Raises an EngineError that names it."""
        try:
            file = Descriptor(os.open(name, os.O_RDONLY, dir_fd=self._folders[kind]))
        except FileNotFoundError:
            return None
        except OSError:
            with translate_os_errors(self.own_path(kind, name)):
                raise
        return read_whole(file, os.fstat(file.number).st_size)

    def write(self, kind: str, name: str, data: bytes) -> None:
        """Durably; at every instant the file is what it was, or all of `data`."""
        temporary = self.new_temporary()
        try:
            file = self.create(temporary, data)
            os.fsync(file.number)
            self.place(temporary, self._folders[kind], name)
        except BaseException:
            self.discard(temporary)
            raise

    def mark(self, kind: str, name: str) -> None:
        """Makes an empty file, durably."""
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o666, dir_fd=self._folders[kind]))
        os.fsync(self._folders[kind])

    def remove(self, kind: str, name: str) -> None:
        """Not durable by itself: what is removed here does no harm when a power cut brings it back."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._folders[kind])

    def names(self, kind: str) -> Iterator[str]:
        """Every file of this kind, in no order."""
        folder = Descriptor(os.open(".", os.O_RDONLY, dir_fd=self._folders[kind]))
        with os.scandir(folder.number) as entries:
            for entry in entries:
                yield entry.name


def read_whole(file: Descriptor, size: int) -> bytes:
    """The bytes of an open file that is `size` long; fewer when it is shorter."""
    pieces: list[bytes] = []
    held = 0
    while held < size and (piece := os.pread(file.number, size - held, held)):
        pieces.append(piece)
        held += len(piece)
    return b"".join(pieces)
