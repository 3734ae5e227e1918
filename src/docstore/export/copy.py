"""Moving documents from one place to another: between two engines, and into one from an archive.

A document keeps its content, fields and expiry, and so its version and its ETag; and its time of modification. What the
target has already, in the same version, is passed over: whoever was
interrupted starts again and goes on where it stopped.

Content is hashed on its way, and nothing is stored when it is not what its meta says: a fault of the source does not
become a sound document elsewhere. Several documents are on their way at a time, because a durable write waits for the
disk, which takes many at once nearly as fast as one.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Final

from docstore.content import Upload
from docstore.engines.contract import Engine, PutRequest, Readable
from docstore.errors import Conflict, CorruptData, DigestMismatch, DocstoreError
from docstore.model import ABSENT, ANY, Expectation, Meta

PAGE_SIZE: Final = 1000
"""Documents whose meta is in memory at a time."""

AT_ONCE: Final = 16
"""Documents on their way at a time."""

SIZE_AT_ONCE: Final = 64 * 1024 * 1024
"""Bytes of all documents on their way, which some engines hold in memory; a larger one goes alone."""

LAST_NS: Final = 253_402_300_799 * 10**9
"""The last second of the year 9999: dates in HTTP have four digits for the year."""

Moved = Callable[[int], None]
"""Is told of each piece of content that has come, in bytes."""


def to_nobody(size: int) -> None:
    """The Moved of who does not care."""


class Outcome(Enum):
    """What became of a document."""

    STORED = "stored"
    SAME = "the same already"
    EXPIRED = "expired"
    REFUSED = "refused"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Step:
    """What became of the document `key`; `why` says more of one that was not stored."""

    key: str
    outcome: Outcome
    size: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """An upload that raises DigestMismatch at its end when it is not the content that `meta` tells of."""

    upload: Upload
    meta: Meta
    moved: Moved

    @property
    def size(self) -> int:
        return self.meta.size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        state, size = hashlib.sha256(), 0
        async for chunk in self.upload:
            state.update(chunk)
            size += len(chunk)
            self.moved(len(chunk))
            yield chunk
        if size != self.meta.size or state.digest() != self.meta.digest:
            raise DigestMismatch("its content is not what was written: the digest differs")


async def listed(source: Readable, prefix: str = "") -> AsyncIterator[Meta]:
    """The meta of every document under `prefix`, in order of key."""
    after = ""
    while page := await source.list(prefix=prefix, after=after, limit=PAGE_SIZE):
        for meta in page:
            after = meta.key
            yield meta


async def copy(
    source: Readable, target: Engine, *, prefix: str = "", moved: Moved = to_nobody
) -> AsyncGenerator[Step, None]:
    """Puts every document under `prefix` into `target`, in the place of what has its key there."""

    async def works() -> AsyncIterator[Work]:
        async for meta in listed(source, prefix):
            yield Work(meta.key, meta.size, partial(_copy, source, target, meta, moved))

    async with aclosing(in_flight(works())) as steps:
        async for step in steps:
            yield step


async def _copy(source: Readable, target: Engine, meta: Meta, moved: Moved) -> Step:
    if _is_same(await target.head(meta.key), meta):
        moved(meta.size)
        return Step(meta.key, Outcome.SAME)
    try:
        document = await source.get(meta.key)
        if document is None:
            return Step(meta.key, Outcome.EXPIRED)  # or deleted, since it was listed
        return await _store(target, document.meta, document.content, ANY, moved)
    except CorruptData as error:
        return Step(meta.key, Outcome.BROKEN, why=str(error))


async def put(target: Engine, meta: Meta, upload: Upload, *, replace: bool, moved: Moved = to_nobody) -> Step:
    """Stores one document; one that is there in another version is replaced or is a refusal."""
    there = await target.head(meta.key)
    if _is_same(there, meta):
        return Step(meta.key, Outcome.SAME)
    expect: Expectation = ANY if replace else there.version if there and there.version == meta.version else ABSENT
    return await _store(target, meta, upload, expect, moved)


async def _store(target: Engine, meta: Meta, upload: Upload, expect: Expectation, moved: Moved) -> Step:
    meta = bounded(meta)
    verified = Verified(upload, meta, moved)
    try:
        written = await target.put(PutRequest.copy_of(meta, verified, expect))
    except Conflict:
        return Step(meta.key, Outcome.REFUSED, why="there is another version of it")
    except DigestMismatch as error:
        return Step(meta.key, Outcome.BROKEN, why=str(error))
    return Step(meta.key, Outcome.STORED, written.meta.size)


def bounded(meta: Meta) -> Meta:
    """Its times within what can be told of them: whoever wrote it may have had any clock."""
    expires_ns = None if meta.expires_ns is None else min(meta.expires_ns, LAST_NS)
    return replace(meta, modified_ns=min(max(meta.modified_ns, 0), LAST_NS), expires_ns=expires_ns)


def _is_same(there: Meta | None, meta: Meta) -> bool:
    # The expiry is no part of a version. A time of modification alone is not worth writing all content again.
    return there is not None and there.version == meta.version and there.expires_ns == bounded(meta).expires_ns


@dataclass(frozen=True, slots=True)
class Work:
    """A document that is to be moved, of `size` bytes that may be in memory meanwhile."""

    key: str
    size: int
    run: Callable[[], Awaitable[Step]]


async def in_flight(works: AsyncIterator[Work]) -> AsyncGenerator[Step, None]:
    """The steps of all works, in their order, several running at a time and no two on the same key.

    When the works end in a DocstoreError, or one of them does, those that run are waited for and told of first.
    """
    flight = _Flight()
    try:
        try:
            async for work in works:
                while flight.must_wait_for(work):
                    for step in await flight.land():
                        yield step
                if flight.failure is not None:
                    break
                flight.start(work)
        except DocstoreError as error:
            flight.failure = flight.failure or error
        while flight.running:
            for step in await flight.land():
                yield step
    finally:
        await flight.end()
    if flight.failure is not None:
        raise flight.failure


class _Flight:
    """The works that run, in their order, and the first of all that failed."""

    def __init__(self) -> None:
        self.running: deque[tuple[Work, asyncio.Future[Step]]] = deque()
        self.failure: DocstoreError | None = None
        self._size = 0
        self._keys: set[str] = set()

    def must_wait_for(self, work: Work) -> bool:
        """Whether one of those that run has to land before `work` starts."""
        full = len(self.running) == AT_ONCE or self._size + work.size > SIZE_AT_ONCE or work.key in self._keys
        return full and bool(self.running)

    def start(self, work: Work) -> None:
        self.running.append((work, asyncio.ensure_future(work.run())))
        self._size += work.size
        self._keys.add(work.key)

    async def land(self) -> list[Step]:
        """Waits for the oldest; its step, or nothing when it failed."""
        work, running = self.running[0]
        try:
            return [await running]
        except DocstoreError as error:
            self.failure = self.failure or error
            return []
        finally:
            self.running.popleft()
            self._size -= work.size
            self._keys.discard(work.key)

    async def end(self) -> None:
        """Cancels what still runs when nobody wants it any more, and waits for it."""
        left = [running for _, running in self.running]
        for running in left:
            running.cancel()
        await asyncio.gather(*left, return_exceptions=True)
