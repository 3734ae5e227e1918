"""Streaming downloads: a connection that breaks is taken up again where it broke, on the same version, and the digest
of the whole is checked at its end.

A download to a file goes to `NAME.VERSION.part` beside it, which is renamed at its end: the file is whole or as it was.
What an interrupted one left is gone on with, by Range and If-Range, while the document is still of that version. Of two
at once to one file the second is refused.
"""

import errno
import hashlib
import os
import re
import sys
from collections.abc import AsyncGenerator
from functools import partial
from glob import escape
from io import BufferedRandom
from pathlib import Path
from typing import Final

from docstore.client.errors import error_of
from docstore.client.operations import WANT_DIGEST, Operations, size_in, told
from docstore.client.options import Condition, Part, conditions, part
from docstore.client.results import Info, info_of, version_in
from docstore.client.retry import Attempts, head, whole
from docstore.client.transport import Answer, Call, Lost, Pairs, Reply
from docstore.errors import Conflict, DigestMismatch, EngineError, StorageUnavailable

if sys.platform != "win32":
    import fcntl

PROGRESS_SIZE: Final = 256 * 1024
"""Bytes that have to come over a connection that breaks for the tries to be counted anew."""

_SPAN: Final = re.compile(r"bytes ([0-9]{1,19})-[0-9]{1,19}/[0-9]{1,19}")
_VERSION: Final = re.compile(r"[A-Za-z0-9_-]{32}")


class _Changed(Conflict):
    """The document is no longer of the version that was begun with."""


