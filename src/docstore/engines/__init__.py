"""The engine contract: where documents live, and how one is opened from a URL.

An engine is a durable, ordered map from keys to documents. It never sees a header, a status or a media type's
meaning. It is handed keys that are valid paths (`keys.check_path`), of which plain names are a part, and must keep
any of them apart from any other, byte for byte. Its clock is handed to it too, so that tests can set the time.

More than the six methods is a second small protocol, asked for once with isinstance (`Sweeping`, `Probing`,
`Restoring`, `Snapshotting`, `Metered`): there is no base class, no default and no `supports_x`. An engine maps its
driver's errors to errors.py.

An engine is registered by one `EngineKind`: how it is opened, and what people and servers must know of it before
that. Those of other packages are found through the entry point group `docstore.engines`: the name is the URL's scheme.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable
from urllib.parse import parse_qsl

from docstore.content import Upload
from docstore.errors import SetupError
from docstore.model import ANY, Clock, Document, Expectation, Fields, Meta, Written

if TYPE_CHECKING:
    from docstore.engines.checking import CheckStore


class Engine(Protocol):
    """A durable, ordered map from keys to documents. Writes are atomic and linearizable per key.

    An expired document is absent for every method from the instant of its expiry on. Every method may raise an
    EngineError.
    """

    async def get(self, key: str) -> Document | None:
        """One whole version; its content stays readable while the document is replaced or deleted."""

    async def head(self, key: str) -> Meta | None: ...

    async def put(
        self,
        key: str,
        upload: Upload,
        fields: Fields,
        *,
        expires_ns: int | None = None,
        expect: Expectation = ANY,
    ) -> Written:
        """Stores all of `upload` or nothing, durably by the engine's promise before it returns.

        Raises Conflict when the state at the commit is not what `expect` says, and whatever iterating `upload`
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


@runtime_checkable
class Restoring(Protocol):
    """An engine that takes a document as modified when it was modified elsewhere: for copies and backups."""

    async def restore(self, meta: Meta, upload: Upload, *, expect: Expectation = ANY) -> Written:
        """`put` of the key, the fields and the expiry of `meta`, with its time of modification.

        What else `meta` says is not believed: size, digest and version are those of `upload`.
        """


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
    """By the measure of `room.Room.cost`."""
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


@dataclass(frozen=True, slots=True)
class EngineURL:
    """`scheme:location?name=value&...`, taken apart: the options are for whoever opens it."""

    scheme: str
    location: str
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "EngineURL":
        """Raises SetupError, in one line, for what is not an engine URL."""
        scheme, colon, rest = text.partition(":")
        if not colon or not scheme:
            raise SetupError(f"{text!r} is not an engine URL; one looks like sqlite:docs.db or memory:")
        location, _, query = rest.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        options = dict(pairs)
        if len(options) != len(pairs):
            raise SetupError(f"{text!r} gives an option twice")
        return cls(scheme, location, options)

    def __str__(self) -> str:
        query = "&".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.scheme}:{self.location}" + (f"?{query}" if query else "")

    def refuse_options(self, *known: str) -> None:
        """Raises SetupError when there is an option that nobody knows."""
        for name in self.options:
            if name not in known:
                raise SetupError(f"{self.scheme}: has no option {name!r}")


OpenEngine = Callable[[EngineURL, Clock], Engine]
"""Opens the storage or raises CannotOpen; may block, and runs before anything is served."""


class Processes(Enum):
    """How many processes may have one store open at once, each keeping every promise."""

    ONE = "one"
    MANY = "many"


@dataclass(frozen=True, slots=True)
class EngineKind:
    """All that is known of an engine before it is opened; its registration."""

    open: OpenEngine
    summary: str
    """One line for a person, without the scheme: what documents are kept in."""
    example: str
    """A URL as one would write it."""
    survives: str
    """What a write that was answered with success survives, in a few words."""
    processes: Processes
    streams: bool
    """Whether content of any size passes in constant memory; else a whole document is in memory."""
    on_disk: bool
    """Whether a URL's location is the path at which its store stands."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The options of its URLs, each with what it means; `open` is handed no others."""
    alone_with: frozenset[str] = frozenset()
    """Options with which one process only can have a store open, if several can without."""
    check: "CheckStore | None" = None
    """Looks a store over; None for an engine that keeps nothing to be checked."""

    def processes_of(self, url: EngineURL) -> Processes:
        """How many processes may have the store open as `url` says."""
        return Processes.ONE if self.alone_with & url.options.keys() else self.processes


_GROUP: Final = "docstore.engines"
_BUILT_IN: Final = {
    "memory": "docstore.engines.memory:MEMORY",
    "file": "docstore.engines.file:FILE",
    "shelve": "docstore.engines.shelf_kind:SHELVE",
    "sqlite": "docstore.engines.sqlite:SQLITE",
}


def schemes() -> list[str]:
    """The schemes of all engines that are installed, in order."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=_GROUP))})


def kind_of(scheme: str) -> EngineKind:
    """The engine of this scheme, loaded. Raises SetupError when there is none, or it is broken."""
    if scheme in _BUILT_IN:
        return _load(EntryPoint(scheme, _BUILT_IN[scheme], _GROUP))
    for point in entry_points(group=_GROUP, name=scheme):
        return _load(point)
    raise SetupError(f"no engine is called {scheme!r}; there are {', '.join(schemes())}")


def _load(point: EntryPoint) -> EngineKind:
    try:
        kind = point.load()
    except (ImportError, AttributeError) as error:
        raise SetupError(f"the engine {point.name!r} can't be loaded from {point.value}: {error}") from error
    if not isinstance(kind, EngineKind):
        raise SetupError(f"the engine {point.name!r} can't be loaded: {point.value} is no EngineKind")
    return kind


def open_engine(url: EngineURL, clock: Clock = time.time_ns) -> Engine:
    """The engine behind `url`. Raises SetupError for a scheme that is unknown, CannotOpen for storage that fails."""
    kind = kind_of(url.scheme)
    url.refuse_options(*kind.options)
    return kind.open(url, clock)
