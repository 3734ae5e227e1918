"""Copying documents from one store to another, or from an archive to a store: `cp`, `sync` and `import`.

A document keeps its content, fields and expiry, and therefore its version and ETag, and its modification time. What is
copied is decided before, by a comparison (`compare`), so that an interrupted copy can be run again.

Content is hashed on the way, and nothing is stored that does not match its metadata: a fault of the source does not
become a valid document elsewhere. Several documents are copied at a time, because a durable write waits for the disk,
which takes many at once nearly as fast as one.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Final, Protocol

from docstore.content import Upload
from docstore.engines.contract import Engine, PutRequest, Readable
from docstore.errors import Conflict, DigestMismatch, DocstoreError, NoSpace, PathConflict, StorageUnavailable
from docstore.model import ABSENT, ANY, Document, Expectation, Meta, WriteResult

PAGE_SIZE: Final = 1000
"""Documents whose metadata is in memory at a time."""

MAX_RUNNING: Final = 16
"""Documents that are copied at a time from or to a server, each with a connection."""

MAX_RUNNING_IN_ENGINES: Final = 128
"""Documents that are copied at a time between engines, which read and write those that wait together."""

MAX_RUNNING_BYTES: Final = 64 * 1024 * 1024
"""Their size in all, because some engines hold them in memory; a larger document is copied alone."""

ATTEMPTS: Final = 5
"""How often a document that changes while it is read is copied again."""

LAST_DATE_NS: Final = 253_402_300_799 * 10**9
"""The last second of the year 9999: dates in HTTP have four digits for the year."""

OnBytes = Callable[[int], object]
"""Called with the number of bytes after each piece of content."""


def ignore_bytes(size: int) -> None:
    """An OnBytes that does nothing."""


class StepOutcome(Enum):
    """What became of a document."""

    STORED = "stored"
    SAME = "the same already"
    EXPIRED = "expired"
    REFUSED = "refused"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Step:
    """What became of the document `key`; `why` is the reason, or the error, why it was not stored."""

    key: str
    outcome: StepOutcome
    size: int = 0
    why: str | DocstoreError = ""
    version: str = ""
    """The version that was stored."""

    @classmethod
    def broken(cls, key: str, why: str | DocstoreError) -> "Step":
        return cls(key, StepOutcome.BROKEN, why=why)

    @classmethod
    def exported(cls, meta: Meta, digest: bytes) -> "Step":
        """The step of a document that was written to an archive with content of this SHA-256."""
        if digest != meta.digest:
            return cls.broken(meta.key, "the content does not match its digest; no import will accept it")
        return cls(meta.key, StepOutcome.STORED, meta.size)


@dataclass(frozen=True, slots=True)
class VerifiedUpload:
    """An upload that raises DigestMismatch at its end if the content does not match `meta`."""

    upload: Upload
    meta: Meta
    on_bytes: OnBytes

    @property
    def size(self) -> int:
        return self.meta.size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        state, size = hashlib.sha256(), 0
        async for chunk in self.upload:
            state.update(chunk)
            size += len(chunk)
            self.on_bytes(len(chunk))
            yield chunk
        if size != self.meta.size or state.digest() != self.meta.digest:
            raise DigestMismatch("the content does not match its digest")


async def list_all(source: Readable, prefix: str = "", after: str = "") -> AsyncIterator[Meta]:
    """Yield the metadata of every document whose key begins with `prefix` and comes after `after`, in order of key."""
    while page := await source.list(prefix=prefix, after=after, limit=PAGE_SIZE):
        for meta in page:
            after = meta.key
            yield meta


class CopyTarget(Protocol):
    """The method of an engine that a copy needs of its target."""

    async def put(self, request: PutRequest) -> WriteResult: ...


class ImportTarget(CopyTarget, Protocol):
    """The methods of an engine that an import needs of its target."""

    async def head(self, key: str) -> Meta | None: ...


@dataclass(frozen=True, slots=True)
class Rooted:
    """The documents of a store whose keys begin with `root`, under the rest of their keys."""

    store: Engine
    root: str

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        after = self.root + after if after else ""
        listed = await self.store.list(prefix=self.root + prefix, after=after, limit=limit)
        return [replace(meta, key=meta.key[len(self.root) :]) for meta in listed]

    async def head(self, key: str) -> Meta | None:
        return await self.store.head(self.root + key)

    async def get(self, key: str) -> Document | None:
        return await self.store.get(self.root + key)

    async def put(self, request: PutRequest) -> WriteResult:
        return await self.store.put(replace(request, key=self.root + request.key))

    async def delete(self, key: str, *, expect: Expectation = ANY) -> None:
        await self.store.delete(self.root + key, expect=expect)


def copy_documents(
    source: Readable,
    target: CopyTarget,
    metas: Iterable[Meta],
    *,
    on_bytes: OnBytes = ignore_bytes,
    at_a_time: int = MAX_RUNNING,
) -> AsyncGenerator[Step, None]:
    """Copy these documents, replacing documents with the same keys."""

    async def tasks() -> AsyncIterator[Task]:
        for meta in metas:
            yield Task(meta.key, meta.size, partial(copy_document, source, target, meta, on_bytes))

    return run_tasks(tasks(), at_a_time)


async def copy_document(source: Readable, target: CopyTarget, meta: Meta, on_bytes: OnBytes) -> Step:
    """Copy one document. Raise an error only if all other documents would fail in the same way."""
    try:
        for _ in range(ATTEMPTS):
            document = await source.get(meta.key)
            if document is None:
                return Step(meta.key, StepOutcome.EXPIRED)  # or deleted since it was listed
            step = await _store(target, replace(document.meta, key=meta.key), document.content, ANY, on_bytes)
            if step.outcome is not StepOutcome.REFUSED:
                return step
        return Step.broken(meta.key, Conflict(None, "it changes faster than it can be copied"))
    except (NoSpace, StorageUnavailable):
        raise
    except DocstoreError as error:
        return Step.broken(meta.key, error)


async def store_document(target: ImportTarget, meta: Meta, upload: Upload, *, replace: bool, on_bytes: OnBytes) -> Step:
    """Store one document; refuse it if the target has another version, unless `replace`."""
    present = await target.head(meta.key)
    if present is not None and is_same(meta, present):
        on_bytes(meta.size)
        return Step(meta.key, StepOutcome.SAME)
    same_version = present is not None and present.version == meta.version  # with another expiry
    return await _store(target, meta, upload, ANY if replace else meta.version if same_version else ABSENT, on_bytes)


async def _store(target: CopyTarget, meta: Meta, upload: Upload, expect: Expectation, on_bytes: OnBytes) -> Step:
    meta = clamp_times(meta)
    try:
        written = await target.put(PutRequest.copy_of(meta, VerifiedUpload(upload, meta, on_bytes), expect))
    except Conflict:
        return Step(meta.key, StepOutcome.REFUSED, why="the target has another version")
    except (DigestMismatch, PathConflict) as error:
        return Step.broken(meta.key, error)
    if written.meta.version != meta.version:
        return Step.broken(meta.key, f"it was stored as version {written.meta.version} instead of {meta.version}")
    return Step(meta.key, StepOutcome.STORED, meta.size, version=meta.version)


def clamp_times(meta: Meta) -> Meta:
    """Limit the times to what HTTP can express: the clock that set them may have been wrong."""
    expires_ns = None if meta.expires_ns is None else min(meta.expires_ns, LAST_DATE_NS)
    return replace(meta, modified_ns=min(max(meta.modified_ns, 0), LAST_DATE_NS), expires_ns=expires_ns)


def is_same(meta: Meta, present: Meta, *, tolerance_ns: int = 0) -> bool:
    """Whether a document need not be copied over the present one: the version does not include the expiry.

    Another modification time alone is not worth writing all content again.
    """
    expires_ns = clamp_times(meta).expires_ns
    if expires_ns is None or present.expires_ns is None:
        return present.version == meta.version and expires_ns == present.expires_ns
    return present.version == meta.version and abs(expires_ns - present.expires_ns) <= tolerance_ns


@dataclass(frozen=True, slots=True)
class Task:
    """A document to be stored by `run`, of `size` bytes that may be in memory meanwhile."""

    key: str
    size: int
    run: Callable[[], Awaitable[Step]]


async def run_tasks(tasks: AsyncIterator[Task], at_a_time: int = MAX_RUNNING) -> AsyncGenerator[Step, None]:
    """Run several tasks at a time, never two of the same key; yield their steps in order.

    If a task, or getting the next one, raises a DocstoreError, the running tasks are finished and their steps yielded
    before it is raised.
    """
    running: deque[tuple[Task, asyncio.Future[Step]]] = deque()
    keys: set[str] = set()
    size = 0
    failures: list[DocstoreError] = []

    async def finish_oldest() -> list[Step]:
        nonlocal size
        try:
            return [await running[0][1]]
        except DocstoreError as error:
            failures.append(error)
            return []
        finally:
            task, _ = running.popleft()
            keys.remove(task.key)
            size -= task.size

    try:
        try:
            async for task in tasks:
                while running and (
                    len(running) == at_a_time or size + task.size > MAX_RUNNING_BYTES or task.key in keys
                ):
                    for step in await finish_oldest():
                        yield step
                if failures:
                    break
                running.append((task, asyncio.ensure_future(task.run())))
                keys.add(task.key)
                size += task.size
        except DocstoreError as error:
            failures.append(error)
        while running:
            for step in await finish_oldest():
                yield step
    finally:
        # The caller stopped iterating: nothing may run on.
        for _, future in running:
            future.cancel()
        await asyncio.gather(*(future for _, future in running), return_exceptions=True)
    if failures:
        raise failures[0]
