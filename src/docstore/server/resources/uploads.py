"""A request's body on its way to an engine: bounded, and in memory whole while it is small."""

from collections.abc import AsyncIterator
from typing import Final

from docstore.content import BytesContent, Upload

REPLAY_LIMIT: Final = 64 * 1024
"""Bytes up to which a body is gathered before the write, so that a write that lost a race can be tried again."""


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
