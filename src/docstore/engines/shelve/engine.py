"""shelve: documents in a dbm file, as the original kept them, without the pickles that `shelve` itself would store.

The dbm is the best that this Python has (`shelf_records.KINDS`), or the one that the store was made with. A dbm knows
no order, so all meta is in memory, in order of key; content is read when it is asked for, whole, and checked. One
thread owns the dbm; no dbm can be shared by several. Writes that wait are applied together and synced once before any
of them is answered, and nobody reads between the two: a sync for each was rejected as slow.

What a kill -9 can do: with dbm.sqlite3 nothing, with dbm.dumb nothing to what was answered. With dbm.gnu it may come in
the middle of a change to the file's own structure: the store is refused then until gdbmtool has recovered it. Power
loss is another matter: dbm.gnu and dbm.sqlite3 wait for the disk, dbm.dumb does not. dbm.dumb writes its whole index
when a document is replaced or deleted, and never gives room back: it is for small stores.

After a write that failed the store is opened anew, and what was refused is made void in it; deletes alone may be done
though they were refused. If that fails too, the engine stops, and a write that was refused may be found done later.
"""

import asyncio
import functools
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

from docstore.content import BytesContent, read_all
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL
from docstore.engines.shared.ballast import Reserve
from docstore.engines.shared.expiring_index import ExpiringIndex
from docstore.engines.shared.storage_errors import another
from docstore.engines.shelve.jobs import Job
from docstore.engines.shelve.lock import Lock
from docstore.engines.shelve.records import KINDS, Record, Records
from docstore.errors import Conflict, CorruptData, DocstoreError, EngineError, NoSpace, OpenError, StorageUnavailable
from docstore.model import ANY, Clock, Document, Expectation, Meta, WriteResult, satisfies, version_of

SWEPT_AT_ONCE: Final = 32
"""Expired documents removed before others have their turn: dbm.dumb takes long to remove one."""

_T = TypeVar("_T")


def open_shelf(url: EngineURL, clock: Clock) -> "Shelf":
    """`shelve:PATH`; `?dbm=gnu`, `sqlite3` or `dumb` says what a new store is kept in."""
    url.refuse_options("dbm")
    kind = f"dbm.{url.options['dbm']}" if "dbm" in url.options else None
    if not url.location:
        raise OpenError("shelve: takes the path of the store, as in shelve:documents")
    if kind not in (None, *KINDS):
        raise OpenError(f"shelve: keeps no store in {kind}; there are {', '.join(KINDS)}")
    try:
        # The lock is beside the store, and a symbolic link is no second one.
        path = Path(url.location).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise OpenError(f"{url.location!r} is not a path: {error}") from error
    lock = Lock(path)
    thread = ThreadPoolExecutor(1, "docstore-shelve")
    try:
        # In its thread, because a dbm.sqlite3 is of use to nobody but the thread that opened it.
        return thread.submit(Shelf, path, kind, lock, thread, clock).result()
    except BaseException as error:
        thread.shutdown()
        lock.release(stopped_cleanly=lock.stopped_cleanly)
        if isinstance(error, EngineError):
            raise OpenError(f"can't open {error}") from error
        raise


@dataclass(frozen=True, slots=True)
class _Held:
    """Which of a document's two places holds its current version, and what is known of that."""

    number: int
    sequence: int
    meta: Meta


