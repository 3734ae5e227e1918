"""The one thread that writes: all operations that wait become one transaction, answered after its COMMIT.

A durable COMMIT costs one fsync however much is in it, so under load the cost of a write falls by the size of the
batch. Operations run in the order they came. One that is refused (a DocstoreError, raised before it changed anything)
leaves its neighbours alone. One that breaks the transaction makes it start again, each operation in one of its own.
When BEGIN or COMMIT fails all of the batch get that error, those that were refused too: what refused them may have been
written by a neighbour, and then never was. Where there is no room they have another try, each alone, after all room has
been made that can be (`headroom`): what removes has to be possible on a full disk.

A caller that is cancelled is only not answered: its operation is in the batch already. So the writer and not the
caller looks after sealed files: it removes a new one when its operation fails, and an old one after COMMIT. The kernel
takes some 0.2 s to unlink a gigabyte, so a second thread does it, and answers those operations when it has. A COMMIT
that fails with an I/O error may yet be found in the log after a crash: its new files stay, to be collected later.

The log is written back after the answers, by the size it has grown to. SQLite's own checkpointing would do it inside
COMMIT, at the cost of those who wait for it.
"""

import asyncio
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import apsw

from docstore.engines.shared.fs import copy_error
from docstore.engines.sqlite.blobs import SealedFolder
from docstore.engines.sqlite.disk_space import Headroom
from docstore.engines.sqlite.driver_errors import DRIVER_ERRORS, engine_error
from docstore.engines.sqlite.group_commit import Batches
from docstore.engines.sqlite.queries import Transaction
from docstore.errors import DocstoreError, EngineError, NoSpace, StorageUnavailable
from docstore.model import Clock

PRESSED_PAUSES_S: Final = (0, 0.005, 0.01, 0.02, 0.04)
"""Before each try of a commit on a full disk; all who write wait for it."""

BATCH_LIMIT: Final = 512
"""The most operations in a transaction: with documents of 64 KiB, 32 MiB of log."""

WAITING_LIMIT: Final = 10_000
"""The most operations that wait; each is held by a caller, so a server's limit on connections comes first."""

CHECKPOINT_PAGES: Final = 4000
"""Pages in the log (16 MiB) from which on it is written back."""

