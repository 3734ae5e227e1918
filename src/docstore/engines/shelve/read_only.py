"""Reading a shelve without changing it: from a copy in a temporary folder.

No dbm can be read without being changed, or at all when it was left in the middle of a write. So the files are copied,
and the copy is opened as the engine opens a store.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from docstore.engines.registry import EngineURL
from docstore.engines.shared.fs import translate_open_errors, try_shared_lock
from docstore.engines.shared.read_only import ReadOnlyEngine
from docstore.engines.shelve.engine import open_shelve
from docstore.errors import EngineError, OpenError
from docstore.model import Clock

_SUFFIXES: Final = ("", ".dat", ".dir", ".bak", "-wal", "-journal")
"""The suffixes of a store's files, for all dbm modules."""


@dataclass(frozen=True, slots=True)
class ShelveCopy:
    """A copy of the files of a store."""

    path: Path
    clean: bool
    """Whether the store was closed cleanly."""


def open_shelve_read_only(url: EngineURL, clock: Clock) -> ReadOnlyEngine:
    """Open a copy of `shelve:PATH`. No process can open the store for writing before it is closed."""
    path = path_of(url)
    with ExitStack() as opening:
        copy = opening.enter_context(copied_store(path, keep_locked=True))
        if not copy.clean:  # the engine looks for the mark of a store that was not closed
            copy.path.with_name(copy.path.name + ".lock").write_bytes(b"open\n")
        engine = open_shelve(EngineURL(url.scheme, str(copy.path), url.options), clock)
        return ReadOnlyEngine(engine, opening.pop_all())


def path_of(url: EngineURL) -> Path:
    """Return the path of an existing store. Raise OpenError."""
    path = Path(url.location)
    with translate_open_errors(path):
        path = path.resolve()
        if not url.location or not any(path.with_name(path.name + end).exists() for end in ("", ".dat")):
            raise OpenError(f"{path}: there is no such shelve")
    return path


@contextmanager
def copied_store(path: Path, *, keep_locked: bool) -> Iterator[ShelveCopy]:
    """Copy the files of the store at `path`, while no process has it open. Raise OpenError.

    With `keep_locked` no process can open it for writing before the end. Errors name the store instead of the copy.
    """
    with ExitStack() as opening, ExitStack() as locking, translate_open_errors(path):
        lock = path.with_name(path.name + ".lock")
        clean = not lock.exists() or lock.stat().st_size == 0
        if sys.platform != "win32" and lock.exists():
            descriptor = os.open(lock, os.O_RDONLY)
            locking.callback(os.close, descriptor)
            if not try_shared_lock(descriptor):
                raise OpenError(f"cannot open {path}: it is open in another process")
            clean = os.fstat(descriptor).st_size == 0
        folder = _make_temporary_folder(path, opening)
        copy = folder / path.name
        for suffix in _SUFFIXES:
            part = path.with_name(path.name + suffix)
            if part.is_dir():
                # Without it another dbm might take the rest for an empty store.
                raise OpenError(f"cannot open {path}: {part} is a folder")
            if part.is_file():
                shutil.copyfile(part, copy.with_name(part.name))
        if keep_locked:
            opening.push(locking.pop_all())
        opened = opening.pop_all()
    with opened:
        try:
            yield ShelveCopy(copy, clean)
        except (EngineError, OpenError) as error:
            # The user knows nothing of the copy.
            raise type(error)(str(error).replace(str(folder), str(path.parent))) from error


def _make_temporary_folder(path: Path, opening: ExitStack) -> Path:
    try:
        return Path(opening.enter_context(tempfile.TemporaryDirectory(prefix="docstore-shelve-")))
    except OSError as error:
        raise OpenError(f"cannot copy {path} to a temporary folder, set TMPDIR: {error.strerror or error}") from error
