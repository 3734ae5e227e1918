"""The engine of `file:` URLs: it runs the blocking reader and writer in threads.

Readers, groups of PUTs and other writers have separate threads, so that a read does not queue behind writes that wait
for the disk or for each other. Hashing has its own too: a read that needs the digest of a large untracked file starts
again in a thread that other reads do not wait for.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from typing import Final, TypeVar

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.file.file_cache import FileCache
from docstore.engines.file.metadata import MetadataFolder
from docstore.engines.file.reader import INLINE_FILE_LIMIT, FileReader
from docstore.engines.file.untracked import SlowHash
from docstore.engines.file.write_groups import WriteGroups
from docstore.engines.file.writer import FileWriter, PendingWrite
from docstore.engines.shared.fs import PathIdentity, translate_os_errors
from docstore.engines.shared.spool import hash_content, spool
from docstore.errors import EngineError
from docstore.model import ANY, Document, Expectation, Meta, WriteResult

_READERS: Final = 8
_WRITERS: Final = 32
"""More than the processors: writers wait for the disk, which handles several at once better than one by one."""
_HASHERS: Final = 2
"""Each uses a processor completely."""

_Result = TypeVar("_Result")


class File:
    """The engine of `file:` URLs. Closing it closes `opened`."""

    def __init__(
        self,
        metadata: MetadataFolder,
        quick_reader: FileReader,
        reader: FileReader,
        writer: FileWriter,
        cache: FileCache,
        folders: list[PathIdentity],
        opened: ExitStack,
    ) -> None:
        """`quick_reader` raises SlowHash."""
        self._metadata = metadata
        self._quick_reader = quick_reader
        self._reader = reader
        self._writer = writer
        self._cache = cache
        self._folders = folders
        self._opened = opened
        self._groups = WriteGroups(self._commit)
        self._read_threads = ThreadPoolExecutor(_READERS, "docstore-file-read")
        self._hash_threads = ThreadPoolExecutor(_HASHERS, "docstore-file-hash")
        self._write_threads = ThreadPoolExecutor(_WRITERS, "docstore-file-write")

    async def get(self, key: str) -> Document | None:
        document = self.recall(key)
        if document is None:
            before_ns = time.time_ns()
            found = await self._read(key, lambda reader: reader.get(key))
            if found is not None:
                document, stored = found
                self._cache.add(document, stored, before_ns)
        return document

    def recall(self, key: str) -> Document | None:
        return self._cache.get(key)

    async def head(self, key: str) -> Meta | None:
        document = self.recall(key)
        return document.meta if document is not None else await self._read(key, lambda reader: reader.head(key))

    async def put(self, request: PutRequest) -> WriteResult:
        try:
            received = await spool(
                request.upload, inline_limit=INLINE_FILE_LIMIT, new_path=self._metadata.new_temporary
            )
        except EngineError:
            await self.probe()
            raise
        # Nothing awaits between here and the group, which then owns the temporary file.
        write = PendingWrite(request, received)
        try:
            await self._groups.run(write)
        finally:
            self._cache.forget(request.key)
        return self._run(request.key, write.result)

    def submit(self, request: PutRequest, on_outcome: Callable[[WriteResult | Exception], None]) -> bool:
        upload = request.upload
        if type(upload) is not BytesContent or len(upload.data) > INLINE_FILE_LIMIT:
            return False
        self._groups.submit(PendingWrite(request, hash_content(upload.data)), partial(self._answer, on_outcome))
        return True

    def _answer(self, on_outcome: Callable[[WriteResult | Exception], None], write: PendingWrite) -> None:
        self._cache.forget(write.request.key)
        outcome: WriteResult | Exception
        try:
            outcome = self._run(write.request.key, write.result)
        except Exception as error:
            outcome = error
        on_outcome(outcome)

    def _commit(self, writes: Sequence[PendingWrite]) -> None:
        # An executor that gets no thread raises an error, but keeps the group for its next thread.
        left = [write for write in writes if write.outcome is None]
        try:
            self._check_folders()
            self._writer.write(left)
        except BaseException as error:
            for write in left:
                if write.outcome is None:
                    write.fail(error)

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        return await self._write(key, partial(self._writer.remove, key, expect))

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        return await self._read("", lambda reader: reader.list(prefix, after, limit))

    async def sweep(self, *, limit: int = 1000) -> int:
        return await self._write("", partial(self._writer.sweep, limit))

    async def probe(self) -> None:
        await self._write("", self._check_folders)

    async def close(self) -> None:
        await self._groups.close()
        for pool in (self._write_threads, self._read_threads, self._hash_threads):
            await asyncio.to_thread(pool.shutdown)
        self._cache.clear()
        self._writer.close()
        self._opened.close()

    async def _read(self, key: str, step: Callable[[FileReader], _Result]) -> _Result:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                self._read_threads, self._run_read, key, partial(step, self._quick_reader)
            )
        except SlowHash:
            return await loop.run_in_executor(self._hash_threads, self._run_read, key, partial(step, self._reader))

    async def _write(self, key: str, step: Callable[[], _Result]) -> _Result:
        """Run `step` to its end even when this task is cancelled, so that it never continues after this raised."""
        work = asyncio.get_running_loop().run_in_executor(self._write_threads, self._run_write, key, step)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            while not work.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([work])
            raise
        finally:
            self._cache.forget(key)

    def _run_read(self, key: str, step: Callable[[], _Result]) -> _Result:
        result = self._run(key, step)
        if not result or isinstance(result, list):
            # A removed folder would be listed as an empty one.
            self._check_folders()
        return result

    def _run_write(self, key: str, step: Callable[[], _Result]) -> _Result:
        self._check_folders()
        return self._run(key, step)

    def _check_folders(self) -> None:
        """Raise StorageUnavailable when the folder, or one below .docstore, is not the one that was opened."""
        for folder in self._folders:
            folder.check()

    def _run(self, key: str, step: Callable[[], _Result]) -> _Result:
        try:
            return step()
        except OSError:
            with translate_os_errors(self._reader.path_of(key)):
                raise
