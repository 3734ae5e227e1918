"""JSON Patch (RFC 6902): a list of operations, all of which apply or none.

Neither document nor patch is changed: an operation copies the containers on the way to its place, those that an
earlier operation has not copied already, and shares all else. So a patch that fails has done nothing, and a long one
does not copy the whole document first. What a hostile patch could make expensive is counted: its operations, the
entries of the containers it copies, and the text that its `copy` operations add.

The errors, with the status of each (RFC 5789 §2.2). 409 is for what another state of the document would mend, which
reading it again can bring; 422 for what no document would:

    PatchError
    ├── MalformedPatch       400   it is not a JSON Patch at all, whatever the document
    ├── PatchConflict        409   a `test` does not hold, or a place that is named is not there, or it is no JSON
    ├── PatchNotApplicable   422   what it asks for makes no sense, whatever the document
    └── PatchTooLarge        422   it does more than is allowed. Not 413: the content of the request is not too large
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from docstore.http.json import DEPTH_LIMIT, JSON, JSONTooLarge, equal, format_json
from docstore.http.pointer import InvalidPointer, NotThere, Pointer, find, index_of, parse_pointer, step

OPERATIONS_LIMIT: Final = 1_000
"""Operations in one patch."""

COPIED_SIZE_LIMIT: Final = 1024 * 1024
"""Bytes of JSON that all `copy` operations of one patch may add together: some tenths of a second of work. A patch of a
few bytes that doubles the document with each operation comes to this limit at once, so it is near to what a patch that
is as long may bring itself."""

COPIED_ENTRIES_LIMIT: Final = 10_000_000
"""Members and elements of all containers that are copied for one patch: some tenths of a second of work."""

SHIFTED_LIMIT: Final = 50_000_000
"""Elements that all insertions into arrays and removals from them may move along, in one patch: as much work again."""

_Container: TypeAlias = "list[JSON] | dict[str, JSON]"


class PatchError(ValueError):
    """The patch was not applied; nothing was changed. The message is one line for its sender."""


class MalformedPatch(PatchError):
    """What was sent is not a patch of the announced kind."""


class PatchConflict(PatchError):
    """The document is not what the patch takes it for: a place is missing, or a `test` does not hold."""


class PatchNotApplicable(PatchError):
    """The patch is well-formed and can't be applied to any document."""


class PatchTooLarge(PatchError):
    """The patch, or what it would make of the document, is over a limit."""


@dataclass(frozen=True, slots=True)
class _Operation:
    """`source` is where `move` and `copy` take from; `value` is what `add`, `replace` and `test` name."""

    name: str
    path: Pointer
    source: Pointer
    value: JSON


def json_patch(target: JSON, patch: JSON) -> JSON:
    """`target` after all operations of `patch`; it may share parts with both. Raises a PatchError."""
    operations = _parse(patch)
    draft = _Draft(target)
    for index, operation in enumerate(operations):
        try:
            _APPLY[operation.name](draft, operation)
        except NotThere as error:
            raise PatchConflict(f"operation {index} ({operation.name}): {error}") from None
        except PatchError as error:
            raise type(error)(f"operation {index} ({operation.name}): {error}") from None
    return draft.document


def _parse(patch: JSON) -> list[_Operation]:
    """The operations; all of them are parsed before the first is applied, so 400 comes before any other status."""
    if not isinstance(patch, list):
        raise MalformedPatch("a JSON Patch is an array of operations")
    if len(patch) > OPERATIONS_LIMIT:
        raise PatchTooLarge(f"a patch has at most {OPERATIONS_LIMIT} operations, this one has {len(patch)}")
    operations = []
    for index, members in enumerate(patch):
        try:
            operations.append(_parse_operation(members))
        except (MalformedPatch, InvalidPointer) as error:
            raise MalformedPatch(f"operation {index}: {error}") from None
    return operations


def _parse_operation(members: JSON) -> _Operation:
    """Members that an operation does not know are ignored (§4)."""
    if not isinstance(members, dict):
        raise MalformedPatch("an operation is an object")
    name = members.get("op")
    if not isinstance(name, str) or name not in _APPLY:
        raise MalformedPatch(f"its op is none of {', '.join(_APPLY)}")
    if name in _WITH_VALUE and "value" not in members:
        raise MalformedPatch(f"{name} has no value")
    source = _pointer(members, "from") if name in _WITH_SOURCE else ()
    return _Operation(name, _pointer(members, "path"), source, members.get("value"))


def _pointer(members: dict[str, JSON], name: str) -> Pointer:
    text = members.get(name)
    if not isinstance(text, str):
        raise MalformedPatch(f"its {name} is not a string")
    return parse_pointer(text)


class _Draft:
    """The document so far. Containers in `_own` were copied for it and are nowhere else, so they may be changed."""

    def __init__(self, document: JSON) -> None:
        self.document = document
        self._own: dict[int, _Container] = {}
        self._entries_left = COPIED_ENTRIES_LIMIT
        self._size_left = COPIED_SIZE_LIMIT
        self._shifts_left = SHIFTED_LIMIT

    def container(self, path: Pointer) -> _Container:
        """The object or array in which the last token of `path` (not empty) is looked for, to be changed."""
        parent = self.document = self._owned(self.document)
        for token in path[:-1]:
            child = self._owned(step(parent, token))
            _set(parent, token, child)
            parent = child
        return parent

    def _owned(self, value: JSON) -> _Container:
        if not isinstance(value, dict | list):
            raise NotThere("a value on the way is neither an object nor an array")
        if id(value) in self._own:
            return value
        self._entries_left -= len(value)
        if self._entries_left < 0:
            raise PatchTooLarge(f"a patch copies at most {COPIED_ENTRIES_LIMIT} members and elements")
        copied = value.copy()
        # The entry keeps the container alive, so that no other one gets its id.
        self._own[id(copied)] = copied
        return copied

    def shift(self, array: list[JSON], index: int) -> None:
        """An element comes or goes at `index`, and all behind it move."""
        self._shifts_left -= len(array) - index
        if self._shifts_left < 0:
            raise PatchTooLarge(f"a patch moves at most {SHIFTED_LIMIT} elements of arrays along")

    def shared(self, value: JSON) -> JSON:
        """`value`, about to stand at a second place: from now on nothing in it may be changed."""
        try:
            self._size_left -= len(format_json(value, size_limit=self._size_left))
        except JSONTooLarge:
            raise PatchTooLarge(f"copies add at most {COPIED_SIZE_LIMIT} bytes, {DEPTH_LIMIT} levels deep") from None
        self._own.clear()
        return value


def _add(draft: _Draft, operation: _Operation) -> None:
    _put(draft, operation.path, operation.value)


def _put(draft: _Draft, path: Pointer, value: JSON) -> None:
    """§4.1: a member is made or replaced, an element is inserted before the index, `-` being the end."""
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
    """Replaces what is there. Raises NotThere when nothing is."""
    if isinstance(container, list):
        container[index_of(token, len(container))] = value
    else:
        step(container, token)
        container[token] = value


def _remove(draft: _Draft, operation: _Operation) -> None:
    _take(draft, operation.path)


def _take(draft: _Draft, path: Pointer) -> JSON:
    """Removes what is there and returns it."""
    if not path:
        raise PatchNotApplicable("a document without any value is no JSON; DELETE removes it")
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
        raise PatchConflict("the value there is another one")


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