class Shelf:
    """The engine of `shelve:` URLs. Its asynchronous methods hand the others to its one thread."""

    def __init__(self, path: Path, kind: str | None, lock: Lock, thread: ThreadPoolExecutor, clock: Clock) -> None:
        self._path, self._lock, self._thread, self._clock = path, lock, thread, clock
        self._index: ExpiringIndex[_Held] = ExpiringIndex()
        self._waiting: deque[Job] = deque()
        self._written: dict[str, int] = {}
        self._sequence = 0
        self._closed = False
        self._broken: str | None = None
        self._records = Records(path, kind, whole=lock.stopped_cleanly)
        try:
            self._load(whole=lock.stopped_cleanly)
            self._records.sync()
            self._reserve = Reserve(path.with_name(path.name + ".reserve"))
            self._keep_reserve()
        except BaseException:
            self._records.close()
            raise

    async def get(self, key: str) -> Document | None:
        return await self._read(lambda: self._get(key))

    async def head(self, key: str) -> Meta | None:
        return await self._read(lambda: self._current(key))

    async def put(self, request: PutRequest) -> WriteResult:
        data = await read_all(request.upload)
        return await self._write(request.key, lambda: self._put(request, data))

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        return await self._write(None, lambda: self._delete(key, expect))

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        return await self._read(lambda: self._index.page(self._clock(), prefix, after, limit))

    async def sweep(self, *, limit: int = 1000) -> int:
        swept = 0
        while swept < limit:
            some = min(limit - swept, SWEPT_AT_ONCE)
            removed = await self._write(None, functools.partial(self._sweep, some))
            swept += removed
            if removed < some:
                break
        return swept

    async def probe(self) -> None:
        await self._read(lambda: None)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                await asyncio.wrap_future(self._thread.submit(self._finish))
            finally:
                self._thread.shutdown()

    async def _read(self, step: Callable[[], _T]) -> _T:
        def unless_broken() -> _T:
            if self._broken is not None:
                raise EngineError(self._broken)
            self._records.check()
            return step()

        self._refuse_when_closed()
        return await asyncio.wrap_future(self._thread.submit(unless_broken))

    async def _write(self, key: str | None, step: Callable[[], _T]) -> _T:
        self._refuse_when_closed()
        answer: Future[_T] = Future()
        self._waiting.append(Job(key, step, answer))
        # The first of these to run applies all that can be applied together; what is left waits for the next.
        self._thread.submit(self._drain)
        return await asyncio.wrap_future(answer)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise EngineError(f"{self._path} is closed")

    def _drain(self) -> None:
        # One group and no more: reads that came meanwhile have their turn, and each write has a `_drain` of its own.
        if self._waiting:
            self._apply_group()

    def _apply_group(self) -> None:
        """Applies what waits, up to the first failure, and syncs; only then is anybody answered."""
        done: list[tuple[Job, object]] = []
        refused: dict[str, int] = {}
        failed = reload = False
        self._written.clear()
        # Those that come meanwhile wait for the next group: else this one would last as long as others come.
        left = len(self._waiting)
        # A key is written once in a group: its second write would go where the version lies that was synced last.
        while left and self._waiting[0].key not in self._written and not failed:
            left, job = left - 1, self._waiting.popleft()
            if job.answer.set_running_or_notify_cancel():
                outcome, failed = self._apply(job)
                done.append((job, outcome))
                if failed and job.key in self._written:
                    refused = {job.key: self._written[job.key]}
        try:
            self._records.sync()
        except EngineError as error:
            done = [(job, another(error)) for job, _ in done]
            refused, failed, reload = self._written, True, True
        if failed:
            self._recover(refused, reload=reload)
            done = [(job, self._tried_again(job, outcome)) for job, outcome in done]
        else:
            self._keep_reserve()
        for job, outcome in done:
            job.settle(outcome)

    def _tried_again(self, job: Job, outcome: object) -> object:
        """A removal that found no room is tried once more, with the reserve given up."""
        if job.key is not None or not isinstance(outcome, NoSpace) or not self._reserve.give_up():
            return outcome
        outcome, failed = self._apply(job)
        try:
            self._records.sync()
        except EngineError as error:
            outcome, failed = error, True
        if failed:
            self._recover({}, reload=True)
        self._keep_reserve()
        return outcome

    def _keep_reserve(self) -> None:
        """Room for a removal: for the index of dbm.dumb once more, for a log of dbm.sqlite3. As much as there is."""
        if self._reserve.held() < (size := self._reserve.wanted // 2 + self._records.room_for_a_removal()):
            self._reserve.refill(size + self._reserve.wanted // 2)

    def _apply(self, job: Job) -> tuple[object, bool]:
        """The outcome of a write, and whether it failed in a way that asks for recovery."""
        if self._broken is not None:
            return EngineError(self._broken), False
        try:
            self._records.check()
            return job.step(), False
        except (Conflict, StorageUnavailable) as refusal:
            return refusal, False
        except Exception as error:
            return error, True

    def _recover(self, refused: dict[str, int], *, reload: bool) -> None:
        """Sees to it that nothing refused is found done, and that what is in memory is what is on the disk."""
        try:
            self._records.reopen()
            for key, number in refused.items():
                self._records.void(key, number)
            if reload:
                self._load(whole=False)
        except DocstoreError as error:
            self._broken = f"{self._path} has to be opened anew: {error}"

    def _finish(self) -> None:
        stopped_cleanly = False
        try:
            while self._waiting:
                self._apply_group()
            self._reserve.give_up()  # dbm.dumb may write its index once more
            self._records.close()
            self._keep_reserve()
            stopped_cleanly = self._broken is None
        finally:
            self._lock.release(stopped_cleanly=stopped_cleanly)

    def _load(self, *, whole: bool) -> None:
        """Learns all meta from the records. Raises CorruptData for a broken one; but in a store that was not
        left `whole`
        one that lies beside a good one is a write that was cut off, and made void."""
        self._index = ExpiringIndex()
        broken: list[tuple[str, int, CorruptData]] = []
        for key, number in self._records.places():
            try:
                record = self._records.read(key, number)
            except CorruptData as error:
                broken.append((key, number, error))
                continue
            if record is not None:
                self._sequence = max(self._sequence, record.sequence)
                held = self._index.get(key)
                if held is None or held.sequence < record.sequence:
                    self._index.add(_Held(number, record.sequence, record.meta))
        for key, number, reason in broken:
            if whole or self._index.get(key) is None:
                raise reason
            self._records.void(key, number)

    def _current(self, key: str) -> Meta | None:
        held = self._index.current(key, self._clock())
        return None if held is None else held.meta

    def _get(self, key: str) -> Document | None:
        held = self._index.current(key, self._clock())
        if held is None:
            return None
        record = self._records.read(key, held.number)
        if record is None or record.meta != held.meta:
            raise CorruptData(f"{self._path}: the record of {key!r} is not the one that was written")
        return Document(record.meta, BytesContent(record.content))

    def _put(self, request: PutRequest, data: bytes) -> WriteResult:
        key, fields = request.key, request.fields
        current = self._current(key)
        if not satisfies(request.expect, current):
            raise Conflict(current)
        digest = sha256(data).digest()
        modified_ns = self._clock() if request.modified_ns is None else request.modified_ns
        meta = Meta(key, version_of(digest, fields), len(data), digest, fields, modified_ns, request.expires_ns)
        held = self._index.get(key)
        number = 1 - held.number if held else 0
        self._sequence += 1
        self._written[key] = number
        self._records.write(number, Record(self._sequence, meta, data))
        self._index.add(_Held(number, self._sequence, meta))
        return WriteResult(meta, created=current is None)

    def _delete(self, key: str, expect: Expectation) -> Meta | None:
        current = self._current(key)
        if not satisfies(expect, current):
            raise Conflict(current)
        self._remove(key)
        return current

    def _sweep(self, limit: int) -> int:
        keys = self._index.expired(self._clock(), limit)
        for key in keys:
            self._remove(key)
        return len(keys)

    def _remove(self, key: str) -> None:
        held = self._index.get(key)
        if held is not None:
            # The older version goes first: a stop between the two must not bring it back.
            self._records.remove(key, 1 - held.number)
            self._records.remove(key, held.number)
            self._index.remove(key)
