"""The one thread that writes: all waiting operations become one transaction, and complete after its COMMIT.

A durable COMMIT costs one fsync whatever is in it. An operation that is refused (a DocstoreError, raised before it
changed anything) does not affect the others; one that fails midway rolls the transaction back, and each is run again
alone. When BEGIN or COMMIT fails, every operation gets that error, refused ones too: the document that refused them may
have been written by another of the batch. On a full disk each operation is tried again, alone, after all possible space
has been freed (disk_space.py), so that removals work.

A cancelled caller gets no answer, but its operation is in the batch already. So the writer and not the caller removes
blobs: a new one when its operation fails, and a replaced one after COMMIT, in a second thread, because unlinking a
gigabyte takes some 0.2 s. A COMMIT that fails with an I/O error may still be in the log after a crash: its new blobs
stay, and are removed as orphans later. Checkpoints run after the answers: SQLite's own would run inside COMMIT.
"""

import asyncio
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import apsw

from docstore.engines.shared.fs import copy_error
from docstore.engines.sqlite.blobs import BlobFolder
from docstore.engines.sqlite.disk_space import DiskSpace
from docstore.engines.sqlite.driver_errors import DRIVER_ERRORS, engine_error
from docstore.engines.sqlite.group_commit import BatchQueue
from docstore.engines.sqlite.queries import Transaction
from docstore.engines.sqlite.read_cache import ReadCache
from docstore.engines.sqlite.write_turn import WriteTurn
from docstore.errors import DocstoreError, EngineError, NoSpace, StorageUnavailable
from docstore.model import Clock

LOW_SPACE_PAUSES_S: Final = (0, 0.005, 0.01, 0.02, 0.04)
"""Pauses before each try of a commit on a full disk; all writers wait for it."""

BATCH_LIMIT: Final = 512
"""The most operations in a transaction; with documents of 64 KiB they write 32 MiB of log."""

QUEUE_LIMIT: Final = 10_000
"""The most waiting operations; a server's limit on connections is usually lower."""

CHECKPOINT_PAGES: Final = 4000
"""Pages in the log (16 MiB) from which on a checkpoint runs."""

_T = TypeVar("_T")
_log: Final = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Operation(Generic[_T]):
    """An operation, its caller and its outcome."""

    run: Callable[[Transaction], _T]
    new_blobs: Sequence[str]
    loop: asyncio.AbstractEventLoop
    on_outcome: Callable[[_T | Exception], None]
    """Called in `loop` with the result or the error."""
    result: Any = None
    error: Exception | None = None
    orphaned_files: Sequence[str] = ()
    """Blobs to remove before the operation completes: no row refers to them."""


_Batch = list[_Operation[Any]]


class _OperationFailed(Exception):
    """An operation failed midway with `error`, so the transaction must be rolled back."""

    def __init__(self, error: EngineError) -> None:
        super().__init__(str(error))
        self.error = error


