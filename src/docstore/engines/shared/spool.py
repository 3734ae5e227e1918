"""Receive an upload and hash it: a small one into memory, a larger one into a separate file.

The file is complete and fsynced when `spool` returns, and removed when it raises. A thread hashes and writes one large
piece while the next is gathered: one thread hop per megabyte and two pieces of memory.

A thread can't be cancelled. So a cancelled upload waits for its thread before it closes the file: otherwise the thread
would write to a descriptor that may belong to another file by then. Executor futures are used and not tasks, because a
loop that shuts down cancels every task, and would report a thread as ended that still writes.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from docstore.content import BytesContent, Upload
from docstore.engines.shared.fs import translate_os_errors, write_all
from docstore.frozen import frozen_dataclass

PIECE_SIZE: Final = 1024 * 1024
"""Bytes gathered before they go to the thread that writes them."""

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


@frozen_dataclass(frozen=True, slots=True)
class SpooledUpload:
    """A complete upload: in `data` if it was small, else in the file `path`; never both."""

    digest: bytes
    size: int
    data: bytes | None
    path: Path | None


def hash_content(data: bytes) -> SpooledUpload:
    return SpooledUpload(hashlib.sha256(data).digest(), len(data), data, None)


async def spool(upload: Upload, *, inline_limit: int, new_path: Callable[[], Path]) -> SpooledUpload:
    """Receive `upload`: up to `inline_limit` bytes into memory, more into a new file at `new_path()`.

    Raises what iterating the upload raises, and NoSpace or another EngineError when the file can't be written.
    """
    if isinstance(upload, BytesContent) and upload.size <= inline_limit:
        return hash_content(upload.data)
    pieces: list[bytes] = []
    size = 0
    file: _SpoolFile | None = None
    try:
        async for chunk in upload:
            pieces.append(chunk)
            size += len(chunk)
            if file is None and size > inline_limit:
                file = _SpoolFile(new_path())
            if file is not None and size >= PIECE_SIZE:
                await file.write(pieces)
                pieces, size = [], 0
        if file is None:
            return hash_content(b"".join(pieces))
        await file.write(pieces, last=True)
        return SpooledUpload(file.hash.digest(), file.size, None, file.path)
    except BaseException:
        if file is not None:
            await file.remove()
        raise


async def _wait_for(work: asyncio.Future[None]) -> bool:
    """Wait until a thread has ended. Return whether this task was cancelled meanwhile, however often."""
    cancelled = False
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            cancelled = True
    work.exception()  # Retrieved, so that the loop does not report it as lost.
    return cancelled


class _SpoolFile:
    """The file of a large upload. The thread that first writes to it creates it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.hash = hashlib.sha256()
        self._created = False
        self._descriptor = -1
        self._work: asyncio.Future[None] | None = None

    async def write(self, pieces: list[bytes], *, last: bool = False) -> None:
        """Start writing `pieces`; the next call raises what goes wrong with them. The last call fsyncs and closes."""
        await self._finish_work()
        self._work = asyncio.get_running_loop().run_in_executor(None, self._append, pieces, last)
        if last:
            await self._finish_work()

    async def remove(self) -> None:
        """Close and unlink. A cancellation that comes meanwhile is dropped: the caller is raising an error already."""
        if self._work is not None:
            await _wait_for(self._work)
        removal = asyncio.get_running_loop().run_in_executor(None, self._close_and_unlink)
        await _wait_for(removal)
        removal.result()

    async def _finish_work(self) -> None:
        if self._work is not None:
            if await _wait_for(self._work):
                raise asyncio.CancelledError
            self._work.result()

    def _append(self, pieces: list[bytes], last: bool) -> None:
        with translate_os_errors(self.path):
            if not self._created:
                self._descriptor = os.open(self.path, _NEW, 0o666)
                self._created = True
            for piece in pieces:
                self.hash.update(piece)
                self.size += len(piece)
                write_all(self._descriptor, piece)
            if last:
                os.fsync(self._descriptor)
                self._close()

    def _close_and_unlink(self) -> None:
        with translate_os_errors(self.path):
            self._close()
            if self._created:
                self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
