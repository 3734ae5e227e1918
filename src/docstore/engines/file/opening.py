"""Opening a folder: create it, choose the scheme of its names, and remove the leftovers of a crash.

All of it happens under one lock, so that two processes that open a new folder at once agree. The scheme is probed and
not derived from the operating system: every system mounts file systems that fold names and others that do not.
"""

import errno
import os
import sys
import unicodedata
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from docstore.engines.file.engine import File
from docstore.engines.file.file_cache import FileCache
from docstore.engines.file.filenames import Scheme
from docstore.engines.file.metadata import FOLDERS, NAME, MetadataFolder
from docstore.engines.file.reader import FileReader
from docstore.engines.file.tree import FolderTree
from docstore.engines.file.untracked import DigestCache
from docstore.engines.file.writer import FileWriter
from docstore.engines.registry import EngineURL
from docstore.engines.shared.fs import PathIdentity, lock_shared, make_folder, translate_open_errors, try_exclusive_lock
from docstore.engines.shared.read_only import ReadOnlyEngine
from docstore.errors import OpenError
from docstore.model import Clock

if sys.platform != "win32":
    import fcntl

_FORMAT: Final = "docstore file"
_FORMAT_VERSION: Final = 1
_REFUSED: Final = {errno.EINVAL, errno.EILSEQ, errno.ENOENT, errno.EACCES, errno.EPERM}


def open_file(url: EngineURL, clock: Clock) -> File:
    """Open the folder of `file:PATH`, and make it when it is absent. Raise OpenError."""
    folder = _folder_of(url)
    with ExitStack() as opening, translate_open_errors(folder):
        _make_folders(folder)
        metadata = MetadataFolder(folder, opening)
        scheme = _lock_and_clean(folder / NAME, metadata, opening)
        return _open(folder, metadata, scheme, opening, clock)


def open_file_read_only(url: EngineURL, clock: Clock) -> ReadOnlyEngine:
    """Open an existing folder for reading, whether or not it was ever open for writing. Raise OpenError."""
    folder = _folder_of(url)
    with ExitStack() as opening, translate_open_errors(folder):
        if not folder.is_dir():
            raise OpenError(f"{folder}: there is no such folder")
        metadata = MetadataFolder(folder, opening, read_only=True)
        scheme = _read_scheme(folder / NAME / "format") or Scheme.PLAIN
        return ReadOnlyEngine(_open(folder, metadata, scheme, opening, clock))


def _folder_of(url: EngineURL) -> Path:
    if not url.location:
        raise OpenError("file: needs the path of a folder, as in file:documents")
    if os.open not in os.supports_dir_fd:
        raise OpenError(f"{url}: this system can't open files relative to a folder; sqlite: works on every system")
    with translate_open_errors(Path(url.location)):  # the working folder may be gone
        return Path(url.location).absolute()


def _open(folder: Path, metadata: MetadataFolder, scheme: Scheme, opening: ExitStack, clock: Clock) -> File:
    root = os.open(folder, os.O_RDONLY)
    opening.callback(os.close, root)
    folders = [PathIdentity(path) for path in _folders(folder) if path.exists()]
    tree, digests = FolderTree(root, scheme, metadata), DigestCache()
    quick_reader = FileReader(tree, metadata, clock, digests.quick_digest)
    reader = FileReader(tree, metadata, clock, digests.digest)
    writer = FileWriter(tree, metadata, reader, clock)
    cache = FileCache(root, scheme, metadata, clock)
    return File(metadata, quick_reader, reader, writer, cache, folders, opening.pop_all())


def _make_folders(folder: Path) -> None:
    """Create the folder, its parents and the folders in .docstore, durably."""
    for path in _folders(folder):
        make_folder(path)
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            reason = errno.EROFS if os.statvfs(path).f_flag & os.ST_RDONLY else errno.EACCES
            raise OSError(reason, os.strerror(reason), str(path))


def _folders(folder: Path) -> list[Path]:
    return [folder, folder / NAME, *(folder / NAME / name for name in FOLDERS)]


def _lock_and_clean(own: Path, metadata: MetadataFolder, opened: ExitStack) -> Scheme:
    """Lock the folder until `opened` closes. If no other process has it open, remove leftover temporary files."""
    with ExitStack() as opening:
        # Held until this process shares `lock`: the system does not turn an exclusive lock into a shared one in one
        # step.
        fcntl.flock(_open_lock(own / "locks" / "opening", opening), fcntl.LOCK_EX)
        lock = _open_lock(own / "lock", opened)
        if try_exclusive_lock(lock):
            for leftover in (own / "tmp").iterdir():
                leftover.unlink()
        lock_shared(lock)
        return _choose_scheme(own, metadata)


def _open_lock(path: Path, opened: ExitStack) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    opened.callback(os.close, descriptor)
    return descriptor


def _choose_scheme(own: Path, metadata: MetadataFolder) -> Scheme:
    """Read the format file, or write it for a new folder."""
    path, plain = own / "format", _keeps_names(own / "tmp")
    scheme = _read_scheme(path)
    if scheme is None:
        scheme = Scheme.PLAIN if plain else Scheme.FOLDED
        metadata.write(".", path.name, f"{_FORMAT} {_FORMAT_VERSION} {scheme.value}\n".encode())
    elif scheme is Scheme.PLAIN and not plain:
        raise OpenError(f"{path}: created on a file system that distinguishes all names, which this one does not")
    return scheme


def _read_scheme(path: Path) -> Scheme | None:
    """Read the format file; None when there is none."""
    if not path.exists():
        return None
    name, _, rest = path.read_text(errors="replace").strip().partition(f"{_FORMAT} ")
    version, _, scheme_name = rest.partition(" ")
    if name or not version.isdecimal():
        raise OpenError(f"{path}: not written by Docstore")
    if int(version) > _FORMAT_VERSION:
        raise OpenError(
            f"{path}: written by a newer Docstore in format {version}; this one reads format {_FORMAT_VERSION}"
        )
    if scheme_name not in [scheme.value for scheme in Scheme]:
        raise OpenError(f"{path}: not written by Docstore")
    return Scheme(scheme_name)


def _keeps_names(folder: Path) -> bool:
    """Whether the file system accepts any name and keeps it apart from all others."""
    name = f'{uuid.uuid4().hex}-Aa\u00e9<>:"|?*\\ .'
    probe = folder / name
    try:
        probe.touch(exist_ok=False)
    except OSError as error:
        if error.errno in _REFUSED:
            return False
        raise
    variants = {name.swapcase(), unicodedata.normalize("NFD", name), name.rstrip(" .")}
    kept = probe in folder.iterdir() and not any((folder / other).exists() for other in variants)
    probe.unlink()
    return kept
