"""Content to read (BytesContent, FileContent, Stream) and content to store (Upload).

Each kind of content has a size, can be sliced without I/O and is read by `async for`. Callers close nothing: a
FileContent holds an open descriptor, closed with its last slice, so a reader keeps its version even after the file was
replaced or unlinked. A path to open later was rejected: it may lead to another version by then.

Every content is an Upload too, so a document is copied by putting its content elsewhere.
"""

import os
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

from docstore.errors import ContentTooLarge, CorruptData, EngineError, NoSpace
from docstore.frozen import frozen_dataclass

CHUNK_SIZE: Final = 256 * 1024
"""Bytes read from a file at a time: the memory of a download, apart from the transport's buffers."""


class Upload(Protocol):
    """Content to store; `size` is the announced size, or None.

    Iterating works once. It raises an UploadError when the bytes do not arrive as announced, and nothing is stored.
    """

    @property
    def size(self) -> int | None: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...


@frozen_dataclass(frozen=True, slots=True)
class BytesContent:
    """Content in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def slice(self, start: int, stop: int) -> "BytesContent | Stream":
        """Return the bytes from `start` up to, not including, `stop`; 0 <= start <= stop <= size.

        A long slice is a Stream: several slow readers of one document must not hold a copy each.
        """
        if stop - start > CHUNK_SIZE:
            return Stream(self._pieces, start, stop - start)
        return BytesContent(self.data[start:stop])

    async def _pieces(self, start: int, stop: int) -> AsyncIterator[bytes]:
        for position in range(start, stop, CHUNK_SIZE):
            yield self.data[position : min(position + CHUNK_SIZE, stop)]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.data:
            yield self.data


class Descriptor:
    """An open file descriptor, closed when nothing refers to it any more."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


@frozen_dataclass(frozen=True, slots=True)
class FileContent:
    """A range of a file whose bytes never change: a file is replaced or unlinked, but not written again."""

    descriptor: Descriptor
    start: int
    size: int

    def slice(self, start: int, stop: int) -> "FileContent":
        """Return the bytes from `start` up to, not including, `stop`; 0 <= start <= stop <= size."""
        return FileContent(self.descriptor, self.start + start, stop - start)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raise EngineError when the file can't be read, CorruptData when it is too short."""
        import asyncio  # PERF: takes a third of the time in which a command over HTTP starts, which needs none

        position, end = self.start, self.start + self.size
        while position < end:
            chunk = await asyncio.to_thread(self._read, position, min(CHUNK_SIZE, end - position))
            if not chunk:
                raise CorruptData(f"the content ends at {position} of {end} bytes")
            position += len(chunk)
            yield chunk

    def _read(self, position: int, size: int) -> bytes:
        try:
            return os.pread(self.descriptor.number, size, position)
        except OSError as error:
            raise EngineError(f"cannot read the content: {error.strerror}") from error


@frozen_dataclass(frozen=True, slots=True)
class Stream:
    """Content from elsewhere; `read(start, stop)` yields exactly those bytes, in pieces."""

    read: Callable[[int, int], AsyncIterator[bytes]]
    start: int
    size: int

    def slice(self, start: int, stop: int) -> "Stream":
        """Return the bytes from `start` up to, not including, `stop`; 0 <= start <= stop <= size."""
        return Stream(self.read, self.start + start, stop - start)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.read(self.start, self.start + self.size)


Content = BytesContent | FileContent | Stream


class SizeLimitedUpload:
    """An upload of at most `limit` bytes. At the first byte more it raises `error`, and reads no further.

    `error` is ContentTooLarge when None. An announced size over the limit raises it at once.
    """

    __slots__ = ("_error", "_limit", "_upload", "size")

    def __init__(self, upload: Upload, limit: int, error: ContentTooLarge | NoSpace | None = None) -> None:
        self._upload = upload
        self._limit = limit
        self._error = error or ContentTooLarge(limit)
        self.size = upload.size
        if self.size is not None and self.size > limit:
            raise self._error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        arrived = 0
        async for chunk in self._upload:
            arrived += len(chunk)
            if arrived > self._limit:
                raise self._error
            yield chunk


async def read_all(upload: Upload) -> bytes:
    """Read everything into memory: for small documents, and for engines that do not stream."""
    if isinstance(upload, BytesContent):
        return upload.data
    return b"".join([chunk async for chunk in upload])
