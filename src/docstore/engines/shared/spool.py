"""How engines on disk take an upload: hashed as it comes, in memory while small, else in a file of its own.

The file is complete and fsynced when `receive` returns, and gone when it raises: nothing that refers to it can be
committed before its bytes are on the disk. Hashing and writing happen together in a thread, a large piece at a time,
while the next piece is gathered: an upload costs one hop from the event loop per megabyte, and two pieces of memory.

A thread can't be cancelled, so a cancelled upload waits for its thread before the file is closed: else the thread would
write to a descriptor that is already another file's. Executor futures are used and no tasks, because a loop that shuts
down cancels every task, and would report a thread as ended that still writes.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from docstore.content import BytesContent, Upload
from docstore.engines.shared.durable import write_all
from docstore.engines.shared.storage_errors import mapped

PIECE_SIZE: Final = 1024 * 1024
"""Bytes gathered before a hop to the thread that writes them."""

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class Received:
    """All of an upload: in `data` when it was small, else in the file `path`; never in both."""

    digest: bytes
    size: int
    data: bytes | None
    path: Path | None


async def receive(upload: Upload, *, inline_limit: int, new_path: Callable[[], Path]) -> Received:
    """Takes all of `upload`: up to `inline_limit` bytes in memory, more in a new file at `new_path()`.

    Raises what iterating the upload raises, and NoSpace or another EngineError when the file can't be written.
    """
    if isinstance(upload, BytesContent) and upload.size <= inline_limit:
        return Received(hashlib.sha256(upload.data).digest(), upload.size, upload.data, None)
    pieces: list[bytes] = []
    held = 0
    file: _File | None = None
    try:
        async for chunk in upload:
            pieces.append(chunk)
            held += len(chunk)
            if file is None and held > inline_limit:
                file = _File(new_path())
            if file is not None and held >= PIECE_SIZE:
                await file.write(pieces)
                pieces, held = [], 0
        if file is None:
            data = b"".join(pieces)
            return Received(hashlib.sha256(data).digest(), len(data), data, None)
        await file.seal(pieces)
        return Received(file.hash.digest(), file.size, None, file.path)
    except BaseException:
        if file is not None:
            await file.remove()
        raise


async def _ended(work: asyncio.Future[None]) -> bool:
    """Waits for a thread to its end; whether this task was cancelled meanwhile, however often."""
    cancelled = False
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            cancelled = True
    work.exception()  # Looked at, so that the loop does not report it as lost.
    return cancelled


class _File:
    """The file that a large upload goes to. It is made by the thread that first writes to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.hash = hashlib.sha256()
        self._made = False
        self._descriptor = -1
        self._work: asyncio.Future[None] | None = None

    async def write(self, pieces: list[bytes]) -> None:
        """Returns when `pieces` are on their way; what goes wrong with them is raised by the next call."""
        await self._settle()
        self._work = asyncio.get_running_loop().run_in_executor(None, self._append, pieces)

    async def seal(self, pieces: list[bytes]) -> None:
        await self._settle()
        self._work = asyncio.get_running_loop().run_in_executor(None, self._seal, pieces)
        await self._settle()

    async def remove(self) -> None:
        """Closes and unlinks. A cancellation that comes meanwhile is left to the error that is being raised already."""
        if self._work is not None:
            await _ended(self._work)
        removal = asyncio.get_running_loop().run_in_executor(None, self._remove)
        await _ended(removal)
        removal.result()

    async def _settle(self) -> None:
        if self._work is not None:
            if await _ended(self._work):
                raise asyncio.CancelledError
            self._work.result()

    def _append(self, pieces: list[bytes]) -> None:
        with mapped(self.path):
            if not self._made:
                self._descriptor = os.open(self.path, _NEW, 0o666)
                self._made = True
            for piece in pieces:
                self.hash.update(piece)
                self.size += len(piece)
                write_all(self._descriptor, piece)

    def _seal(self, pieces: list[bytes]) -> None:
        self._append(pieces)
        with mapped(self.path):
            os.fsync(self._descriptor)
            self._close()

    def _remove(self) -> None:
        with mapped(self.path):
            self._close()
            if self._made:
                self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
