"""A request's body on its way to an engine: bounded, and in memory whole while it is small."""

from collections.abc import AsyncIterator
from typing import Final

from docstore.content import BytesContent, Upload
from docstore.errors import ContentTooLarge

REPLAY_LIMIT: Final = 64 * 1024
"""Bytes up to which a body is gathered before the write, so that a write that lost a race can be tried again."""


class Bounded:
    """An upload of at most `limit` bytes: one byte more, and the rest is not even asked for."""

    __slots__ = ("_limit", "_upload", "size")

    def __init__(self, upload: Upload, limit: int) -> None:
        if upload.size is not None and upload.size > limit:
            raise ContentTooLarge(limit)
        self._upload = upload
        self._limit = limit
        self.size = upload.size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        arrived = 0
        async for chunk in self._upload:
            arrived += len(chunk)
            if arrived > self._limit:
                raise ContentTooLarge(self._limit)
            yield chunk


class _Begun:
    """An upload whose first chunks have been taken already."""

    __slots__ = ("_chunks", "_rest", "size")

    def __init__(self, chunks: list[bytes], rest: AsyncIterator[bytes], size: int | None) -> None:
        self._chunks = chunks
        self._rest = rest
        self.size = size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks, self._chunks = self._chunks, []
        for chunk in chunks:
            yield chunk
        async for chunk in self._rest:
            yield chunk


async def gathered(upload: Upload) -> Upload:
    """The same upload: BytesContent, and so good for more than one reading, when it is small."""
    if isinstance(upload, BytesContent) or (upload.size is not None and upload.size > REPLAY_LIMIT):
        return upload
    chunks: list[bytes] = []
    arrived, rest = 0, aiter(upload)
    async for chunk in rest:
        chunks.append(chunk)
        arrived += len(chunk)
        if arrived > REPLAY_LIMIT:
            return _Begun(chunks, rest, upload.size)
    return BytesContent(b"".join(chunks))
