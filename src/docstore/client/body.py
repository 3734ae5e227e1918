"""The content of a write: bytes, text, a file, a path or pieces, read in blocks and hashed while they are sent.

Text is stored as UTF-8. Content that is read back is always bytes.

A replayable body can be sent again when a response was lost. A file is replayable, from its position at the time of the
call; an iterator is not.
"""

import hashlib
import os
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from io import SEEK_END, UnsupportedOperation
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from docstore.client.content_hash import ContentHash
from docstore.errors import IncompleteUpload

if TYPE_CHECKING:
    from tempfile import SpooledTemporaryFile

ContentLike = (
    bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes] | Iterable[bytes] | AsyncIterable[bytes]
)
"""Content that `put` accepts. Only AsyncClient accepts an AsyncIterable."""

SPOOL_SIZE: Final = 1024 * 1024
"""Bytes of collected content that are kept in memory; larger content is in a temporary file."""
_BLOCK_SIZE: Final = 256 * 1024
_JSON_HINT: Final = "store JSON values with docs.json[key] = value or put_json"


class ClientBody:
    """The content of one write."""

    def __init__(
        self,
        size: int | None,
        read: Callable[[], Iterator[bytes]] | AsyncIterable[bytes],
        *,
        replayable: bool,
        data: bytes | None = None,
    ) -> None:
        self.size = size
        self._read = read
        self.replayable: Final = replayable
        self.data = data
        """All of the content, if it is in memory."""
        self.progress: Callable[[int], object] | None = None
        """Called with the number of bytes after each block."""
        self._started = False
        self._digest: bytes | None = None

    @classmethod
    def from_bytes(cls, data: bytes) -> "ClientBody":
        return cls(len(data), lambda: iter((data,) if data else ()), replayable=True, data=data)

    @property
    def can_be_sent(self) -> bool:
        """Whether all of it can still be read, for the first time or again."""
        return self.replayable or not self._started

    @property
    def digest(self) -> bytes | None:
        """SHA-256 of the content; None until all of it was read."""
        if self._digest is None and self.data is not None:
            self._digest = hashlib.sha256(self.data).digest()
        return self._digest

    def hash(self) -> None:
        """Read replayable content to compute its digest, which `blocks` then does not compute again."""
        if self.digest is None and not isinstance(self._read, AsyncIterable):
            state = hashlib.sha256()
            for block in self._read():
                state.update(block)
                self.report(0)
            self._digest = state.digest()

    def blocks(self) -> Iterator[bytes]:
        """The content to send. Raise IncompleteUpload if its size is not the announced one."""
        if isinstance(self._read, AsyncIterable):
            raise TypeError("Client cannot read asynchronous content; use AsyncClient")
        self._started = True
        state, sent = None if self._digest else ContentHash(), 0
        if state is not None:
            state.in_thread()
        try:
            for piece in self._read():
                _check_piece(piece)
                block = bytes(piece)
                sent += len(block)
                if self.size is not None and sent > self.size:
                    break
                if state is not None:
                    state.update(block)
                if block:
                    yield block
                    self.report(len(block))
        finally:
            if state is not None:
                state.close()
        if self.size not in (None, sent):
            raise IncompleteUpload(f"the content changed while it was sent: {self.size} bytes were announced")
        if state is not None:
            self._digest = state.digest()

    async def async_blocks(self, work: Callable[[Callable[[], bytes]], Awaitable[bytes]]) -> AsyncIterator[bytes]:
        """As `blocks`; content whose reading blocks is read through `work`."""
        if not isinstance(self._read, AsyncIterable):
            blocks = self.blocks()
            while block := await work(lambda: next(blocks, b"")):
                yield block
            return
        self._started = True
        state = hashlib.sha256()
        async for block in self._read:
            _check_piece(block)
            state.update(block)
            if block:
                yield bytes(block)
                self.report(len(block))
        self._digest = state.digest()

    def report(self, size: int) -> None:
        if self.progress is not None:
            self.progress(size)


def body_of(source: ContentLike) -> ClientBody:
    """Raise TypeError if `source` is not content, OSError if it is the path of an unreadable file."""
    if isinstance(source, bytes | bytearray | memoryview):
        return ClientBody.from_bytes(bytes(source))
    if isinstance(source, str):
        return ClientBody.from_bytes(source.encode("utf-8"))
    if isinstance(source, os.PathLike):
        return _path_body(Path(source))
    if isinstance(source, AsyncIterable):
        return ClientBody(None, source, replayable=False)
    if hasattr(source, "read"):
        return _file_body(cast(IO[bytes], source))
    if isinstance(source, Iterable) and not isinstance(source, Mapping):
        if isinstance(source, list | tuple):
            for piece in source:
                _check_piece(piece)
        return ClientBody(None, lambda: iter(source), replayable=iter(source) is not source)
    raise TypeError(
        f"content is bytes, text, a path, a binary file or pieces of bytes, not {type(source).__name__}; {_JSON_HINT}"
    )


def _check_piece(piece: object) -> None:
    if not isinstance(piece, bytes | bytearray | memoryview):
        raise TypeError(f"the pieces of content are bytes, not {type(piece).__name__}; {_JSON_HINT}")


def spooled_content(file: "SpooledTemporaryFile[bytes]") -> ContentLike:
    """All content of the file: bytes if it is in memory, otherwise the file at its beginning."""
    size = file.seek(0, SEEK_END)
    file.seek(0)
    return file.read() if size <= SPOOL_SIZE else cast(IO[bytes], file)


def _path_body(path: Path) -> ClientBody:
    size = path.stat().st_size

    def read() -> Iterator[bytes]:
        with path.open("rb") as file:
            yield from _unchanged_blocks(file, size)

    return ClientBody(size, read, replayable=True)


def _file_body(file: IO[bytes]) -> ClientBody:
    """From the position of the file to its end."""
    if not isinstance(file.read(0), bytes):
        raise TypeError("content is read from a binary file, as opened by open(path, 'rb')")
    try:
        start = file.tell()
        size = max(0, file.seek(0, SEEK_END) - start)
        file.seek(start)
    except (OSError, UnsupportedOperation, AttributeError):
        return ClientBody(None, lambda: _file_blocks(file), replayable=False)

    def read() -> Iterator[bytes]:
        file.seek(start)
        return _unchanged_blocks(file, size)

    return ClientBody(size, read, replayable=True)


def _file_blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(_BLOCK_SIZE):
        yield block


def _unchanged_blocks(file: IO[bytes], size: int) -> Iterator[bytes]:
    """The blocks of a file of `size` bytes. Raise IncompleteUpload before the last one if the file was written to."""
    modified_ns, left = _modified_ns(file), size
    for block in _file_blocks(file):
        left -= len(block)
        if left <= 0 and _modified_ns(file) != modified_ns:
            raise IncompleteUpload("the file changed while it was sent")
        yield block


def _modified_ns(file: IO[bytes]) -> int | None:
    try:
        return os.fstat(file.fileno()).st_mtime_ns
    except (OSError, AttributeError):  # it is not a file of the system
        return None
