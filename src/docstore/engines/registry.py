"""The registry of engines: which exist, what each guarantees, and how to open one from a URL.

An engine is registered by one `EngineKind`: how to open it, and what users and servers must know before that. A new
built-in engine is a folder and one line of `_BUILT_IN`. Engines of other packages are found through the entry point
group `docstore.engines`; the name of the entry point is the URL's scheme.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from docstore.engines.contract import Engine
from docstore.engines.shared.read_only import ReadOnlyEngine
from docstore.errors import NotWritable, OpenError, SetupError, without_password
from docstore.model import Clock

if TYPE_CHECKING:
    from docstore.engines.shared.verify import CheckStore


@dataclass(frozen=True, slots=True)
class EngineURL:
    """`scheme:location?name=value&...`, parsed. The engine interprets the options."""

    scheme: str
    location: str
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "EngineURL":
        """Raise SetupError for text that is not an engine URL."""
        scheme, colon, rest = text.partition(":")
        if not colon or not scheme:
            raise SetupError(
                f"{without_password(text)!r} is not an engine URL; one looks like sqlite:docs.db or memory:"
            )
        location, _, query = rest.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        options = dict(pairs)
        if len(options) != len(pairs):
            raise SetupError(f"{without_password(text)!r} has an option twice")
        return cls(scheme, location, options)

    def __str__(self) -> str:
        query = "&".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.scheme}:{self.location}" + (f"?{query}" if query else "")

    def refuse_options(self, *known: str) -> None:
        """Raise SetupError for an option that is not `known`, naming the engines that have it."""
        for name in self.options:
            if name not in known:
                others = [f"{scheme}:" for scheme in _BUILT_IN if name in kind_of(scheme).options]
                hint = f"; {' and '.join(others)} {'have' if len(others) > 1 else 'has'} it" if others else ""
                raise SetupError(f"{self.scheme}: has no option {name!r}{hint}")


OpenEngine = Callable[[EngineURL, Clock], Engine]
"""Opens the storage or raises OpenError; may block, and runs before anything is served."""


class Processes(Enum):
    """How many processes may have one store open at once."""

    ONE = "one"
    MANY = "many"


@dataclass(frozen=True, slots=True)
class EngineKind:
    """The registration of an engine: the only information about it before it is opened."""

    open: OpenEngine
    summary: str
    """The kind of storage: one line for a user, without the scheme."""
    example: str
    """A typical URL."""
    survives: str
    """The events that a successful write survives, in a few words."""
    processes: Processes
    streams: bool
    """Whether content is streamed in constant memory; otherwise complete documents are in memory."""
    on_disk: bool
    """Whether a URL's location is the path of its store."""
    open_read_only: "Callable[[EngineURL, Clock], ReadOnlyEngine] | None" = None
    """Opens an existing store for reading: changes and creates no file. None if the engine keeps no files."""
    own_folder: str = ""
    """The folder that the engine creates in the folder of a store; a folder without it has only other files."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The options of its URLs, with their meaning; `open` gets no others."""
    check: "CheckStore | None" = None
    """Checks a store; None for an engine without storage to check."""


_GROUP: Final = "docstore.engines"
_BUILT_IN: Final = {
    "memory": "docstore.engines.memory:MEMORY",
    "file": "docstore.engines.file:FILE",
    "shelve": "docstore.engines.shelve:SHELVE",
    "sqlite": "docstore.engines.sqlite:SQLITE",
    "postgresql": "docstore.engines.postgresql:POSTGRESQL",
    "s3": "docstore.engines.object_store:S3",
    "gs": "docstore.engines.object_store:GS",
    "az": "docstore.engines.object_store:AZ",
}


def schemes() -> list[str]:
    """Return the schemes of all installed engines, in order."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=_GROUP))})


def kind_of(scheme: str) -> EngineKind:
    """Load the engine of this scheme. Raise SetupError when there is none, or when it is broken."""
    if scheme in _BUILT_IN:
        return _load(EntryPoint(scheme, _BUILT_IN[scheme], _GROUP))
    for point in entry_points(group=_GROUP, name=scheme):
        return _load(point)
    known = ", ".join(schemes())
    raise SetupError(f"unknown engine {scheme!r}; the engines are {known}, and the URL of a server begins with http://")


def _load(point: EntryPoint) -> EngineKind:
    try:
        kind = point.load()
    except (ImportError, AttributeError) as error:
        raise SetupError(f"cannot load the engine {point.name!r} from {point.value}: {error}") from error
    if not isinstance(kind, EngineKind):
        raise SetupError(f"cannot load the engine {point.name!r}: {point.value} is not an EngineKind")
    return kind


def check_exists(url: EngineURL) -> None:
    """Raise OpenError if there is no store behind `url`: opening it would create an empty one."""
    if not store_exists(url):
        raise OpenError(f"{url.location}: no such store")


def open_engine(url: EngineURL, clock: Clock = time.time_ns) -> Engine:
    """Open the engine behind `url`. Raise SetupError for an unknown scheme or option, OpenError for failing storage."""
    kind = kind_of(url.scheme)
    url.refuse_options(*kind.options)
    return kind.open(url, clock)


def open_read_only(url: EngineURL, clock: Clock = time.time_ns) -> ReadOnlyEngine:
    """Open an existing store for reading, without changing it. Raise SetupError or OpenError."""
    kind = kind_of(url.scheme)
    url.refuse_options(*kind.options)
    return ReadOnlyEngine(kind.open(url, clock)) if kind.open_read_only is None else kind.open_read_only(url, clock)


def open_readable(url: EngineURL, clock: Clock = time.time_ns) -> Engine:
    """Open a store for writing or, if it exists and can't be written, for reading. Raise SetupError or OpenError."""
    try:
        return open_engine(url, clock)
    except NotWritable:
        if not store_exists(url):
            raise
        return open_read_only(url, clock)


def open_existing(url: EngineURL, clock: Clock = time.time_ns) -> Engine:
    """As `open_readable`, but open a folder in which the engine has created nothing for reading, and create nothing."""
    own_folder = kind_of(url.scheme).own_folder
    if own_folder and not Path(url.location, own_folder).exists():
        return open_read_only(url, clock)
    return open_readable(url, clock)


def store_exists(url: EngineURL) -> bool:
    """Whether the files of a store exist; True for an engine without files. Raise SetupError."""
    return not kind_of(url.scheme).on_disk or any(Path(f"{url.location}{end}").exists() for end in ("", ".dat"))