class _Download:
    """A document, or a part of it, over as many connections as it takes."""

    def __init__(self, operations: Operations, key: str, wished: Part) -> None:
        self._operations = operations
        self._key = key
        self._wished = wished
        self._what = told("GET", key)
        self._hash = None if part(wished) else hashlib.sha256()
        self._position = wished.get("start") or 0
        """Where the next byte belongs in the whole content; negative as long as that is not known."""
        self.info: Info | None = None
        """What the first answer told."""

    def begun(self, file: BufferedRandom, info: Info) -> None:
        """Goes on after what is in `file`, the beginning of the document that `info` tells of."""
        self._hash = hashlib.file_digest(file, "sha256")
        self._position = file.tell()
        self.info = info

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Raises NotFound, Conflict when the document changes meanwhile, DigestMismatch, StorageUnavailable."""
        attempts, got = Attempts(self._operations.patience), 0
        while self.info is None or self._position < self._stop():
            reply = await self._open(attempts)
            try:
                while not isinstance(piece := await reply.read(), Lost) and piece:
                    self._took(piece)
                    got += len(piece)
                    yield piece
            finally:
                await reply.close()
            if not isinstance(piece, Lost):
                if self._position >= self._stop():
                    break
                piece = Lost("the answer ended early")
            if got >= PROGRESS_SIZE:
                attempts, got = Attempts(self._operations.patience), 0  # it advances
            pause = attempts.pause_s()
            if pause is None:
                raise StorageUnavailable(f"{self._what}: {piece.reason}")
            await self._operations.wire.pause(pause)
        self._check()

    def _stop(self) -> int:
        assert self.info is not None  # noqa: S101 - asked for after an answer only
        return min(self._wished.get("stop") or self.info.size, self.info.size)

    def _took(self, piece: bytes) -> None:
        self._position += len(piece)
        if self._hash is not None:
            self._hash.update(piece)

    def _check(self) -> None:
        digest = None if self.info is None else self.info.digest
        if self._hash is not None and digest is not None and self._hash.digest() != digest:
            raise DigestMismatch(f"{self._what}: what came is not what the store says that it sent")

    async def _open(self, attempts: Attempts) -> Reply:
        """An answer that begins at the position."""
        operations = self._operations
        wanted = self._wished if self.info is None else {**self._wished, "start": self._position}
        headers: Pairs = (WANT_DIGEST, *part(wanted), *conditions(self._wished.get("if_match"), None))
        if self.info is not None and self._position:
            headers += (("if-range", self.info.etag),)
        call = Call("GET", operations.address.target(self._key), (*operations.headers, *headers))
        reply, _ = await head(operations.wire, call, attempts, self._what)
        try:
            await self._look_at(reply, attempts)
        except BaseException:
            await reply.close()
            raise
        return reply

    async def _look_at(self, reply: Reply, attempts: Attempts) -> None:
        """Raises the error that the answer is when it is not what was asked for."""
        if reply.status not in (200, 206):
            content = await whole(reply, attempts)
            raise error_of(
                Answer(reply.status, reply.headers, b"" if isinstance(content, Lost) else content), self._what
            )
        span = _SPAN.fullmatch(reply.headers.get("content-range", ""))
        start = 0 if span is None else int(span[1])
        if self.info is None:
            if reply.status == 200 and part(self._wished) and size_in(reply.headers):
                raise EngineError(f"{self._what}: the server sent the whole document for a part of it")
            self.info = info_of(self._key, reply.headers, size_in(reply.headers))
            self._position = start
        elif version_in(reply.headers) != self.info.version or start != self._position:
            raise _Changed(None, f"{self._what}: the document changed while it was read")


async def iter_content(operations: Operations, key: str, /, *, start: int | None = None, stop: int | None = None,
                       if_match: Condition | None = None) -> AsyncGenerator[bytes, None]:  # fmt: skip
    """The content in pieces as they come, of one version whatever happens to the connection; `start` and `stop` as in
    `get`.

    Raises NotFound, DigestMismatch at the end of content that is not what was stored, and Conflict when the document is
    replaced before a broken connection could be taken up again.
    """
    wished: Part = {"start": start, "stop": stop, "if_match": if_match}
    async for piece in _Download(operations, key, wished).pieces():
        yield piece


async def download(operations: Operations, key: str, path: str | os.PathLike[str], /) -> Info:
    """Stores the content in the file `path`, which is whole afterwards or as it was; what is known of the document.

    An interrupted download is gone on with when it is asked for again. Raises NotFound, DigestMismatch, OSError.
    """
    target, work = Path(path), operations.wire.work
    await work(lambda: _refuse_what_is_no_file(target))
    turns = Attempts(operations.patience)
    while True:
        info = await operations.info(key)
        unfinished = target.with_name(f"{target.name}.{info.version}.part")
        try:
            await _complete(operations, info, unfinished)
        except (_Changed, DigestMismatch) as error:
            await work(partial(_remove, unfinished))
            pause = turns.pause_s() if isinstance(error, _Changed) else None
            if pause is None:
                raise
            await operations.wire.pause(pause)
        else:
            await work(partial(_renamed, unfinished, target))
            return info


async def _complete(operations: Operations, info: Info, unfinished: Path) -> None:
    """Downloads what `unfinished` has not yet."""
    work = operations.wire.work
    file = await work(lambda: unfinished.open("a+b"))
    try:
        await work(lambda: _claim(file, unfinished))
        reading = _Download(operations, info.key, Part())
        await work(lambda: _begin(reading, file, info))
        async for piece in reading.pieces():
            await work(lambda: file.write(piece))  # noqa: B023 - it is called at once
    finally:
        await work(file.close)


def _refuse_what_is_no_file(target: Path) -> None:
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "is no plain file, and would be replaced by one", str(target))


def _claim(file: BufferedRandom, unfinished: Path) -> None:
    """Keeps other downloads of the same from writing it, until it is closed. Raises OSError."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), unfinished.stat()):
                return
        except (BlockingIOError, FileNotFoundError):
            pass
        raise OSError(errno.EBUSY, "another download writes it", str(unfinished))


def _begin(reading: _Download, file: BufferedRandom, info: Info) -> None:
    if file.seek(0, os.SEEK_END) > info.size:
        file.truncate(0)
    file.seek(0)
    reading.begun(file, info)


def _remove(unfinished: Path) -> None:
    unfinished.unlink(missing_ok=True)


def _renamed(unfinished: Path, target: Path) -> None:
    """Puts `unfinished` in its place, and removes what downloads of other versions left."""
    unfinished.replace(target)
    for left in target.parent.glob(f"{escape(target.name)}.*.part"):
        if _VERSION.fullmatch(left.name[len(target.name) + 1 : -len(".part")]):
            left.unlink(missing_ok=True)
