"""The engine of `sqlite:` URLs with `max_bytes`: it counts reads and has the writer enforce the quota.

Access times are written by each sweep, when many are noted, and on close: a kill loses at most the uses between two
sweeps. A quota lower than before holds from the start: opening evicts down to it, some documents at a time. Without
`evict` all documents stay, and writes that grow are refused.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from docstore.engines.contract import PutRequest, Usage
from docstore.engines.shared.quota import Quota, admit_upload
from docstore.engines.shared.spool import SpooledUpload
from docstore.engines.sqlite.driver_errors import driver_errors
from docstore.engines.sqlite.engine import Sqlite
from docstore.engines.sqlite.queries import Transaction
from docstore.engines.sqlite.quota import (
    ACCESSES_LIMIT,
    AccessTimes,
    QuotaWriter,
    create_quota_tables,
    last_access_ns,
    over_quota,
    quota_tables_exist,
    used_bytes,
)
from docstore.errors import EngineError, NoSpace, OpenError
from docstore.model import Clock, Document, Meta, WriteResult

EVICTED_AT_ONCE: Final = 1000
"""Documents that one transaction evicts while a database is opened."""

_log: Final = logging.getLogger(__name__)


class BoundedSqlite(Sqlite):
    """One database with a quota. All its processes share the size of its documents and the counts of reads."""

    def __init__(self, path: Path, clock: Clock, quota: Quota) -> None:
        """Raise OpenError, OSError or apsw.Error."""
        self._quota = quota
        self._accesses = AccessTimes(clock)
        self._quota_writer = QuotaWriter(quota, self._accesses)
        self._writing_accesses: asyncio.Task[None] | None = None
        super().__init__(path, clock)
        # The writer needs an event loop, and that of the caller, if any, must not run meanwhile.
        with ThreadPoolExecutor(1, thread_name_prefix="docstore-sqlite-quota") as thread:
            thread.submit(asyncio.run, self._apply_quota()).result()

    async def _apply_quota(self) -> None:
        """Create the tables and evict down to the quota. When this fails, close the engine and raise."""
        try:
            if not quota_tables_exist(self._reading):
                await self._writer.run(lambda transaction: create_quota_tables(transaction.connection))
            if self._quota.evict and over_quota(self._reading, self._quota):
                while await self._remove(self._quota_writer.evict_oversized, EVICTED_AT_ONCE):
                    pass
            while self._quota.evict and over_quota(self._reading, self._quota):
                await self._remove(self._quota_writer.evict, EVICTED_AT_ONCE)
            self._accesses.next_ns(last_access_ns(self._reading))
        except BaseException as error:
            await super().close()
            if isinstance(error, NoSpace):
                hint = "open it without max_bytes and delete something first"
                raise OpenError(f"{self._path}: no disk space to apply max_bytes; {hint}") from error
            raise

    async def get(self, key: str) -> Document | None:
        document = await super().get(key)
        if document is None:
            self._accesses.misses += 1
        else:
            self._accesses.hits += 1
            self._note(key)
        return document

    def recall(self, key: str) -> Document | None:
        document = super().recall(key)
        if document is not None:
            self._accesses.hits += 1
            self._note(key)
        return document

    async def head(self, key: str) -> Meta | None:
        meta = await super().head(key)
        if meta is not None:
            self._note(key)
        return meta

    def _note(self, key: str) -> None:
        if self._quota.evict:
            self._accesses.note(key)
            if len(self._accesses) >= ACCESSES_LIMIT:
                self._start_writing_accesses()

    def _start_writing_accesses(self) -> asyncio.Task[None]:
        """Write in a separate task, one at a time, so that cancelling a caller does not cancel it."""
        if self._writing_accesses is None:
            self._writing_accesses = asyncio.create_task(self._write_accesses(), name="docstore-sqlite-accesses")
        return self._writing_accesses

    async def _write_accesses(self) -> None:
        try:
            self._accesses.forget(*await self._writer.run(self._quota_writer.write_accesses))
        except EngineError as error:
            _log.warning("%s: cannot write the access times of documents: %s", self._path, error)
        finally:
            self._writing_accesses = None

    async def sweep(self, *, limit: int = 1000) -> int:
        if self._accesses:
            await asyncio.shield(self._start_writing_accesses())
        return await super().sweep(limit=limit)

    async def put(self, request: PutRequest) -> WriteResult:
        admitted = await admit_upload(self._quota, request, self._used_bytes, super().head, super().sweep)
        return await super().put(admitted)

    def submit(self, request: PutRequest, on_outcome: Callable[[WriteResult | Exception], None]) -> bool:
        return False  # an upload that does not fit must not reach the writer

    def _put(self, transaction: Transaction, request: PutRequest, received: SpooledUpload) -> WriteResult:
        return self._quota_writer.put(transaction, request, received)

    async def usage(self) -> Usage:
        with driver_errors(self._reading, self._path):
            return self._quota_writer.usage(self._reading)

    async def _used_bytes(self) -> int:
        with driver_errors(self._reading, self._path):
            return used_bytes(self._reading, self._quota)

    async def close(self) -> None:
        if self._writing_accesses is not None:
            await self._writing_accesses
        if self._accesses:
            await self._write_accesses()
        await super().close()