class SqliteWriter:
    """The connection that writes, and the thread that uses it. Used by one event loop."""

    def __init__(
        self,
        connection: apsw.Connection,
        path: Path,
        folder: BlobFolder,
        disk_space: DiskSpace,
        turn: WriteTurn,
        read_cache: ReadCache,
        clock: Clock,
    ) -> None:
        self._connection = connection
        self._path = path
        self._folder = folder
        self._disk_space = disk_space
        self._clock = clock
        self._turn = turn
        self._read_cache = read_cache
        self._reclaiming = False
        self.unavailable: EngineError | None = None
        """Why the storage is unavailable, as of the last commit or `check`; None if it is not."""
        self._queue: BatchQueue[_Operation[Any]] = BatchQueue(BATCH_LIMIT)
        self._closing = False
        self._log_pages = 0
        connection.set_wal_hook(self._note_log_pages)
        self._remover = ThreadPoolExecutor(1, thread_name_prefix="docstore-sqlite-remover")
        self._thread = threading.Thread(target=self._work, name="docstore-sqlite-writer", daemon=True)
        self._thread.start()

    async def run(self, operation: Callable[[Transaction], _T], *, new_blob: str | None = None) -> _T:
        """Return what `operation` returns, once it is committed; `new_blob` is the new blob that it refers to.

        Raise what the operation raises, or the EngineError that prevented its commit.
        """
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        new_blobs = () if new_blob is None else (new_blob,)
        if not self.submit(operation, partial(_resolve, future), new_blobs):
            if new_blobs:
                await asyncio.to_thread(self._folder.remove, new_blobs)
            raise StorageUnavailable(
                f"{self._path} is closed" if self._closing else f"{self._path}: too many waiting writes"
            )
        return await future

    def submit(
        self,
        operation: Callable[[Transaction], _T],
        on_outcome: Callable[[_T | Exception], None],
        new_blobs: Sequence[str] = (),
    ) -> bool:
        """As `run`, but pass the result or the error to `on_outcome`. Return False if no more operations are taken."""
        # Nothing waits between this check and the queue, so nothing is queued after the end.
        if self._closing or len(self._queue) >= QUEUE_LIMIT:
            return False
        loop = asyncio.get_running_loop()
        self._queue.put(_Operation(operation, new_blobs, loop, on_outcome), loop)
        return True

    async def reclaim_space(self) -> None:
        """Return free pages of the database to the file system, after an upload that found no space."""
        self._reclaiming = True
        with suppress(EngineError):  # the caller has an error to raise already
            await self.run(lambda transaction: None)

    def check(self) -> None:
        """Raise StorageUnavailable when the database is not where it was opened. May be called in any thread."""
        self._note_unavailable(self._disk_space.check)

    def _note_unavailable(self, check: Callable[[], object]) -> None:
        try:
            check()
        except NoSpace:
            raise
        except EngineError as error:
            self.unavailable = error
            raise
        self.unavailable = None

    async def close(self) -> None:
        """Finish all waiting operations, then close the connection and end the thread."""
        if not self._closing:
            self._closing = True
            self._queue.end()
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while batch := self._queue.take():
            self._commit(batch)
            if self._reclaiming:
                self._reclaiming = False
                self._disk_space.restore()
            self._answer(batch)
            self._queue.done()
            if self._log_pages >= CHECKPOINT_PAGES:
                self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._disk_space.shrink_reserve()
        try:
            self._connection.close()
        except apsw.Error as error:
            _log.warning("%s: the log gets its checkpoint when the database is opened again: %s", self._path, error)
        self._remover.shutdown()
        self._turn.close()

    def _commit(self, batch: _Batch, *, low_space: bool = False) -> None:
        """Set the result or the error of each operation."""
        try:
            self._transact(batch, low_space=low_space)
        except _OperationFailed as failed:
            failure, one_by_one = failed.error, len(batch) > 1
        except Exception as error:
            failure, one_by_one = self._failure(error), False
        else:
            return
        self._roll_back()
        full = isinstance(failure, NoSpace) and not low_space
        if not (one_by_one or full):
            _fail(batch, failure)
            return
        for operation in batch:
            if full:
                self._commit_with_reserve(operation)
            else:
                self._commit([operation])

    def _commit_with_reserve(self, operation: _Operation[Any]) -> None:
        """Commit after freeing all possible space.

        An operation that does not grow the database is tried several times, because other programs may take that space.
        """
        self._reclaiming = True
        for pause_s in LOW_SPACE_PAUSES_S:
            time.sleep(pause_s)
            self._disk_space.release_reserve()
            self._commit([operation], low_space=True)
            if self._disk_space.grew or not isinstance(operation.error, NoSpace):
                return

    def _transact(self, batch: _Batch, *, low_space: bool) -> None:
        self._turn.take()
        try:
            self._transact_in_turn(batch, low_space=low_space)
        finally:
            self._turn.release()

    def _transact_in_turn(self, batch: _Batch, *, low_space: bool) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        # Until COMMIT, no other process changes the header.
        header, changes = self._read_cache.header(), self._connection.total_changes()
        transaction = Transaction(self._connection, self._clock)
        self._run_all(batch, transaction)
        self._note_unavailable(partial(self._disk_space.admit, low_space=low_space))
        self._log_pages = 0
        self._connection.execute("COMMIT")
        # What changes rows in another way, such as a sweep or a quota, counts more changes than keys.
        if self._log_pages and self._connection.total_changes() - changes == len(transaction.changed_keys):
            self._read_cache.note_commit(header, self._log_pages, transaction.changed_keys)

    def _run_all(self, batch: _Batch, transaction: Transaction) -> None:
        """Run each operation, then sync the names of new blobs."""
        new_blobs = False
        for operation in batch:
            transaction.orphaned_files = []
            try:
                operation.result, operation.error = operation.run(transaction), None
            except DocstoreError as refusal:
                operation.error = refusal
                operation.orphaned_files = operation.new_blobs
            except Exception as error:
                raise _OperationFailed(self._failure(error)) from error
            else:
                operation.orphaned_files = transaction.orphaned_files
                new_blobs = new_blobs or bool(operation.new_blobs)
        if new_blobs:
            self._folder.sync()

    def _roll_back(self) -> None:
        """Roll back, unless SQLite has done so by itself, as after some errors."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as error:
            _log.error("%s: cannot roll back a transaction: %s", self._path, error)

    def _failure(self, cause: Exception) -> EngineError:
        """Translate `cause`. To be called before the connection is used again."""
        if isinstance(cause, EngineError):
            return cause
        if isinstance(cause, DRIVER_ERRORS):
            failure = engine_error(cause, self._connection, self._path)
        else:
            failure = EngineError(f"{self._path}: {cause!r}")
        failure.__cause__ = cause
        return failure

    def _answer(self, batch: _Batch) -> None:
        removing = [operation for operation in batch if operation.orphaned_files]
        if removing:
            self._remover.submit(self._remove_and_answer, removing)
            batch = [operation for operation in batch if not operation.orphaned_files]
        _wake(batch)

    def _remove_and_answer(self, batch: _Batch) -> None:
        for operation in batch:
            self._folder.remove(operation.orphaned_files)
        _wake(batch)

    def _note_log_pages(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self, mode: int) -> None:
        """Run a checkpoint. A failure does no harm: the next COMMIT or close tries again."""
        try:
            self._connection.wal_checkpoint(mode=mode)
        except apsw.BusyError:
            _log.debug("%s: the log is in use, its checkpoint comes later", self._path)
        except apsw.Error as error:
            if isinstance(self._failure(error), NoSpace):
                self._disk_space.restore()
            else:
                _log.warning("%s: a checkpoint failed: %s", self._path, error)


def _fail(batch: _Batch, failure: EngineError) -> None:
    cause = failure.__cause__
    # If the log could not be written, because of a disk quota for example, it does not contain the whole transaction.
    uncertain = isinstance(cause, apsw.IOError) and getattr(cause, "extendedresult", 0) != apsw.SQLITE_IOERR_WRITE
    for operation in batch:
        operation.error = copy_error(failure)
        operation.orphaned_files = [] if uncertain else operation.new_blobs


def _wake(batch: _Batch) -> None:
    """Wake each loop once, for all its callers."""
    batches: defaultdict[asyncio.AbstractEventLoop, _Batch] = defaultdict(list)
    for operation in batch:
        batches[operation.loop].append(operation)
    for loop, answered in batches.items():
        # A closed loop has no callers left.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_answer_all, answered)


def _answer_all(batch: _Batch) -> None:
    for operation in batch:
        try:
            operation.on_outcome(operation.result if operation.error is None else operation.error)
        except Exception:
            _log.exception("the outcome of a write was not reported")


def _resolve(future: asyncio.Future[_T], outcome: _T | Exception) -> None:
    if future.done():  # cancelled
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
