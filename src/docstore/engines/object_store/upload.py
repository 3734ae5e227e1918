"""Uploads: received into memory while they are small, else sent to a blob by multipart upload as they arrive."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Final

from docstore.content import BytesContent, Upload
from docstore.engines.object_store.bucket import Bucket
from docstore.frozen import frozen_dataclass

MANIFEST_CONTENT_LIMIT: Final = 256 * 1024
"""Bytes of content that are stored in the manifest; more needs a second request for each write and read."""
HASHED_AT_ONCE: Final = 1024 * 1024


@frozen_dataclass(frozen=True, slots=True)
class ReceivedContent:
    """A complete upload: in `data`, or in the blob that was named."""

    digest: bytes
    size: int
    data: bytes | None


async def receive(bucket: Bucket, upload: Upload, blob: str) -> ReceivedContent:
    """Receive `upload`, into the object `blob` if it is large. Raise what iterating it raises, or an EngineError."""
    if isinstance(upload, BytesContent) and upload.size <= MANIFEST_CONTENT_LIMIT:
        return ReceivedContent(hashlib.sha256(upload.data).digest(), upload.size, upload.data)
    pieces: list[bytes] = []
    size = 0
    sender: _Sender | None = None
    try:
        async for chunk in upload:
            pieces.append(chunk)
            size += len(chunk)
            if sender is None and size > MANIFEST_CONTENT_LIMIT:
                sender = _Sender(bucket, blob)
            if sender is not None and size >= HASHED_AT_ONCE:
                await sender.send(b"".join(pieces))
                pieces, size = [], 0
        data = b"".join(pieces)
        if sender is None:
            return ReceivedContent(hashlib.sha256(data).digest(), len(data), data)
        await sender.send(data)
        await sender.finish()
        return ReceivedContent(sender.hash.digest(), sender.size, None)
    except BaseException:
        if sender is not None:
            await sender.abandon()
        raise


class _Abandoned(Exception):
    """Raised into obstore, which then removes the parts that it has sent."""


class _Sender:
    """A multipart upload in a task of its own, because obstore pulls from an iterator."""

    def __init__(self, bucket: Bucket, blob: str) -> None:
        self.hash = hashlib.sha256()
        self.size = 0
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._abandoned = False
        self._task = asyncio.create_task(bucket.upload(blob, self._pieces()))

    async def send(self, piece: bytes) -> None:
        await asyncio.to_thread(self.hash.update, piece)
        self.size += len(piece)
        if piece:
            await self._offer(piece)

    async def finish(self) -> None:
        await self._offer(None)
        await self._task

    async def abandon(self) -> None:
        """Make obstore remove the parts, and wait for that; a second cancellation ends the wait."""
        self._abandoned = True
        await self._offer(None)
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # Retrieved, so that the loop does not report it.

    async def _offer(self, piece: bytes | None) -> None:
        """Pass a piece on; do nothing if the upload has ended already, which `finish` reports."""
        putting = asyncio.create_task(self._queue.put(piece))
        try:
            await asyncio.wait({putting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            putting.cancel()
        if self._task.done() and piece is not None:
            self._task.result()

    async def _pieces(self) -> AsyncIterator[bytes]:
        while (piece := await self._queue.get()) is not None:
            yield piece
        if self._abandoned:
            raise _Abandoned
