"""Content on its way to a store: from a file or from standard input, with its digest so that the store can check it.

The digest goes ahead of the content, so a file is read twice; a trailer would spare that, and hardly a proxy lets one
through. What comes through a pipe can be read once: up to a mebibyte of it is sent as a file is, and of more it is
looked up afterwards what the store has.
"""

import hashlib
import mimetypes
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

from docstore.cli.errors import EXIT_FAILED, CommandError
from docstore.cli.put_options import announced

if TYPE_CHECKING:
    from docstore import Client, PutResult
    from docstore.cli.progress import Bar

_BLOCK_SIZE: Final = 1024 * 1024
_CODED: Final = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
"""Types of files that are stored as they are, compressed."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How content is to be stored."""

    media_type: str | None = None
    """None to go by the name."""
    ttl_s: int | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    fields: tuple[tuple[str, str], ...] = ()
    meta: tuple[tuple[str, str], ...] = ()

    def typed(self, *names: str) -> "Wish":
        """With a type: the one that was asked for, or the one of the first name that tells one."""
        if self.media_type is not None:
            return self
        return replace(self, media_type=next(filter(None, map(type_of, names)), None))

    def put(
        self, docs: "Client", key: str | None, content: IO[bytes] | bytes | Iterator[bytes], digest: bytes | None
    ) -> "PutResult":
        """Stores it under `key`, or with None under a new one."""
        fields = dict(self.fields) | ({} if digest is None else announced(digest))
        given = {
            "type": self.media_type,
            "ttl": self.ttl_s,
            "if_match": self.if_match,
            "if_none_match": self.if_none_match,
            "fields": fields,
            "meta": dict(self.meta),
        }
        asked: Any = {name: value for name, value in given.items() if value is not None}
        return docs.add(content, **asked) if key is None else docs.put(key, content, **asked)


def type_of(name: str) -> str | None:
    """The media type that the end of a name tells; None when it tells none."""
    media_type, coding = mimetypes.guess_type(name)
    return _CODED.get(coding) if coding else media_type


class _Watched:
    """A file whose reading moves a bar, and can be given up."""

    def __init__(self, file: IO[bytes], bar: "Bar", check: Callable[[], None]) -> None:
        self._file = file
        self._bar = bar
        self._check = check
        self.tell = file.tell
        self.seek = file.seek

    def read(self, size: int = -1) -> bytes:
        self._check()
        block = self._file.read(size)
        self._bar.advance(len(block))
        return block


def put_file(
    docs: "Client", key: str, path: Path, wish: Wish, bar: "Bar", check: Callable[[], None] = lambda: None
) -> None:
    """Stores the content of a plain file. Raises OSError, and IncompleteUpload when it is changed meanwhile."""
    wish = wish.typed(path.name, key)
    # Nothing waits for somebody who writes to a pipe of that name.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise CommandError(EXIT_FAILED, f"{path} is no plain file; what comes through a pipe is sent with -")
        state = hashlib.sha256()
        while block := file.read(_BLOCK_SIZE):
            check()
            state.update(block)
        file.seek(0)
        wish.put(docs, key, cast(IO[bytes], _Watched(file, bar, check)), state.digest())


def put_stream(docs: "Client", key: str | None, stream: IO[bytes], wish: Wish, bar: "Bar") -> "PutResult":
    """Stores what comes until the end of `stream`. Raises CommandError when the store has got something else."""
    first = stream.read(_BLOCK_SIZE)
    state = hashlib.sha256(first)
    if len(first) < _BLOCK_SIZE:
        bar.advance(len(first))
        return wish.put(docs, key, first, state.digest())

    def pieces() -> Iterator[bytes]:
        block = first
        while block:
            yield block
            bar.advance(len(block))
            block = stream.read(_BLOCK_SIZE)
            state.update(block)

    stored = wish.put(docs, key, pieces(), None)
    there = docs.info(stored.key)
    if there.version == stored.version and there.digest not in (None, state.digest()):
        raise CommandError(EXIT_FAILED, f"the store has other content than was sent as {stored.key!r}; send it again")
    return stored
