"""FOLDER/.docstore: temporary files, locks, and the small files that hold the metadata of documents.

Files are opened relative to descriptors that stay open, so a replaced folder has no effect. A lock is a
flock(2) on one of 256 files, chosen by the key and opened for each use, so it holds between processes and between
threads alike. One lock file for each key was rejected: removing one needs a lock.

A sidecar is text, a line for each content that its key may have: the content's modification time in nanoseconds, a
space, and `Meta.pack()`, which includes the size. From before the commit of a write until the next write it has two
lines, for the old content and the new; a reader takes the one that matches the content that it has open.
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from docstore.content import Descriptor
from docstore.engines.file.filenames import NamePath
from docstore.engines.file.untracked import FileState, file_state
from docstore.engines.shared.fs import error_class, translate_os_errors, write_all
from docstore.errors import CorruptData, NoSpace
from docstore.model import Meta

if sys.platform != "win32":
    import fcntl

NAME: Final = ".docstore"
FOLDERS: Final = ("meta", "expiring", "tmp", "locks")


def fingerprint(key: str) -> str:
    """The name of the metadata files of `key`: 64 hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()


def expiry_marker(meta: Meta) -> str:
    """The name of the empty file that records when a document expires."""
    return f"{max(meta.expires_ns or 0, 0):020d}-{fingerprint(meta.key)}"


def new_temporary_name() -> str:
    return os.urandom(16).hex()


def content_identity(status: os.stat_result) -> tuple[int, int]:
    """What ties a content to its sidecar entry."""
    return status.st_mtime_ns, status.st_size


def pack_sidecar(*entries: tuple[int, Meta]) -> bytes:
    return "".join(f"{mtime_ns} {meta.pack()}\n" for mtime_ns, meta in entries).encode("ascii")


def _split_sidecar(sidecar: bytes) -> list[tuple[int, bytes]]:
    """Return the modification time and the packed meta of each entry. Raise CorruptData."""
    if not sidecar:
        raise CorruptData("it is empty")
    try:
        return [(int(mtime_ns), packed) for mtime_ns, packed in (line.split(b" ", 1) for line in sidecar.splitlines())]
    except ValueError as error:
        raise CorruptData(f"unreadable: {error}") from error


