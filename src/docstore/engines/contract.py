"""The engine contract: where documents live.

An engine is a durable, ordered map from keys to documents. It never sees a header, a status or a media type's
meaning. It is handed keys that are valid paths (`keys.check_path`), of which plain names are a part, and must keep
any of them apart from any other, byte for byte. Its clock is handed to it too, so that tests can set the time.

More than the six methods is a second small protocol, asked for once with isinstance (`Sweeping`, `Probing`,
`Snapshotting`, `Metered`): there is no base class, no default and no `supports_x`. An engine maps its
driver's errors to errors.py.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from docstore.content import Upload
from docstore.model import ANY, Document, Expectation, Fields, Meta, WriteResult


@dataclass(frozen=True, slots=True)
class PutRequest:
    """A write of one document, as an engine takes it."""

    key: str
    upload: Upload
    fields: Fields
    expires_ns: int | None = None
    expect: Expectation = ANY
    modified_ns: int | None = None
    """The time of modification of a document that is copied from elsewhere; None for the time of the commit."""

    @classmethod
    def copy_of(cls, meta: Meta, upload: Upload, expect: Expectation = ANY) -> "PutRequest":
        """The write that restores a document with its times. Size, digest and version are those of `upload`."""
        return cls(meta.key, upload, meta.fields, meta.expires_ns, expect, meta.modified_ns)


class Engine(Protocol):
    """A durable, ordered map from keys to documents. Writes are atomic and linearizable per key.

    An expired document is absent for every method from the instant of its expiry on. Every method may raise an
    EngineError.
    """

    async def get(self, key: str) -> Document | None:
        """One whole version; its content stays readable while the document is replaced or deleted."""

    async def head(self, key: str) -> Meta | None: ...

    async def put(self, request: PutRequest) -> WriteResult:
        """Store all of the upload or nothing, durably by the engine's promise before it returns.

        Raises Conflict when the state at the commit is not the expected one, and whatever iterating the upload
        raises; nothing is changed then.
        """

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        """What was removed, None when there was nothing. Raises Conflict like `put`."""

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        """The first `limit` documents, in bytewise order of key, whose keys start with `prefix` and are > `after`."""

    async def close(self) -> None:
        """Finishes what was answered, lets go of the storage; no other method may be called after it."""


@runtime_checkable
class Sweeping(Protocol):
    """An engine whose expired documents take room until they are swept."""

    async def sweep(self, *, limit: int = 1000) -> int:
        """Removes at most `limit` expired documents for good; the number removed."""


@runtime_checkable
class Probing(Protocol):
    """An engine whose storage can be taken away while it is open."""

    async def probe(self) -> None:
        """Raises an EngineError, naming the path, when the storage is not where it was opened."""


class Readable(Protocol):
    """What can be read of an engine."""

    async def get(self, key: str) -> Document | None: ...

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]: ...


class Snapshot(Readable, Protocol):
    """All documents as they were at one instant; what expired later is among them."""

    @property
    def documents(self) -> int:
        """How many there are."""

    @property
    def size(self) -> int:
        """Bytes of all their content."""


@runtime_checkable
class Snapshotting(Protocol):
    """An engine that can show one state of the whole store, however long it is looked at and whoever writes."""

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Every write that was answered before is in it, and of each later one nothing. Writers do not wait for it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of its room a mount uses, and what that is good for."""

    documents: int
    """Those too that are expired and not yet swept."""
    used_bytes: int
    """The sum of `Quota.cost` of all documents."""
    max_bytes: int
    evict: str | None
    """`lru`, or None when a full mount refuses writes."""
    hits: int
    """Reads that found their document."""
    misses: int
    evictions: int
    """Documents that went for others; the expired are not counted."""


@runtime_checkable
class Metered(Protocol):
    """An engine that has a bound and knows what it holds."""

    async def usage(self) -> Usage: ...
