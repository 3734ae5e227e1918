"""The engine contract.

An engine is a durable, ordered map from keys to documents. It knows no headers, statuses or media types. It gets keys
that are valid paths (`keys.check_path`; plain names are valid paths), and must distinguish all of them, byte for byte.
It also gets its clock, so that tests can set the time.

Anything beyond the six methods is another small protocol, checked with isinstance (`Recalling`, `Submitting`,
`Sweeping`, `Probing`, `Snapshotting`, `Metered`): there is no base class, no default and no `supports_x`. An engine
raises the errors of errors.py and translates its driver's.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from docstore.content import Upload
from docstore.errors import Conflict
from docstore.model import ANY, Document, Expectation, Fields, Meta, WriteResult, satisfies, version_of


@dataclass(slots=True)  # PERF: not frozen, which takes 0.7 us more of each PUT; nothing changes a request
class PutRequest:
    """A write of one document."""

    key: str
    upload: Upload
    fields: Fields
    expires_ns: int | None = None
    expect: Expectation = ANY
    modified_ns: int | None = None
    """The modification time of a copied document; None for the time of the commit."""
    guess_type: Callable[[], str] | None = None
    """Return the media type, which is known when the upload was read; None if `fields` has it."""

    @classmethod
    def copy_of(cls, meta: Meta, upload: Upload, expect: Expectation = ANY) -> "PutRequest":
        """Make the request that copies a document with its times; size, digest and version follow from `upload`."""
        return cls(meta.key, upload, meta.fields, meta.expires_ns, expect, meta.modified_ns)

    def stored_fields(self) -> Fields:
        """Return the fields to store, after the upload was read."""
        return self.fields if self.guess_type is None else Fields(self.guess_type(), self.fields.others)

    def meta(self, digest: bytes, size: int, now_ns: int) -> Meta:
        """Return the meta of the document when it is committed at `now_ns` with this content."""
        modified_ns, fields = now_ns if self.modified_ns is None else self.modified_ns, self.stored_fields()
        return Meta(self.key, version_of(digest, fields), size, digest, fields, modified_ns, self.expires_ns)


def check_expectation(expect: Expectation, current: Meta | None) -> None:
    """Raise Conflict when the current state of a document is not the expected one."""
    if not satisfies(expect, current):
        raise Conflict(current)


class Engine(Protocol):
    """A durable, ordered map from keys to documents. Writes are atomic and linearizable per key.

    An expired document is absent for every method from the instant of its expiry on. Every method may raise an
    EngineError.
    """

    async def get(self, key: str) -> Document | None:
        """Return one version; its content stays readable after the document is replaced or deleted."""

    async def head(self, key: str) -> Meta | None: ...

    async def put(self, request: PutRequest) -> WriteResult:
        """Store all of the upload or nothing, as durably as the engine guarantees.

        Raise Conflict when the state at the commit is not the expected one, and whatever iterating the upload raises;
        nothing is changed then.
        """

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        """Return the meta of the removed document, None when there was none. Raise Conflict like `put`."""

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        """Return the first `limit` documents, in bytewise order, whose keys start with `prefix` and are > `after`."""

    async def close(self) -> None:
        """Finish pending work and close the storage. Only `close` may be called afterwards; it does nothing then."""


@runtime_checkable
class Recalling(Protocol):
    """An engine that keeps documents in memory, or their files open."""

    def recall(self, key: str) -> Document | None:
        """Return what `get` would return, if that needs no waiting; else None, and the caller must `get` it.

        It counts as a read if a document is returned. Raise nothing.
        """


@runtime_checkable
class Submitting(Protocol):
    """An engine that starts a write without a coroutine: it commits writes in batches, or at once."""

    def submit(self, request: PutRequest, on_outcome: Callable[[WriteResult | Exception], None]) -> bool:
        """Start what `put` does, and return True. Return False, having begun nothing, if the caller must `put`.

        Later, the running event loop calls `on_outcome` with what `put` would return or raise. Raise nothing. An
        engine takes only uploads that are in memory (BytesContent).
        """


@runtime_checkable
class Sweeping(Protocol):
    """An engine whose expired documents take space until they are swept."""

    async def sweep(self, *, limit: int = 1000) -> int:
        """Remove at most `limit` expired documents. Return the number removed."""


@runtime_checkable
class Probing(Protocol):
    """An engine whose storage can be removed while it is open."""

    async def probe(self) -> None:
        """Raise an EngineError that names the path when the storage is not where it was opened."""


class Readable(Protocol):
    """The reading methods of an engine."""

    async def get(self, key: str) -> Document | None: ...

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]: ...


class Reader(Readable, Protocol):
    """What a storage that is opened for reading offers."""

    async def head(self, key: str) -> Meta | None: ...

    async def close(self) -> None: ...


class Snapshot(Readable, Protocol):
    """All documents as of one instant, including those that have expired since."""

    @property
    def documents(self) -> int:
        """The number of documents."""

    @property
    def size(self) -> int:
        """Bytes of content in all documents."""


@runtime_checkable
class Snapshotting(Protocol):
    """An engine that can show one state of the whole store while others write."""

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Open a snapshot of all writes acknowledged before, and no later ones. Writers do not wait for it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The size of a mount with a quota, and its hits, misses and evictions."""

    documents: int
    """Including expired ones that are not swept yet."""
    used_bytes: int
    """The sum of `Quota.cost` of all documents."""
    max_bytes: int
    evict: str | None
    """`lru`, or None if a full mount refuses writes."""
    hits: int
    """Reads that found their document."""
    misses: int
    evictions: int
    """Documents evicted to make space; removed expired documents are not counted."""


@runtime_checkable
class Metered(Protocol):
    """An engine with a quota."""

    async def usage(self) -> Usage: ...
