"""The registry of engines: which there are, what each promises, and how one is opened from a URL.

An engine is registered by one `EngineKind`: how it is opened, and what people and servers must know of it before
that. Those of other packages are found through the entry point group `docstore.engines`: the name is the URL's scheme.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from docstore.engines.contract import Engine
from docstore.errors import SetupError
from docstore.model import Clock

if TYPE_CHECKING:
    from docstore.engines.shared.verify import CheckStore


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
        """Raise SetupError for an option that is not `known`, naming the engines that have it."""
        for name in self.options:
            if name not in known:
                others = [f"{scheme}:" for scheme in _BUILT_IN if name in kind_of(scheme).options]
                hint = f"; {' and '.join(others)} {'have' if len(others) > 1 else 'has'} it" if others else ""
                raise SetupError(f"{self.scheme}: has no option {name!r}{hint}")


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
    check: "CheckStore | None" = None
    """Looks a store over; None for an engine that keeps nothing to be checked."""


_GROUP: Final = "docstore.engines"
_BUILT_IN: Final = {
    "memory": "docstore.engines.memory:MEMORY",
    "file": "docstore.engines.file:FILE",
    "shelve": "docstore.engines.shelve:SHELVE",
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
    """The engine behind `url`. Raises SetupError for a scheme that is unknown, OpenError for storage that fails."""
    kind = kind_of(url.scheme)
    url.refuse_options(*kind.options)
    return kind.open(url, clock)
