"""JSON Patch (RFC 6902), a list of operations of which all apply or none, and JSON Pointer (RFC 6901).

The operations change the document in place, because the caller has just parsed it and drops it after a failure. Parts
shared with an unchanged original were rejected: they need an account of all copies. Whatever a hostile patch could make
expensive has a limit: operations, moved elements, and the size of what `copy` adds.

The errors, with the status of each (RFC 5789 §2.2): 409 where the patch could apply to another state of the document,
422 where it can't apply to any:

    PatchError
    ├── MalformedPatch       400   not a JSON Patch
    ├── PatchConflict        409   a `test` fails, a path does not exist, or the document is not JSON
    ├── PatchNotApplicable   422   an operation that no document allows
    └── PatchTooLarge        422   over a limit. Not 413: the content of the request is not too large
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from docstore.http.json import DEPTH_LIMIT, JSON, JSONTooLarge, equal, format_json, parse_json

OPERATIONS_LIMIT: Final = 1_000
"""Operations in one patch."""

COPIED_SIZE_LIMIT: Final = 1024 * 1024
"""Bytes of JSON that the `copy` operations of one patch may add together: some tenths of a second of work. A patch of a
few bytes that doubles the document with each operation reaches the limit at once, so it is close to what a patch of the
largest size may carry itself."""

SHIFTED_LIMIT: Final = 50_000_000
"""Array elements that the insertions and removals of one patch may move: some tenths of a second of work."""

Pointer = tuple[str, ...]
"""The unescaped tokens; () is the whole document."""

_BROKEN_ESCAPE: Final = re.compile(r"~(?![01])")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,17}")


class PatchError(ValueError):
    """The patch was not applied and nothing was changed. The message is one line for the client."""


class MalformedPatch(PatchError):
    """The content is not a patch of its media type."""


class PatchConflict(PatchError):
    """The patch does not fit this state of the document: a path is missing, or a `test` fails."""


class PatchNotApplicable(PatchError):
    """The patch is well-formed but applies to no document."""


class PatchTooLarge(PatchError):
    """The patch or its result is over a limit."""


def parse_pointer(text: str) -> Pointer:
    """Raise MalformedPatch for text outside the grammar of RFC 6901 §3."""
    if text == "":
        return ()
    if not text.startswith("/"):
        raise MalformedPatch("a pointer must be empty or start with '/'")
    if _BROKEN_ESCAPE.search(text):
        raise MalformedPatch("a '~' in a pointer must be followed by 0 or 1")
    # The order matters: ~01 is "~1", not "/".
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))


def find(document: JSON, pointer: Sequence[str]) -> JSON:
    """Return the value at `pointer`. Raise PatchConflict."""
    for token in pointer:
        document = step(document, token)
    return document


def step(container: JSON, token: str) -> JSON:
    """Return the member or element that `token` names. Raise PatchConflict."""
    if isinstance(container, dict):
        if token not in container:
            raise PatchConflict(f"no member {_quoted(token)}")
        return container[token]
    if isinstance(container, list):
        return container[index_of(token, len(container))]
    raise PatchConflict(f"{_quoted(token)} is looked up in a value that is neither an object nor an array")


def index_of(token: str, size: int) -> int:
    """Return `token` as an index below `size` (§4: no leading zeros). Raise PatchConflict otherwise, for `-` too."""
    if _INDEX.fullmatch(token) is None:
        raise PatchConflict(f"{_quoted(token)} is not an array index")
    index = int(token)
    if index >= size:
        raise PatchConflict(f"index {index} is past the end")
    return index


def _quoted(token: str) -> str:
    """Return the token, shortened to fit into an error message."""
    return repr(token if len(token) <= 40 else f"{token[:40]}...")


_OPERATIONS: Final = {"add": "value", "remove": "", "replace": "value", "move": "from", "copy": "from", "test": "value"}
"""The operations, and the member that each needs besides `path`."""


@dataclass(frozen=True, slots=True)
class _Operation:
    """`source` is the `from` of `move` and `copy`; `value` is for `add`, `replace` and `test`."""

    name: str
    path: Pointer
    source: Pointer
    value: JSON


def json_patch(target: JSON, patch: JSON) -> JSON:
    """Return `target` after all operations of `patch`; both may be changed, and share parts. Raise a PatchError."""
    operations = _parse(patch)
    draft = _Draft(target)
    for index, operation in enumerate(operations):
        try:
            _apply(draft, operation)
        except PatchError as error:
            raise type(error)(f"operation {index} ({operation.name}): {error}") from None
    return draft.find(())


def _parse(patch: JSON) -> list[_Operation]:
    """Parse all operations before the first is applied, so that 400 precedes any other status."""
    if not isinstance(patch, list):
        raise MalformedPatch("a JSON Patch must be an array of operations")
    if len(patch) > OPERATIONS_LIMIT:
        raise PatchTooLarge(f"{len(patch)} operations; the limit is {OPERATIONS_LIMIT}")
    operations = []
    for index, members in enumerate(patch):
        try:
            operations.append(_parse_operation(members))
        except MalformedPatch as error:
            raise MalformedPatch(f"operation {index}: {error}") from None
    return operations


def _parse_operation(members: JSON) -> _Operation:
    """Unknown members are ignored (§4)."""
    if not isinstance(members, dict):
        raise MalformedPatch("an operation must be an object")
    name = members.get("op")
    if not isinstance(name, str) or name not in _OPERATIONS:
        raise MalformedPatch(f"op must be one of {', '.join(_OPERATIONS)}")
    needed = _OPERATIONS[name]
    if needed == "value" and needed not in members:
        raise MalformedPatch(f"{name} needs a value")
    source = _pointer(members, needed) if needed == "from" else ()
    return _Operation(name, _pointer(members, "path"), source, members.get("value"))


def _pointer(members: dict[str, JSON], name: str) -> Pointer:
    text = members.get(name)
    if not isinstance(text, str):
        raise MalformedPatch(f"{name} must be a string")
    return parse_pointer(text)


class _Draft:
    """The document so far. It is the member "" of `_root`, so that the whole document is a target like any other."""

    def __init__(self, document: JSON) -> None:
        self._root: JSON = {"": document}
        self._size_left = COPIED_SIZE_LIMIT
        self._shifts_left = SHIFTED_LIMIT

    def find(self, path: Pointer) -> JSON:
        return find(self._root, ("", *path))

    def add(self, path: Pointer, value: JSON) -> None:
        """§4.1: set a member, or insert an element before the index; `-` is the end."""
        container, last = self._parent(path)
        if isinstance(container, dict):
            container[last] = value
        else:
            index = len(container) if last == "-" else index_of(last, len(container) + 1)
            self._shift(container, index)
            container.insert(index, value)

    def replace(self, path: Pointer, value: JSON) -> None:
        container, last = self._parent(path)
        if isinstance(container, dict):
            step(container, last)
            container[last] = value
        else:
            container[index_of(last, len(container))] = value

    def remove(self, path: Pointer) -> JSON:
        """Remove and return a value."""
        if not path:
            raise PatchNotApplicable("the whole document can't be removed by a patch; use DELETE")
        container, last = self._parent(path)
        if isinstance(container, dict):
            step(container, last)
            return container.pop(last)
        index = index_of(last, len(container))
        self._shift(container, index)
        return container.pop(index)

    def copy(self, source: Pointer) -> JSON:
        """Return a copy of the value at `source`, through its text: that also measures it."""
        try:
            text = format_json(self.find(source), size_limit=self._size_left)
        except JSONTooLarge:
            raise PatchTooLarge(
                f"copies may add at most {COPIED_SIZE_LIMIT} bytes, {DEPTH_LIMIT} levels deep"
            ) from None
        self._size_left -= len(text)
        return parse_json(text)

    def _parent(self, path: Pointer) -> tuple[list[JSON] | dict[str, JSON], str]:
        """Return the container of the target, and the target's name in it."""
        *parents, last = "", *path
        container = find(self._root, parents)
        if not isinstance(container, dict | list):
            raise PatchConflict("a value on the path is neither an object nor an array")
        return container, last

    def _shift(self, array: list[JSON], index: int) -> None:
        """Count the elements that move when one is inserted or removed at `index`."""
        self._shifts_left -= len(array) - index
        if self._shifts_left < 0:
            raise PatchTooLarge(f"a patch may move at most {SHIFTED_LIMIT} array elements")


def _apply(draft: _Draft, operation: _Operation) -> None:
    path, source = operation.path, operation.source
    match operation.name:
        case "add":
            draft.add(path, operation.value)
        case "remove":
            draft.remove(path)
        case "replace":
            draft.replace(path, operation.value)
        case "move" if source == path:
            draft.find(source)
        case "move" if path[: len(source)] == source:
            raise PatchNotApplicable("a value can't be moved into itself")
        case "move":
            draft.add(path, draft.remove(source))
        case "copy":
            draft.add(path, draft.copy(source))
        case "test" if not equal(draft.find(path), operation.value):
            raise PatchConflict("the value is different")