class MetadataFolder:
    """FOLDER/.docstore, whose folders exist; `opened` closes the descriptors that this class opens.

    With `read_only` it may be absent, and nothing is locked: then only `read` may be called.
    """

    def __init__(self, folder: Path, opened: ExitStack, *, read_only: bool = False) -> None:
        self._folder = folder
        self._read_only = read_only
        self._folders: dict[str, int] = {}
        for name in (".", *FOLDERS):
            if read_only and not (folder / NAME / name).exists():
                continue
            self._folders[name] = os.open(folder / NAME / name, os.O_RDONLY)
            opened.callback(os.close, self._folders[name])

    def path_of(self, place: NamePath) -> Path:
        """The path of a document, for messages only."""
        return self._folder / os.fsdecode(b"/".join(place))

    def own_path(self, kind: str, name: str) -> Path:
        """The path of a file in .docstore, for messages only."""
        return self._folder / NAME / kind / name

    @contextmanager
    def locked(self, *marks: str) -> Iterator[None]:
        """Exclude other threads and processes for these fingerprints. Raise OSError.

        Never nest two calls: different fingerprints may share a lock. Inside, call only the operating system, never
        the event loop, so waiting takes as long as some disk accesses at most.
        """
        if self._read_only:
            yield
            return
        with ExitStack() as held:
            # In the order of their names, so that no two groups wait for each other.
            names = sorted({mark[:2] for mark in marks})
            for name in names:
                lock = self._lock(name, alone=len(names) == 1)
                held.callback(os.close, lock)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _lock(self, name: str, *, alone: bool) -> int:
        """Open the lock file; on a disk without space for one more name, the folder of the locks instead.

        No lock file can be made while the folder is locked, so only a lock that is `alone` may be the folder.
        """
        try:
            return os.open(name, os.O_RDWR, dir_fd=self._folders["locks"])
        except FileNotFoundError:
            folder = os.open(".", os.O_RDONLY, dir_fd=self._folders["locks"])
        try:
            # Lock files are made by the holder of the folder's lock. While a lock file is missing nobody holds it, so
            # the folder is locked instead: waiting processes look again, and find the lock file, or get the folder.
            fcntl.flock(folder, fcntl.LOCK_EX)
            lock = os.open(name, os.O_RDWR | os.O_CREAT, 0o666, dir_fd=self._folders["locks"])
        except BaseException as error:
            if alone and isinstance(error, OSError) and error_class(error.errno) is NoSpace:
                return folder
            os.close(folder)
            raise
        os.close(folder)
        return lock

    def new_temporary(self) -> Path:
        return self.own_path("tmp", new_temporary_name())

    def create(self, temporary: str, data: bytes) -> Descriptor:
        """Create a temporary file, not yet fsynced. The caller removes it, also when this raises."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        file = Descriptor(os.open(temporary, flags, 0o666, dir_fd=self._folders["tmp"]))
        write_all(file.number, data)
        return file

    def reopen(self, temporary: str) -> Descriptor:
        return Descriptor(os.open(temporary, os.O_RDWR, dir_fd=self._folders["tmp"]))

    def rename(self, temporary: str, folder: int | str, name: str | bytes) -> int:
        """Rename a temporary file to `name` in `folder`, a descriptor or the name of one of FOLDERS.

        Return the descriptor of the folder; the name is durable when the caller has fsynced it.
        """
        number = folder if isinstance(folder, int) else self._folders[folder]
        os.rename(temporary, name, src_dir_fd=self._folders["tmp"], dst_dir_fd=number)
        return number

    def read(self, kind: str, name: str) -> bytes | None:
        """Return the bytes of a small file; None when it does not exist. Raise an EngineError that names it."""
        return self._read(kind, name)[0]

    def _read(self, kind: str, name: str) -> tuple[bytes | None, FileState | None]:
        """Return the bytes of a small file and its state before they were read."""
        if kind not in self._folders:
            return None, None
        try:
            file = Descriptor(os.open(name, os.O_RDONLY, dir_fd=self._folders[kind]))
        except FileNotFoundError:
            return None, None
        except OSError:
            with translate_os_errors(self.own_path(kind, name)):
                raise
        status = os.fstat(file.number)
        return read_whole(file, status.st_size), file_state(status)

    def state(self, kind: str, name: str) -> FileState | None:
        """Return the state of a small file; None when it does not exist."""
        try:
            return file_state(os.stat(name, dir_fd=self._folders[kind], follow_symlinks=False))
        except (KeyError, FileNotFoundError):
            return None

    def write(self, kind: str, name: str, data: bytes) -> None:
        """Replace a file durably; at every instant it has its old bytes or all of `data`."""
        temporary = new_temporary_name()
        try:
            file = self.create(temporary, data)
            os.fsync(file.number)
            os.fsync(self.rename(temporary, kind, name))
        except BaseException:
            self.remove("tmp", temporary)
            raise

    def create_marker(self, name: str) -> None:
        """Create an empty file in expiring/, durably."""
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o666, dir_fd=self._folders["expiring"]))
        os.fsync(self._folders["expiring"])

    def remove(self, kind: str, name: str) -> None:
        """Remove a file, not durably: it does no harm if a power cut restores it."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._folders[kind])

    def names(self, kind: str) -> Iterator[str]:
        """Every file of this kind, in no order."""
        folder = Descriptor(os.open(".", os.O_RDONLY, dir_fd=self._folders[kind]))
        with os.scandir(folder.number) as entries:
            for entry in entries:
                yield entry.name

    def meta_of(self, key: str, status: os.stat_result) -> tuple[Meta | None, FileState | None]:
        """Return the meta in the sidecar for the content with this status, if any, and the state of the sidecar.

        Raise CorruptData.
        """
        mark = fingerprint(key)
        sidecar, state = self._read("meta", mark)
        if sidecar is None:
            return None, None
        with self._naming(mark, repr(key)):
            for meta in [
                Meta.unpack(packed) for mtime, packed in _split_sidecar(sidecar) if mtime == status.st_mtime_ns
            ]:
                if meta.key != key:
                    raise CorruptData(f"it belongs to {meta.key!r}")
                if meta.size == status.st_size:
                    return meta, state
        return None, state

    def keys_of(self, mark: str) -> list[str]:
        """Return the keys in the sidecar of this name, usually one; none when it does not exist. Raise CorruptData."""
        sidecar = self.read("meta", mark)
        if sidecar is None:
            return []
        with self._naming(mark, "a document"):
            return list(dict.fromkeys(Meta.unpack(packed).key for _, packed in _split_sidecar(sidecar)))

    @contextmanager
    def _naming(self, mark: str, owner: str) -> Iterator[None]:
        try:
            yield
        except CorruptData as error:
            raise CorruptData(f"{self.own_path('meta', mark)}: not the sidecar of {owner}: {error}") from error


def read_whole(file: Descriptor, size: int) -> bytes:
    """Return `size` bytes of an open file; fewer when it is shorter."""
    pieces: list[bytes] = []
    held = 0
    while held < size and (piece := os.pread(file.number, size - held, held)):
        pieces.append(piece)
        held += len(piece)
    return b"".join(pieces)
