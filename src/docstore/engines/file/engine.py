"""The engine of `file:` URLs: its blocking half in threads, and nothing else.

Readers and writers have threads of their own, so that a read does not queue behind writes that wait for the disk or
for each other. So has hashing: a read that turns out to need the digest of a large file, put there by hand, begins
anew in a thread where nobody waits for less.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from typing import Final, TypeVar

from docstore.engines.contract import PutRequest
from docstore.engines.file.metadata import Control
from docstore.engines.file.reader import INLINE_LIMIT, Reader
from docstore.engines.file.untracked import TakesLong
from docstore.engines.file.writer import Writer
from docstore.engines.shared.fs import PathIdentity, translate_os_errors
from docstore.engines.shared.spool import spool
from docstore.errors import EngineError
from docstore.model import ANY, Document, Expectation, Meta, WriteResult

_READERS: Final = 8
_WRITERS: Final = 32
"""More than the processors: writers wait for the disk, which takes several at once better than one by one."""
_HASHERS: Final = 2
"""Each keeps a processor busy."""

_Result = TypeVar("_Result")


class File:
    """The engine of `file:` URLs; `opened` closes what opening it opened."""

    def __init__(
        self,
        control: Control,
        soon: Reader,
        reader: Reader,
        writer: Writer,
        standing: list[PathIdentity],
        opened: ExitStack,
    ) -> None:
        """`soon` is a reader that raises TakesLong."""
        self._control = control
        self._standing = standing
        self._soon = soon
        self._reader = reader
        self._writer = writer
        self._opened = opened
        self._reads = ThreadPoolExecutor(_READERS, "docstore-file-read")
        self._hashing = ThreadPoolExecutor(_HASHERS, "docstore-file-hash")
        self._writes = ThreadPoolExecutor(_WRITERS, "docstore-file-write")

    async def get(self, key: str) -> Document | None:
        return await self._read(key, lambda reader: reader.get(key))

    async def head(self, key: str) -> Meta | None:
        return await self._read(key, lambda reader: reader.head(key))

    async def put(self, request: PutRequest) -> WriteResult:
        try:
            received = await spool(request.upload, inline_limit=INLINE_LIMIT, new_path=self._control.new_temporary)
        except EngineError:
            await self.probe()
            raise
        # Nothing waits between here and the thread, which takes the temporary file over.
        return await self._write(request.key, partial(self._writer.write, request, received))

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        return await self._write(key, partial(self._writer.remove, key, expect))

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        return await self._read("", lambda reader: reader.list(prefix, after, limit))

    async def sweep(self, *, limit: int = 1000) -> int:
        return await self._write("", partial(self._writer.sweep, limit))

    async def probe(self) -> None:
        await self._write("", self._check)

    async def close(self) -> None:
        for pool in (self._writes, self._reads, self._hashing):
            await asyncio.to_thread(pool.shutdown)
        self._writer.close()
        self._opened.close()

    async def _read(self, key: str, step: Callable[[Reader], _Result]) -> _Result:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._reads, self._reading, key, partial(step, self._soon))
        except TakesLong:
            return await loop.run_in_executor(self._hashing, self._reading, key, partial(step, self._reader))

    async def _write(self, key: str, step: Callable[[], _Result]) -> _Result:
        """Runs `step` to its end even when this task is cancelled: then it has happened, whole, when this raises."""
        work = asyncio.get_running_loop().run_in_executor(self._writes, self._writing, key, step)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            while not work.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([work])
            raise

    def _reading(self, key: str, step: Callable[[], _Result]) -> _Result:
        result = self._mapping(key, step)
        if not result or isinstance(result, list):
            # Nothing is found in a folder that was removed, and nothing would tell it from an empty one.
            self._check()
        return result

    def _writing(self, key: str, step: Callable[[], _Result]) -> _Result:
        self._check()
        return self._mapping(key, step)

    def _check(self) -> None:
        """Raises StorageUnavailable when the folder, or one of the service's own, is not where it was opened."""
        for standing in self._standing:
            standing.check()

    def _mapping(self, key: str, step: Callable[[], _Result]) -> _Result:
        try:
            return step()
        except OSError:
            with translate_os_errors(self._reader.path_of(key)):
                raise
