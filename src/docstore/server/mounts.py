"""Mounts: which engine serves which URL prefix, opening them, and finding the mount of a path."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from docstore.config import MountOptions, MountSettings
from docstore.engines.contract import Engine, Metered, PutRequest, Recalling, Submitting
from docstore.engines.registry import kind_of
from docstore.engines.shared.read_only import ReadOnlyEngine
from docstore.errors import InvalidKey, SetupError
from docstore.keys import KEY_RULES, check_mount
from docstore.model import Document, WriteResult
from docstore.server.security.cors import CorsPolicy
from docstore.server.security.rights import Rights

log: Final = logging.getLogger("docstore")

DEFAULT_MAX_DOCUMENT: Final = 20 * 1024**3
"""Bytes; 20 GiB, on engines that stream."""
MEMORY_MAX_DOCUMENT: Final = 64 * 1024**2
"""Bytes; 64 MiB, on engines that hold a whole document in memory."""


@dataclass(frozen=True)
class Mount(MountOptions):
    """A URL prefix bound to one engine, with its options."""

    name: str
    """`docs` or `cache/ac`: the prefix without its outer slashes."""
    engine: Engine
    scheme: str = "memory"
    """The scheme of the engine's URL, for display."""
    rights: Rights | None = None
    """What the client of this request may do, which `engine` enforces; None for everything."""
    _reported: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    """The hidden name that was logged, if any."""

    def __post_init__(self) -> None:
        check_mount(self.name, self.keys, self.index)

    @cached_property
    def prefix(self) -> str:
        return f"/{self.name}/"

    @cached_property
    def size_limit(self) -> int:
        """Bytes of the largest document that the mount accepts."""
        if self.max_document is not None:
            return self.max_document
        return DEFAULT_MAX_DOCUMENT if kind_of(self.scheme).streams else MEMORY_MAX_DOCUMENT

    @cached_property
    def is_metered(self) -> bool:
        """Whether the engine has a quota."""
        # PERF: to ask a protocol takes 100,000 instructions where the answer is no, a third of a 404.
        return isinstance(self.engine, Metered)

    @cached_property
    def recall(self) -> Callable[[str], Document | None] | None:
        """`Recalling.recall` of the engine, if it has it."""
        return self.engine.recall if isinstance(self.engine, Recalling) else None

    @cached_property
    def submit(self) -> Callable[[PutRequest, Callable[[WriteResult | Exception], None]], bool] | None:
        """`Submitting.submit` of the engine, if it has it."""
        return self.engine.submit if isinstance(self.engine, Submitting) else None

    @cached_property
    def cors_policy(self) -> CorsPolicy | None:
        """The other sites whose pages may use the mount; None for no site."""
        return CorsPolicy(frozenset(self.cors)) if self.cors else None

    def check_key(self, key: str) -> None:
        """Raise InvalidKey."""
        KEY_RULES[self.keys](key)

    def allows(self, key: str) -> bool:
        try:
            self.check_key(key)
        except InvalidKey:
            return False
        return True

    def permits(self, right: str, key: str) -> bool:
        """Whether the client has this right on a key."""
        return self.rights is None or right in self.rights.on(key)

    def report_hidden(self, names: list[str]) -> None:
        """Log once that the engine holds names that the mount does not show."""
        if names and not self._reported:
            self._reported.update(names[:1])
            log.warning(
                "%s does not show %d or more names that its engine holds, such as %r: they are no keys with keys=%s",
                *(self.prefix, len(names), names[0][:100], self.keys),
            )


def open_mount(settings: MountSettings, *, create: bool = True) -> Mount:
    """Raise SetupError."""
    engine = settings.open_engine(create=create)
    options = {**settings.options(), "readonly": isinstance(engine, ReadOnlyEngine)}
    return Mount(settings.name, engine, settings.engine.scheme, **options)


class Mounts:
    """All mounts of a store, found by path: the longest prefix wins."""

    def __init__(self, mounts: Sequence[Mount]) -> None:
        self._by_path: dict[str, Mount] = {}
        self.at: Final = self._by_path.get
        """The mount whose prefix is exactly this path and a slash, or None."""
        for mount in mounts:
            if self.at(f"/{mount.name}"):
                raise SetupError(f"mount {mount.name!r} is defined twice")
            self._by_path[f"/{mount.name}"] = mount
        self._depth = max((mount.name.count("/") + 1 for mount in mounts), default=0)

    def __iter__(self) -> Iterator[Mount]:
        return iter(self._by_path.values())

    def find(self, segments: list[str]) -> tuple[Mount, str] | None:
        """Return the mount of a path with these segments, and the key in it ("" for the collection)."""
        for depth in range(min(self._depth, len(segments) - 1), 0, -1):
            mount = self.at(f"/{'/'.join(segments[:depth])}")
            if mount is not None:
                return mount, "/".join(segments[depth:])
        return None
