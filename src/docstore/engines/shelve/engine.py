"""The engine of `shelve:` URLs: all metadata is in memory; content is read from the dbm and verified on demand.

One thread owns the dbm, because dbm.sqlite3 works only in the thread that opened it, and no dbm can be shared. It
applies and syncs one write after the other. A dbm has no order, so an index in memory holds all keys.

After a failed write, the store is reopened and the write is made void in it. A delete may take effect although it
failed. If the store can't be reopened, the engine stops, and a failed write may take effect later.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

from docstore.content import BytesContent, read_all
from docstore.engines.contract import PutRequest, check_expectation
from docstore.engines.registry import EngineURL
from docstore.engines.shared.expiring_index import ExpiringIndex
from docstore.engines.shared.fs import translate_open_errors
from docstore.engines.shelve.records import DBM_MODULES, Record, RecordEntry, Records, ShelveLock
from docstore.errors import Conflict, CorruptData, DocstoreError, EngineError, NoSpace, OpenError
from docstore.model import ANY, Clock, Document, Expectation, Meta, WriteResult

SWEEP_STEP: Final = 32
"""Expired documents removed before other requests are handled: dbm.dumb takes long to remove one."""

_T = TypeVar("_T")


def open_shelve(url: EngineURL, clock: Clock) -> "Shelve":
    """Open `shelve:PATH`; `?dbm=gnu`, `sqlite3` or `dumb` chooses the dbm of a new store."""
    module = f"dbm.{url.options['dbm']}" if "dbm" in url.options else None
    if not url.location:
        raise OpenError("shelve: needs the path of a store, as in shelve:documents")
    if module not in (None, *DBM_MODULES):
        raise OpenError(f"shelve: can't use {module}; choose one of {', '.join(DBM_MODULES)}")
    with translate_open_errors(Path(url.location)):
        # The lock is beside the store, so a symbolic link must not make a second one.
        path = Path(url.location).resolve()
    lock = ShelveLock(path)
    thread = ThreadPoolExecutor(1, "docstore-shelve")
    try:
        return thread.submit(Shelve, path, module, lock, thread, clock).result()
    except BaseException as error:
        thread.shutdown()
        lock.release(clean=lock.clean)
        if isinstance(error, EngineError):
            raise OpenError(f"cannot open {error}") from error
        raise


class Shelve:
    """The engine. Its asynchronous methods hand the private ones to its thread."""

    def __init__(
        self, path: Path, module: str | None, lock: ShelveLock, thread: ThreadPoolExecutor, clock: Clock
    ) -> None:
        """To be called in `thread`. Raise OpenError or another EngineError."""
        self._path, self._lock, self._thread, self._clock = path, lock, thread, clock
        self._index: ExpiringIndex[RecordEntry] = ExpiringIndex()
        self._sequence = 0
        self._closed = False
        self._stopped: str | None = None
        """Why the engine has stopped."""
        self._last_slot: tuple[str, int] | None = None
        """Key and slot of the last put."""
        self._records = Records(path, module, clean=lock.clean)
        try:
            self._load(clean=lock.clean)
            self._records.sync()
        except BaseException:
            self._records.close()
            raise

    async def get(self, key: str) -> Document | None:
        return await self._run(lambda: self._get(key))

    async def head(self, key: str) -> Meta | None:
        return await self._run(lambda: self._current(key))

    async def put(self, request: PutRequest) -> WriteResult:
        data = await read_all(request.upload)
        return await self._run(lambda: self._write(lambda: self._put(request, data)))

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        return await self._run(lambda: self._write(lambda: self._delete(key, expect)))

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        return await self._run(lambda: self._index.page(self._clock(), prefix, after, limit))

    async def sweep(self, *, limit: int = 1000) -> int:
        swept = 0
        while swept < limit:
            step = min(limit - swept, SWEEP_STEP)
            removed = await self._run(partial(self._write, partial(self._sweep, step)))
            swept += removed
            if removed < step:
                break
        return swept

    async def probe(self) -> None:
        await self._run(lambda: None)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                await asyncio.wrap_future(self._thread.submit(self._close))
            finally:
                self._thread.shutdown()

    async def _run(self, step: Callable[[], _T]) -> _T:
        """Run `step` in the thread, unless the store can't be used."""

        def checked() -> _T:
            if self._stopped is not None:
                raise EngineError(self._stopped)
            self._records.check()
            return step()

        if self._closed:
            raise EngineError(f"{self._path} is closed")
        return await asyncio.wrap_future(self._thread.submit(checked))

    def _write(self, step: Callable[[], _T]) -> _T:
        """Run a write and sync it. If that fails, make sure that the write does not take effect later."""
        self._last_slot = None
        try:
            result = step()
        except Conflict:
            raise
        except Exception:
            self._recover(reload=False)
            raise
        try:
            self._records.sync()
        except EngineError:
            self._recover(reload=True)
            raise
        return result

    def _recover(self, *, reload: bool) -> None:
        try:
            self._records.reopen()
            if self._last_slot is not None:
                self._records.void(*self._last_slot)
            if reload:
                self._load(clean=False)
        except DocstoreError as error:
            self._stopped = f"{self._path} must be opened again: {error}"

    def _close(self) -> None:
        clean = False
        try:
            # Every acknowledged write is synced. On a full disk dbm.dumb can't write its index again, and keeps the old
            # one.
            with suppress(NoSpace):
                self._records.close()
                clean = self._stopped is None
        finally:
            self._lock.release(clean=clean)

    def _load(self, *, clean: bool) -> None:
        """Read all meta into the index. Raise CorruptData for a broken record.

        In a store that was not closed cleanly, a broken record beside a good one comes from an unfinished write,
        and is made void.
        """
        entries, broken = self._records.scan()
        for key, slot, reason in broken:
            if clean or key not in entries:
                raise reason
            self._records.void(key, slot)
        self._index = ExpiringIndex()
        for entry in entries.values():
            self._index.add(entry)
            self._sequence = max(self._sequence, entry.sequence)

    def _current(self, key: str) -> Meta | None:
        entry = self._index.current(key, self._clock())
        return None if entry is None else entry.meta

    def _get(self, key: str) -> Document | None:
        entry = self._index.current(key, self._clock())
        if entry is None:
            return None
        record = self._records.read(key, entry.slot)
        if record is None or record.meta != entry.meta:
            raise CorruptData(f"{self._path}: the record of {key!r} is not the one that was written")
        return Document(record.meta, BytesContent(record.content))

    def _put(self, request: PutRequest, data: bytes) -> WriteResult:
        key, current = request.key, self._current(request.key)
        check_expectation(request.expect, current)
        meta = request.meta(sha256(data).digest(), len(data), self._clock())
        replaced = self._index.get(key)
        slot = 1 - replaced.slot if replaced else 0
        self._sequence += 1
        self._last_slot = key, slot
        self._records.write(slot, Record(self._sequence, meta, data))
        self._index.add(RecordEntry(slot, self._sequence, meta))
        return WriteResult(meta, created=current is None)

    def _delete(self, key: str, expect: Expectation) -> Meta | None:
        current = self._current(key)
        check_expectation(expect, current)
        self._remove(key)
        return current

    def _sweep(self, limit: int) -> int:
        keys = self._index.expired(self._clock(), limit)
        for key in keys:
            self._remove(key)
        return len(keys)

    def _remove(self, key: str) -> None:
        entry = self._index.get(key)
        if entry is not None:
            # The older version goes first: a kill between the two must not bring it back.
            self._records.remove(key, 1 - entry.slot)
            self._records.remove(key, entry.slot)
            self._index.remove(key)
