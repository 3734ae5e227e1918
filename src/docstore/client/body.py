"""What can be stored: bytes, text, a file, a path, or pieces as they come; each read in blocks, hashed on its way.

Text is stored as UTF-8, and as `text/plain; charset=utf-8` when no type is given: there is one encoding today, and
`docs["greeting"] = "hello"` has one meaning. What is read is always bytes.

A body that can be read again may be sent again when an answer was lost. A file can, from where it stood; pieces that
come from an iterator can't.
"""

import hashlib
import os
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from io import SEEK_END, UnsupportedOperation
from pathlib import Path
from typing import IO, Final, cast

from docstore.errors import IncompleteUpload

Source = bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes] | Iterable[bytes] | AsyncIterable[bytes]
"""What `put` takes. Asynchronous pieces are for AsyncClient alone."""

TEXT_TYPE: Final = "text/plain; charset=utf-8"
BLOCK_SIZE: Final = 256 * 1024


class Body:
    """The content of one write."""

    def __init__(
        self, size: int | None, read: Callable[[], Iterator[bytes]] | AsyncIterable[bytes], *, again: bool
    ) -> None:
        self.size = size
        self._read = read
        self.replayable = again
        """Whether it can be read more than once."""
        self.progress: Callable[[int], object] | None = None
        """Called with the number of bytes after each block."""
        self._begun = False
        self._digest: bytes | None = None
        self.data: bytes | None = None
        """All of it, when it is in memory."""
        self.type: str | None = None
        """Its media type, where that is known from what it is."""

    @classmethod
    def inline(cls, data: bytes) -> "Body":
        body = cls(len(data), lambda: iter((data,) if data else ()), again=True)
        body.data = data
        return body

    @property
    def can_be_sent(self) -> bool:
        """Whether all of it can still be read, for the first time or again."""
        return self.replayable or not self._begun

    @property
    def asynchronous(self) -> bool:
        return isinstance(self._read, AsyncIterable)

    @property
    def digest(self) -> bytes | None:
        """SHA-256 of the content; None as long as it was not read to its end."""
        if self._digest is None and self.data is not None:
            self._digest = hashlib.sha256(self.data).digest()
        return self._digest

    def blocks(self) -> Iterator[bytes]:
        """The content, to be sent. Raises IncompleteUpload when it is not as long as it was announced."""
        if isinstance(self._read, AsyncIterable):
            raise TypeError("asynchronous content was given to the plain client; AsyncClient can wait for it")
        self._begun = True
        state, sent = None if self._digest else hashlib.sha256(), 0
        for block in self._read():
            sent += len(block)
            self._check(sent)
            if state is not None:
                state.update(block)
            if block:
                yield bytes(block)
                self._report(len(block))
        self._check(sent, at_end=True)
        if state is not None:
            self._digest = state.digest()

    def hash(self) -> bytes:
        """Read all of replayable content for its SHA-256, so that `blocks` does not compute it again."""
        if self._digest is None and not isinstance(self._read, AsyncIterable):
            state = hashlib.sha256()
            for block in self._read():
                state.update(block)
                self._report(0)
            self._digest = state.digest()
        return self._digest or b""

    def _report(self, size: int) -> None:
        if self.progress is not None:
            self.progress(size)

    async def blocks_later(self, work: Callable[[Callable[[], bytes]], Awaitable[bytes]]) -> AsyncIterator[bytes]:
        """As `blocks`; what is read by blocking is read through `work`."""
        if not isinstance(self._read, AsyncIterable):
            blocks = self.blocks()
            while block := await work(lambda: next(blocks, b"")):
                yield block
            return
        self._begun = True
        state = hashlib.sha256()
        async for block in self._read:
            state.update(block)
            if block:
                yield bytes(block)
                self._report(len(block))
        self._digest = state.digest()

    def _check(self, sent: int, *, at_end: bool = False) -> None:
        if self.size is not None and (sent > self.size or (at_end and sent < self.size)):
            raise IncompleteUpload(f"{self.size} bytes were announced, and the content has changed since")


def body_of(source: Source) -> Body:
    """Raises TypeError for what is no content, OSError for a path that can't be read."""
    if isinstance(source, bytes):
        return Body.inline(source)
    if isinstance(source, bytearray | memoryview):
        return Body.inline(bytes(source))
    if isinstance(source, str):
        body = Body.inline(source.encode("utf-8"))
        body.type = TEXT_TYPE
        return body
    if isinstance(source, os.PathLike):
        return _path(Path(source))
    if isinstance(source, AsyncIterable):
        return Body(None, source, again=False)
    if hasattr(source, "read"):
        return _file(cast(IO[bytes], source))
    if isinstance(source, Iterable):
        return Body(None, lambda: iter(source), again=iter(source) is not source)
    raise TypeError(f"content is bytes, text, a path, a binary file or pieces of bytes, not {type(source).__name__}")


def _path(path: Path) -> Body:
    def read() -> Iterator[bytes]:
        with path.open("rb") as file:
            yield from _blocks(file)

    return Body(path.stat().st_size, read, again=True)


def _file(file: IO[bytes]) -> Body:
    """From where the file stands to its end."""
    if not isinstance(file.read(0), bytes):
        raise TypeError("a file is opened for reading bytes, as by open(path, 'rb')")
    try:
        start = file.tell()
        size: int | None = max(0, file.seek(0, SEEK_END) - start)
        file.seek(start)
    except (OSError, UnsupportedOperation, AttributeError):
        return Body(None, lambda: _blocks(file), again=False)

    def read() -> Iterator[bytes]:
        file.seek(start)
        return _blocks(file)

    return Body(size, read, again=True)


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK_SIZE):
        yield block
