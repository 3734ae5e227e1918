"""Checking a store: the results of a check, its start, and the checks of a document that all engines share.

A check is a function of a URL and not a method of an open engine: opening an engine creates what is absent and recovers
what a crash left, while a check changes nothing. It yields the Meta of every sound document and a Finding for
everything else. An orphan is a file that no document refers to: it takes space and harms nothing. Uploads in progress
look the same on the disk, so an orphan is reported, and removed on request, only while nobody else has the store open:
every engine that shares a store holds a shared lock on a file of it, and a check that gets the exclusive lock is alone.
"""

import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from docstore.content import CHUNK_SIZE, Descriptor
from docstore.engines.registry import EngineURL, kind_of
from docstore.engines.shared.fs import try_exclusive_lock
from docstore.errors import EngineError, InvalidKey, SetupError, without_password
from docstore.keys import check_path
from docstore.model import Meta, version_of

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem; `where` names the file or the key."""

    where: str
    what: str
    orphan: bool = False
    removed: bool = False
    """Whether it was an orphan and has been removed."""

    def __str__(self) -> str:
        if not self.orphan:
            return f"{self.where}: {self.what}"
        text = f"{self.where}: an orphan that no document refers to ({self.what})"
        return text + (", removed" if self.removed else "; --repair removes it")


Checked = Iterator[Meta | Finding]
CheckStore = Callable[[EngineURL, bool], Checked]
"""Checks the store behind a URL; True to remove orphans. Raises OpenError at once, or during the iteration."""


def check_store(url: EngineURL, *, repair: bool = False) -> Checked:
    """Check everything in the store behind `url`. Raises SetupError when the store can't be checked."""
    kind = kind_of(url.scheme)
    url.refuse_options(*kind.options)
    if kind.check is None:
        raise SetupError(f"{url.scheme}: keeps nothing that can be checked")
    return _report_errors(kind.check(url, repair), without_password(url.location))


def _report_errors(checked: Checked, location: str) -> Checked:
    try:
        yield from checked
    except OSError as error:
        yield Finding(str(error.filename or location), f"the check can't continue: {error.strerror or error}")
    except EngineError as error:
        yield Finding(location, f"the check can't continue: {error}")


def hash_file(file: Descriptor) -> tuple[bytes, int]:
    """Return the SHA-256 of an open file and its size."""
    state, size = hashlib.sha256(), 0
    while chunk := os.pread(file.number, CHUNK_SIZE, size):
        state.update(chunk)
        size += len(chunk)
    return state.digest(), size


def fault_of(meta: Meta, digest: bytes, size: int) -> str | None:
    """Return what is wrong with a document whose content has this SHA-256 and size; None if it is sound."""
    if size != meta.size:
        return f"its content has {size} bytes of {meta.size}"
    if digest != meta.digest:
        return "its content is not what was written: the digest differs"
    if meta.version != version_of(meta.digest, meta.fields):
        return "its version is not that of its content and fields"
    try:
        check_path(meta.key)
    except InvalidKey as error:
        return f"its key is not valid: {error}"
    return None


@contextmanager
def exclusive_access(lock: Path) -> Iterator[bool]:
    """Yield whether no other process has the store open, and keep others from opening it meanwhile. Creates no file.

    A store that was never opened has no lock file. Always False on Windows.
    """
    if sys.platform == "win32" or not lock.exists():
        yield sys.platform != "win32"
        return
    descriptor = os.open(lock, os.O_RDONLY)
    try:
        yield try_exclusive_lock(descriptor)
    finally:
        os.close(descriptor)


class OrphanCheck:
    """Reports orphans, and removes them on request, while nobody else holds the store's `lock`."""

    def __init__(self, lock: Path, repair: bool) -> None:
        self._lock = lock
        self._repair = repair
        self._undecided = 0

    def report(self, path: Path, problem: str, is_orphan: Callable[[], bool]) -> Iterator[Finding]:
        """`is_orphan` is asked again under the lock: an upload in progress looks like an orphan."""
        if not is_orphan():
            return
        with exclusive_access(self._lock) as exclusive:
            if not exclusive:
                self._undecided += 1
            elif path.exists() and is_orphan():
                if self._repair:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                yield Finding(str(path), problem, orphan=True, removed=self._repair)

    def warn(self) -> None:
        """Log how many files could not be decided."""
        if self._undecided:
            count = self._undecided
            what = "1 file is an orphan or an upload" if count == 1 else f"{count:,} files are orphans or uploads"
            _log.warning("%s is in use: %s in progress", self._lock.parent, what)
