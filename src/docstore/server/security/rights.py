"""Rights: what a client may do in a mount, as a pure value.

    read      GET and HEAD of a document
    list      listings, which show keys and metadata
    create    store a document under a key that has none
    replace   store over a document; also its fields and its TTL
    delete    delete a document

PATCH needs `replace` and `read`, because its result depends on the content, and a `test` operation asks for it.
`create` alone is append-only. GuardedEngine enforces the rights on every way to a mount's documents; the checks here
come first, so that a request is rejected before its body is read and before anything is looked up.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from docstore.model import ABSENT, Expectation, Meta
from docstore.server.errors import HTTPProblem

RIGHTS: Final = ("read", "list", "create", "replace", "delete")
ALL_RIGHTS: Final = frozenset(RIGHTS)
READING: Final = frozenset({"read", "list"})
ANONYMOUS_RIGHTS: Final = {None: frozenset[str](), "read": READING, "write": ALL_RIGHTS}
"""The rights of clients without a token, by the setting `anonymous`."""

_STORING: Final = frozenset({"create", "replace"})


@dataclass(frozen=True, slots=True)
class Rights:
    """The rights of one client in one mount."""

    prefix: str
    below: frozenset[str]
    """The rights for keys that begin with `prefix`; they include those of `everywhere`."""
    everywhere: frozenset[str]
    """The rights for all keys."""
    denial: Callable[[str], HTTPProblem]
    """Makes the problem for the names of missing rights: 401 or 403."""
    is_key: bool = False
    """Whether the rights of `below` are for the key that `prefix` is, and for no other."""

    def on(self, key: str) -> frozenset[str]:
        within = key == self.prefix if self.is_key else key.startswith(self.prefix)
        return self.below if within else self.everywhere

    def missing(self, *names: str) -> HTTPProblem:
        return self.denial(", ".join(names))

    def require(self, right: str, key: str) -> None:
        """Raise HTTPProblem."""
        if right not in self.on(key):
            raise self.missing(right)

    def require_read(self, key: str) -> None:
        """Raise HTTPProblem: 404 if the client may not even list the key, whether or not there is a document."""
        held = self.on(key)
        if "read" not in held:
            raise self.missing("read") if "list" in held else HTTPProblem("not-found")

    def missing_for(self, method: str, key: str) -> list[str]:
        """Return the rights that an unsafe method needs on a key ("" for the collection) and the client lacks."""
        held = self.on(key)
        if method == "DELETE":
            needed: Iterable[str] = ("delete",)
        elif method == "PATCH":
            needed = ("read", "replace")
        elif not key:
            needed = ("create",)
        else:
            # Which of the two is needed depends on the document.
            needed = () if held & _STORING else ("create", "replace")
        return [right for right in needed if right not in held]

    def check_unsafe(self, method: str, key: str) -> None:
        """Raise HTTPProblem if the client may not perform this unsafe method, whatever the state of the document."""
        if missing := self.missing_for(method, key):
            raise self.missing(*missing)

    def listed_prefix(self, prefix: str) -> str | None:
        """Return the prefix of the keys that a listing of `prefix` may show; None for no key. Raise HTTPProblem."""
        if "list" in self.everywhere:
            return prefix
        if "list" not in self.below or self.is_key:
            raise self.missing("list")
        if prefix.startswith(self.prefix):
            return prefix
        return self.prefix if self.prefix.startswith(prefix) else None

    def shows_state(self, key: str) -> bool:
        """Whether the client may learn the version of a document."""
        return not self.on(key).isdisjoint(READING)

    def stores_freely(self, key: str) -> bool:
        """Whether the client may store a document whether or not there is one."""
        return self.on(key) >= _STORING

    def narrow(self, key: str, expect: Expectation, current: Meta | None) -> Expectation:
        """Return what a write must expect at its commit, so that it only creates or only replaces.

        `current` is the state that the caller has looked up. Raise HTTPProblem for a state that the client may not
        change.
        """
        held = self.on(key)
        if self.stores_freely(key):
            return expect
        if current is None:
            if "create" not in held:
                raise self.missing("create")
            return ABSENT
        if "replace" not in held:
            raise self.missing("replace")
        return current.version
