"""Mounts: which engine answers for which URL prefix, and the routing that follows from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from docstore.engines.contract import Engine
from docstore.errors import InvalidKey, SetupError
from docstore.keys import KEY_RULES, check_mount
from docstore.server.security.cors import Cors

DEFAULT_MAX_DOCUMENT: Final = 20 * 1024**3
"""Bytes; 20 GiB, on engines that stream."""
MEMORY_MAX_DOCUMENT: Final = 64 * 1024**2
"""Bytes; 64 MiB, on engines that hold a whole document in memory."""


@dataclass(frozen=True)
class Mount:
    """A URL prefix bound to one engine, with its options."""

    name: str
    """`docs` or `cache/ac`: the prefix without its outer slashes."""
    engine: Engine
    scheme: str = "memory"
    """The scheme of the engine's URL, for people to see."""
    keys: str = "name"
    """Which rule of `keys.KEY_RULES` its keys follow."""
    max_document: int = DEFAULT_MAX_DOCUMENT
    """Bytes of the largest document that is taken."""
    cors: Cors | None = None
    """The other sites whose pages may use it; None for no site."""
    collection_put: bool = True
    """Whether PUT to the collection stores under a new UUID, as in the original."""

    def __post_init__(self) -> None:
        check_mount(self.name, self.keys)

    @cached_property
    def prefix(self) -> str:
        return f"/{self.name}/"

    def check_key(self, key: str) -> None:
        """Raises InvalidKey."""
        KEY_RULES[self.keys](key)

    def allows(self, key: str) -> bool:
        try:
            self.check_key(key)
        except InvalidKey:
            return False
        return True


class Mounts:
    """All mounts of a store, found by path: the longest prefix wins."""

    def __init__(self, mounts: Sequence[Mount]) -> None:
        self._by_path: dict[str, Mount] = {}
        self.at: Final = self._by_path.get
        """The mount whose prefix is exactly this path and a slash, or None."""
        for mount in mounts:
            if self.at(f"/{mount.name}"):
                raise SetupError(f"the mount {mount.name!r} is given twice")
            self._by_path[f"/{mount.name}"] = mount
        self._depth = max((mount.name.count("/") + 1 for mount in mounts), default=0)

    def __iter__(self) -> Iterator[Mount]:
        return iter(self._by_path.values())

    def find(self, segments: list[str]) -> tuple[Mount, str] | None:
        """The mount that answers for a path of these segments, and the key in it ("" for the collection)."""
        for depth in range(min(self._depth, len(segments) - 1), 0, -1):
            mount = self.at(f"/{'/'.join(segments[:depth])}")
            if mount is not None:
                return mount, "/".join(segments[depth:])
        return None