T = TypeVar("T")
_log: Final = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Waiting(Generic[T]):
    """An operation, with who waits for it and what came out."""

    operation: Callable[[Transaction], T]
    sealed: str | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[T]
    result: Any = None
    error: Exception | None = None
    unnamed: list[str] = field(default_factory=list)
    """Sealed files to remove before the answer: no row names them."""

    def own_file(self) -> list[str]:
        return [] if self.sealed is None else [self.sealed]

    def answer(self) -> None:
        """Runs on the loop that waits."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


_Batch = list[_Waiting[Any]]


class _Broken(Exception):
    """An operation failed midway with `error`: what it changed must go, and with it the transaction."""

    def __init__(self, error: EngineError) -> None:
        super().__init__(str(error))
        self.error = error


class Writer:
    """Owns the connection that writes, and the thread that uses it. Used by one event loop."""

    def __init__(
        self, connection: apsw.Connection, path: Path, folder: SealedFolder, headroom: Headroom, clock: Clock
    ) -> None:
        self._connection = connection
        self._path = path
        self._folder = folder
        self._headroom = headroom
        self._clock = clock
        self._short_of_room = False
        self.gone: EngineError | None = None
        """Why nothing can be read or written, as it was found at the last commit or by `check`."""
        self._queue: Batches[_Waiting[Any]] = Batches(BATCH_LIMIT)
        self._closing = False
        self._log_pages = 0
        connection.set_wal_hook(self._note_log_pages)
        self._remover = ThreadPoolExecutor(1, thread_name_prefix="docstore-sqlite-remover")
        self._thread = threading.Thread(target=self._work, name="docstore-sqlite-writer", daemon=True)
        self._thread.start()

    async def run(self, operation: Callable[[Transaction], T], *, sealed: str | None = None) -> T:
        """What `operation` returned, once it is committed; `sealed` names the new file that it refers to.

        Raises what the operation raises, or the EngineError that kept it from being committed.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        waiting = _Waiting(operation, sealed, loop, future)
        # Nothing waits between this check and the queue, so nothing is queued behind the end.
        if self._closing or len(self._queue) >= WAITING_LIMIT:
            if sealed is not None:
                await asyncio.to_thread(self._folder.remove, [sealed])
            raise StorageUnavailable(
                f"{self._path} is closed" if self._closing else f"{self._path}: too many writes wait"
            )
        self._queue.put(waiting, loop)
        return await future

    async def make_room(self) -> None:
        """After an upload that found none: gives back what is free in the database, as far as it goes."""
        self._short_of_room = True
        with suppress(EngineError):  # who asks has an error to raise already
            await self.run(lambda transaction: None)

    def check(self) -> None:
        """Raises StorageUnavailable when the database is not where it was opened. In any thread."""
        try:
            self._headroom.check()
        except EngineError as error:
            self.gone = error
            raise
        self.gone = None

    async def close(self) -> None:
        """Finishes all that waits, then closes the connection and ends the thread."""
        if not self._closing:
            self._closing = True
            self._queue.end()
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while batch := self._queue.take():
            self._commit(batch)
            if self._short_of_room:
                self._short_of_room = False
                self._headroom.restore()
            self._answer(batch)
            self._queue.done()
            if self._log_pages >= CHECKPOINT_PAGES:
                self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._headroom.settle()
        try:
            self._connection.close()
        except apsw.Error as error:
            _log.warning("%s: the log is written back when the database is opened again: %s", self._path, error)
        self._remover.shutdown()

    def _commit(self, batch: _Batch, *, pressed: bool = False) -> None:
        """Gives each of the batch its result or its error."""
        try:
            self._transact(batch, pressed=pressed)
        except _Broken as broken:
            failure, apart = broken.error, len(batch) > 1
        except Exception as error:
            failure, apart = self._failure(error), False
        else:
            return
        self._roll_back()
        full = isinstance(failure, NoSpace) and not pressed
        if not (apart or full):
            _fail(batch, failure)
            return
        for waiting in batch:
            if full:
                self._commit_pressed(waiting)
            else:
                self._commit([waiting])

    def _commit_pressed(self, waiting: _Waiting[Any]) -> None:
        """With all room that can be made. What makes nothing grow tries again: others may have taken the room."""
        self._short_of_room = True
        for pause_s in PRESSED_PAUSES_S:
            time.sleep(pause_s)
            self._headroom.press()
            self._commit([waiting], pressed=True)
            if self._headroom.grew or not isinstance(waiting.error, NoSpace):
                return

    def _transact(self, batch: _Batch, *, pressed: bool) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        transaction = Transaction(self._connection, self._clock)
        try:
            self._operate(batch, transaction)
            self._admit(pressed=pressed)
            self._connection.execute("COMMIT")
        except BaseException:
            for undo in transaction.undoing:
                undo()
            raise

    def _operate(self, batch: _Batch, transaction: Transaction) -> None:
        """Carries out each of the batch; what a row names is on the disk when it returns."""
        new_files = False
        for waiting in batch:
            transaction.unnamed = []
            try:
                waiting.result, waiting.error = waiting.operation(transaction), None
            except DocstoreError as refusal:
                waiting.error = refusal
                waiting.unnamed = waiting.own_file()
            except Exception as error:
                raise _Broken(self._failure(error)) from error
            else:
                waiting.unnamed = transaction.unnamed
                new_files = new_files or waiting.sealed is not None
        if new_files:
            self._folder.sync()

    def _admit(self, *, pressed: bool) -> None:
        try:
            self._headroom.admit(pressed=pressed)
        except NoSpace:
            raise
        except EngineError as error:
            self.gone = error
            raise
        self.gone = None

    def _roll_back(self) -> None:
        """SQLite has rolled back by itself after some errors."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as error:
            _log.error("%s: a transaction can't be rolled back: %s", self._path, error)

    def _failure(self, cause: Exception) -> EngineError:
        """What `cause` means; to be asked before the connection is used again."""
        if isinstance(cause, EngineError):
            return cause
        if isinstance(cause, DRIVER_ERRORS):
            failure = engine_error(cause, self._connection, self._path)
        else:
            failure = EngineError(f"{self._path}: {cause!r}")
        failure.__cause__ = cause
        return failure

    def _answer(self, batch: _Batch) -> None:
        removing = [waiting for waiting in batch if waiting.unnamed]
        if removing:
            self._remover.submit(self._remove_and_answer, removing)
            batch = [waiting for waiting in batch if not waiting.unnamed]
        _wake(batch)

    def _remove_and_answer(self, batch: _Batch) -> None:
        for waiting in batch:
            self._folder.remove(waiting.unnamed)
        _wake(batch)

    def _note_log_pages(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self, mode: int) -> None:
        """Writes the log back. It harms nothing when it fails: the next COMMIT or the next to close tries again."""
        try:
            self._connection.wal_checkpoint(mode=mode)
        except apsw.BusyError:
            _log.debug("%s: the log is in use, it is written back later", self._path)
        except apsw.Error as error:
            if isinstance(self._failure(error), NoSpace):
                self._headroom.restore()
            else:
                _log.warning("%s: the log can't be written back: %s", self._path, error)


def _fail(batch: _Batch, failure: EngineError) -> None:
    cause = failure.__cause__
    # A log that could not be written, for a quota say, has no end of this transaction in it.
    uncertain = isinstance(cause, apsw.IOError) and getattr(cause, "extendedresult", 0) != apsw.SQLITE_IOERR_WRITE
    for waiting in batch:
        waiting.error = copy_error(failure)
        waiting.unnamed = [] if uncertain else waiting.own_file()


def _wake(batch: _Batch) -> None:
    """Wakes each loop once for all who wait on it."""
    batches: defaultdict[asyncio.AbstractEventLoop, _Batch] = defaultdict(list)
    for waiting in batch:
        batches[waiting.loop].append(waiting)
    for loop, answered in batches.items():
        # A loop that is closed has nobody left who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_answer_all, answered)


def _answer_all(batch: _Batch) -> None:
    for waiting in batch:
        waiting.answer()
