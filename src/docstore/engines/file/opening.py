"""Opening a folder: making it, choosing how names are spelled in it, and clearing what a crash left.

All of it happens under one lock, so two processes that open a new folder at once agree. The scheme of names is probed,
not derived from the operating system: any of them mounts file systems that fold names and others that do not.
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
from docstore.engines.file.filenames import Scheme
from docstore.engines.file.metadata import FOLDERS, NAME, Control
from docstore.engines.file.reader import Reader
from docstore.engines.file.tree import Tree
from docstore.engines.file.untracked import Digests
from docstore.engines.file.writer import Writer
from docstore.engines.registry import EngineURL
from docstore.engines.shared.durable import make_folder, sync_folder, write_all
from docstore.engines.shared.standing import Standing
from docstore.errors import OpenError
from docstore.model import Clock

if sys.platform != "win32":
    import fcntl

_FORMAT: Final = "docstore file"
_FORMAT_VERSION: Final = 1
_REFUSED: Final = {errno.EINVAL, errno.EILSEQ, errno.ENOENT, errno.EACCES, errno.EPERM}


def open_file(url: EngineURL, clock: Clock) -> File:
    """`file:PATH`: the folder, made when absent. Raises OpenError."""
    url.refuse_options()
    if not url.location:
        raise OpenError("file: needs the path of a folder, as in file:documents")
    if os.open not in os.supports_dir_fd:
        raise OpenError(f"{url}: this system can't open files below an open folder; sqlite: works on every system")
    folder = Path(url.location).absolute()
    with ExitStack() as opening:
        try:
            _make(folder)
            scheme = _enter(folder, opening)
            root = os.open(folder, os.O_RDONLY)
            opening.callback(os.close, root)
            control = Control(folder, opening)
            standing = [Standing(path) for path in _folders(folder)]
            tree = Tree(root, scheme, control)
            digests = Digests()
            soon, reader = Reader(tree, control, clock, digests.soon), Reader(tree, control, clock, digests.of)
        except OSError as error:
            raise OpenError(f"{error.filename or folder}: {error.strerror}") from error
        opened = opening.pop_all()
    return File(control, soon, reader, Writer(tree, control, reader, clock), standing, opened)


def _make(folder: Path) -> None:
    """Makes the folder, those above it and its own folders, durably."""
    for path in _folders(folder):
        make_folder(path)
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _folders(folder: Path) -> list[Path]:
    return [folder, folder / NAME, *(folder / NAME / name for name in FOLDERS)]


def _enter(folder: Path, opened: ExitStack) -> Scheme:
    """Tells others that the folder is open, as long as `opened` is; clears it when nobody else has it open."""
    own = folder / NAME
    with ExitStack() as opening:
        # Held until this process has its share of the lock proper: an exclusive lock is not turned into a shared one
        # in one step.
        fcntl.flock(_lock(own / "locks" / "opening", opening), fcntl.LOCK_EX)
        lock = _lock(own / "lock", opened)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            for left in (own / "tmp").iterdir():
                left.unlink()
        fcntl.flock(lock, fcntl.LOCK_SH)
        return _scheme(own)


def _lock(path: Path, opened: ExitStack) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    opened.callback(os.close, descriptor)
    return descriptor


def _scheme(own: Path) -> Scheme:
    path = own / "format"
    plain = _keeps_names(own / "tmp")
    if not path.exists():
        scheme = Scheme.PLAIN if plain else Scheme.FOLDED
        _write(own, f"{_FORMAT} {_FORMAT_VERSION} {scheme.value}\n")
        return scheme
    name, _, rest = path.read_text(errors="replace").strip().partition(f"{_FORMAT} ")
    version, _, spelled = rest.partition(" ")
    if name or not version.isdecimal():
        raise OpenError(f"{path}: not written by Docstore")
    if int(version) > _FORMAT_VERSION:
        raise OpenError(f"{path}: written by a newer Docstore, format {version}; this one knows {_FORMAT_VERSION}")
    if spelled not in [scheme.value for scheme in Scheme]:
        raise OpenError(f"{path}: not written by Docstore")
    if Scheme(spelled) is Scheme.PLAIN and not plain:
        raise OpenError(f"{path}: made on a file system that tells all names apart, this one does not")
    return Scheme(spelled)


def _write(own: Path, line: str) -> None:
    temporary = own / "tmp" / uuid.uuid4().hex
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        write_all(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(own / "format")
    sync_folder(own)


def _keeps_names(folder: Path) -> bool:
    """Whether the file system takes any name and tells it from all others."""
    name = f'{uuid.uuid4().hex}-Aa\u00e9<>:"|?*\\ .'
    probe = folder / name
    try:
        probe.touch(exist_ok=False)
    except OSError as error:
        if error.errno in _REFUSED:
            return False
        raise
    others = {name.swapcase(), unicodedata.normalize("NFD", name), name.rstrip(" .")}
    kept = probe in folder.iterdir() and not any((folder / other).exists() for other in others)
    probe.unlink()
    return kept
