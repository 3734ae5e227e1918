"""Checking a store: the results of a check, its start, and the checks of a document that all engines share.

A check is a function of a URL and not a method of an open engine: opening an engine creates what is absent, recovers
what a crash left and collects orphans, while a check changes nothing. So it also works beside a server that has the
store open, as far as the engine allows several processes.

It yields the Meta of every sound document and a Finding for everything else. An orphan is a file that no document
refers to: it takes space and does no other harm. Uploads in progress look the same on the disk, so an orphan is
reported, and removed on request, only while no other process has the store open. Every multi-process engine holds a
shared lock on a file of the store; a check that gets the exclusive lock is alone.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from docstore.engines.registry import EngineURL, kind_of
from docstore.engines.shared.fs import try_exclusive_lock
from docstore.errors import InvalidKey, SetupError
from docstore.keys import check_path
from docstore.model import Meta, version_of


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem; `where` names the file or the key."""

    where: str
    what: str
    orphan: bool = False
    removed: bool = False
    """Whether it was an orphan and has been removed."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (", removed" if self.removed else "")


Checked = Iterator[Meta | Finding]
CheckStore = Callable[[EngineURL, bool], Checked]
"""Checks the store behind a URL; True to remove orphans. Raises OpenError at once, or during the iteration."""


def check_store(url: EngineURL, *, repair: bool = False) -> Checked:
    """Check everything in the store behind `url`. Raises SetupError when the store can't be checked."""
    kind = kind_of(url.scheme)
    url.refuse_options(*kind.options)
    if kind.check is None:
        raise SetupError(f"{url.scheme}: has no storage to check")
    return kind.check(url, repair)


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
