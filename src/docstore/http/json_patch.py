"""JSON Patch (RFC 6902), a list of operations of which all apply or none, and JSON Pointer (RFC 6901).

Neither document nor patch is changed: an operation copies the containers on the path to its target, unless an earlier
operation copied them, and shares the rest. So a patch that fails changes nothing, and a long one need not copy the
whole document first. Whatever a hostile patch could make expensive has a limit: operations, copied entries, moved
elements, and the size of what `copy` adds.

The errors, with the status of each (RFC 5789 §2.2): 409 where the patch could apply to another state of the document,
422 where it can't apply to any:

    PatchError
    ├── MalformedPatch       400   not a JSON Patch
    ├── PatchConflict        409   a `test` fails, a path does not exist, or the document is not JSON
    ├── PatchNotApplicable   422   an operation that no document allows
    └── PatchTooLarge        422   over a limit. Not 413: the content of the request is not too large
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from docstore.http.json import DEPTH_LIMIT, JSON, JSONTooLarge, equal, format_json

OPERATIONS_LIMIT: Final = 1_000
"""Operations in one patch."""

COPIED_SIZE_LIMIT: Final = 1024 * 1024
"""Bytes of JSON that the `copy` operations of one patch may add together: some tenths of a second of work. A patch of a
few bytes that doubles the document with each operation reaches the limit at once, so it is close to what a patch of the
largest size may carry itself."""

COPIED_ENTRIES_LIMIT: Final = 10_000_000
"""Members and elements of all containers copied for one patch: some tenths of a second of work."""

SHIFTED_LIMIT: Final = 50_000_000
"""Array elements that the insertions and removals of one patch may move: some tenths of a second of work."""

Pointer = tuple[str, ...]
"""The unescaped tokens; () is the whole document."""

_BROKEN_ESCAPE: Final = re.compile(r"~(?![01])")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,17}")

_Container: TypeAlias = "list[JSON] | dict[str, JSON]"


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


class InvalidPointer(ValueError):
    """The text is not a JSON Pointer."""


class PathNotFound(LookupError):
    """The document has no value at the pointer; the message names the token."""


def parse_pointer(text: str) -> Pointer:
    """Raise InvalidPointer for text outside the grammar of RFC 6901 §3."""
    if text == "":
        return ()
    if not text.startswith("/"):
        raise InvalidPointer("a pointer must be empty or start with '/'")
    if _BROKEN_ESCAPE.search(text):
        raise InvalidPointer("a '~' in a pointer must be followed by 0 or 1")
    # The order matters: ~01 is "~1", not "/".
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))


def find(document: JSON, pointer: Pointer) -> JSON:
    """Return the value at `pointer`. Raise PathNotFound."""
    for token in pointer:
        document = step(document, token)
    return document


def step(container: JSON, token: str) -> JSON:
    """Return the member or element that `token` names. Raise PathNotFound."""
    if isinstance(container, dict):
        if token not in container:
            raise PathNotFound(f"no member {_quoted(token)}")
        return container[token]
    if isinstance(container, list):
        return container[index_of(token, len(container))]
    raise PathNotFound(f"{_quoted(token)} is looked up in a value that is neither an object nor an array")


def index_of(token: str, size: int) -> int:
    """Return `token` as an index below `size` (§4: no leading zeros). Raise PathNotFound otherwise, for `-` too."""
    if _INDEX.fullmatch(token) is None:
        raise PathNotFound(f"{_quoted(token)} is not an array index")
    index = int(token)
    if index >= size:
        raise PathNotFound(f"index {index} is past the end")
    return index


def _quoted(token: str) -> str:
    """Return the token, shortened to fit into an error message."""
    return repr(token if len(token) <= 40 else f"{token[:40]}...")


@dataclass(frozen=True, slots=True)
class _Operation:
    """`source` is the `from` of `move` and `copy`; `value` is for `add`, `replace` and `test`."""

    name: str
    path: Pointer
    source: Pointer
    value: JSON


def json_patch(target: JSON, patch: JSON) -> JSON:
    """Return `target` after all operations of `patch`; it may share parts with both. Raise a PatchError."""
    operations = _parse(patch)
    draft = _Draft(target)
    for index, operation in enumerate(operations):
        try:
            _APPLY[operation.name](draft, operation)
        except PathNotFound as error:
            raise PatchConflict(f"operation {index} ({operation.name}): {error}") from None
        except PatchError as error:
            raise type(error)(f"operation {index} ({operation.name}): {error}") from None
    return draft.document


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
        except (MalformedPatch, InvalidPointer) as error:
            raise MalformedPatch(f"operation {index}: {error}") from None
    return operations


def _parse_operation(members: JSON) -> _Operation:
    """Unknown members are ignored (§4)."""
    if not isinstance(members, dict):
        raise MalformedPatch("an operation must be an object")
    name = members.get("op")
    if not isinstance(name, str) or name not in _APPLY:
        raise MalformedPatch(f"op must be one of {', '.join(_APPLY)}")
    if name in _WITH_VALUE and "value" not in members:
        raise MalformedPatch(f"{name} needs a value")
    source = _pointer(members, "from") if name in _WITH_SOURCE else ()
    return _Operation(name, _pointer(members, "path"), source, members.get("value"))


def _pointer(members: dict[str, JSON], name: str) -> Pointer:
    text = members.get(name)
    if not isinstance(text, str):
        raise MalformedPatch(f"{name} must be a string")
    return parse_pointer(text)


class _Draft:
    """The document so far. Containers in `_own` were copied for it and may be changed."""

    def __init__(self, document: JSON) -> None:
        self.document = document
        self._own: dict[int, _Container] = {}
        self._entries_left = COPIED_ENTRIES_LIMIT
        self._size_left = COPIED_SIZE_LIMIT
        self._shifts_left = SHIFTED_LIMIT

    def container(self, path: Pointer) -> _Container:
        """Return the parent of the target of `path` (not empty), ready to be changed."""
        parent = self.document = self._owned(self.document)
        for token in path[:-1]:
            child = self._owned(step(parent, token))
            _set(parent, token, child)
            parent = child
        return parent

    def _owned(self, value: JSON) -> _Container:
        if not isinstance(value, dict | list):
            raise PathNotFound("a value on the path is neither an object nor an array")
        if id(value) in self._own:
            return value
        self._entries_left -= len(value)
        if self._entries_left < 0:
            raise PatchTooLarge(f"a patch may copy at most {COPIED_ENTRIES_LIMIT} members and elements")
        copied = value.copy()
        # The entry keeps the container alive, so that no other object gets its id.
        self._own[id(copied)] = copied
        return copied

    def shift(self, array: list[JSON], index: int) -> None:
        """Count the elements that move when one is inserted or removed at `index`."""
        self._shifts_left -= len(array) - index
        if self._shifts_left < 0:
            raise PatchTooLarge(f"a patch may move at most {SHIFTED_LIMIT} array elements")

    def shared(self, value: JSON) -> JSON:
        """Return `value` for insertion at a second place: nothing in it may be changed any more."""
        try:
            self._size_left -= len(format_json(value, size_limit=self._size_left))
        except JSONTooLarge:
            raise PatchTooLarge(
                f"copies may add at most {COPIED_SIZE_LIMIT} bytes, {DEPTH_LIMIT} levels deep"
            ) from None
        self._own.clear()
        return value


def _add(draft: _Draft, operation: _Operation) -> None:
    _put(draft, operation.path, operation.value)


def _put(draft: _Draft, path: Pointer, value: JSON) -> None:
    """§4.1: set a member, or insert an element before the index; `-` is the end."""
    if not path:
        draft.document = value
        return
    container, last = draft.container(path), path[-1]
    if isinstance(container, dict):
        container[last] = value
    elif last == "-":
        container.append(value)
    else:
        index = index_of(last, len(container) + 1)
        draft.shift(container, index)
        container.insert(index, value)


def _set(container: _Container, token: str, value: JSON) -> None:
    """Replace an existing member or element. Raise PathNotFound."""
    if isinstance(container, list):
        container[index_of(token, len(container))] = value
    else:
        step(container, token)
        container[token] = value


def _remove(draft: _Draft, operation: _Operation) -> None:
    _take(draft, operation.path)


def _take(draft: _Draft, path: Pointer) -> JSON:
    """Remove and return a value. Raise PathNotFound."""
    if not path:
        raise PatchNotApplicable("the whole document can't be removed by a patch; use DELETE")
    container, last = draft.container(path), path[-1]
    if isinstance(container, list):
        index = index_of(last, len(container))
        draft.shift(container, index)
        return container.pop(index)
    step(container, last)
    return container.pop(last)


def _replace(draft: _Draft, operation: _Operation) -> None:
    if operation.path:
        _set(draft.container(operation.path), operation.path[-1], operation.value)
    else:
        draft.document = operation.value


def _move(draft: _Draft, operation: _Operation) -> None:
    source, path = operation.source, operation.path
    if source == path:
        find(draft.document, source)
    elif path[: len(source)] == source:
        raise PatchNotApplicable("a value can't be moved into itself")
    else:
        _put(draft, path, _take(draft, source))


def _copy(draft: _Draft, operation: _Operation) -> None:
    _put(draft, operation.path, draft.shared(find(draft.document, operation.source)))


def _test(draft: _Draft, operation: _Operation) -> None:
    if not equal(find(draft.document, operation.path), operation.value):
        raise PatchConflict("the value is different")


_APPLY: Final[dict[str, Callable[[_Draft, _Operation], None]]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}
_WITH_VALUE: Final = ("add", "replace", "test")
_WITH_SOURCE: Final = ("move", "copy")
