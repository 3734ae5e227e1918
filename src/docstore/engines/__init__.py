"""The engine contract: where documents live, and how one is opened from a URL.

An engine is a durable, ordered map from keys to documents. It never sees a header, a status or a media type's
meaning. It is handed keys that are valid paths (`keys.check_path`), of which plain names are a part, and must keep
any of them apart from any other, byte for byte. Its clock is handed to it too, so that tests can set the time.

More than the six methods is a second small protocol, asked for once with isinstance (`Sweeping`): there is no base
class, no default and no `supports_x`. An engine maps its driver's errors to errors.py.

Engines of other packages are found through the entry point group `docstore.engines`: the name is the URL's scheme,
the value a callable like `memory.open_memory`.
"""

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Final, Protocol, cast, runtime_checkable
from urllib.parse import parse_qsl

from docstore.content import Upload
from docstore.errors import SetupError
from docstore.model import ANY, Clock, Document, Expectation, Fields, Meta, Written


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

_BUILT_IN: Final = {
    "memory": ("docstore.engines.memory", "open_memory"),
    "file": ("docstore.engines.file", "open_file"),
    "shelve": ("docstore.engines.shelf", "open_shelf"),
    "sqlite": ("docstore.engines.sqlite", "open_sqlite"),
}


def schemes() -> list[str]:
    """The schemes of all engines that are installed, in order."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group="docstore.engines"))})


def open_engine(url: EngineURL, clock: Clock = time.time_ns) -> Engine:
    """The engine behind `url`. Raises SetupError for a scheme that is unknown, CannotOpen for storage that fails."""
    if url.scheme in _BUILT_IN:
        module, name = _BUILT_IN[url.scheme]
        opener = cast(OpenEngine, getattr(importlib.import_module(module), name))
        return opener(url, clock)
    for point in entry_points(group="docstore.engines", name=url.scheme):
        return cast(OpenEngine, point.load())(url, clock)
    raise SetupError(f"no engine is called {url.scheme!r}; there are {', '.join(schemes())}")
