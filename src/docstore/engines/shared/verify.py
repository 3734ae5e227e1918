"""What looking a store over says, and how it is begun.

A check is a function of a URL and not a method of an open engine: opening an engine makes what is absent, recovers what
a crash left and collects orphans, and a check changes nothing. So it also works beside a server that has the store
open, as far as the engine allows several processes.

It yields the Meta of every document that is sound, and a Finding for everything else. An orphan is what no document
refers to: it takes room and harms nothing. Uploads on their way look like orphans, and nothing on the disk tells the
two apart; so a candidate is judged, and removed when that was asked for, only at an instant in which nobody else has
the store open. Every engine that shares a store holds a shared flock(2) on a file: who gets it exclusively is alone.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from docstore.engines.registry import EngineURL, kind_of
from docstore.errors import InvalidKey, SetupError
from docstore.keys import check_path
from docstore.model import Meta, version_of

if sys.platform != "win32":
    import fcntl


@dataclass(frozen=True, slots=True)
class Finding:
    """What is not as it should be; `where` names the file or the key."""

    where: str
    what: str
    orphan: bool = False
    removed: bool = False
    """Whether it was an orphan and is gone now."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (", removed" if self.removed else "")


Checked = Iterator[Meta | Finding]
CheckStore = Callable[[EngineURL, bool], Checked]
"""Checks the store behind a URL; True to remove orphans. Raises OpenError at once, or while it is iterated."""


def check_store(url: EngineURL, *, repair: bool = False) -> Checked:
    """Everything in the store behind `url`, sound or not. Raises SetupError when it can't be looked at."""
    kind = kind_of(url.scheme)
    url.refuse_options(*kind.options)
    if kind.check is None:
        raise SetupError(f"{url.scheme}: keeps nothing that can be checked")
    return kind.check(url, repair)


def fault_of(meta: Meta, digest: bytes, size: int) -> str | None:
    """What is wrong with a document whose content has this SHA-256 and size; None when nothing is."""
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
def alone(lock: Path) -> Iterator[bool]:
    """Whether nobody else has the store open, and then nobody opens it inside. Makes no file."""
    if sys.platform == "win32" or not lock.exists():
        # Without a lock nobody can be told from nobody: a store that was never opened has none.
        yield sys.platform != "win32"
        return
    descriptor = os.open(lock, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
