"""JSON Pointer (RFC 6901): the names and indices that lead from a JSON document to a place in it.

Whether a token is an index is not known before it meets an array: `01` is the name of a member and no index. So a
pointer is checked in two steps, its syntax alone and later against a document.
"""

import re
from typing import Final

from docstore.http.json import JSON

Pointer = tuple[str, ...]
"""The unescaped tokens; none at all for the whole document."""

_BROKEN_ESCAPE: Final = re.compile(r"~(?![01])")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,17}")


class InvalidPointer(ValueError):
    """The text is not a pointer."""


class NotThere(LookupError):
    """The pointer leads nowhere in this document; the message says at which token."""


def parse_pointer(text: str) -> Pointer:
    """Raises InvalidPointer for text that RFC 6901 §3 has no place for."""
    if text == "":
        return ()
    if not text.startswith("/"):
        raise InvalidPointer("a pointer is empty or starts with '/'")
    if _BROKEN_ESCAPE.search(text):
        raise InvalidPointer("a '~' in a pointer is followed by 0 or 1")
    # In this order, so that ~01 is "~1" and not "/".
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))


def find(document: JSON, pointer: Pointer) -> JSON:
    """The value that `pointer` leads to. Raises NotThere."""
    for token in pointer:
        document = step(document, token)
    return document


def step(container: JSON, token: str) -> JSON:
    """The member or element that `token` names. Raises NotThere."""
    if isinstance(container, dict):
        if token not in container:
            raise NotThere(f"there is no member {_shown(token)}")
        return container[token]
    if isinstance(container, list):
        return container[index_of(token, len(container))]
    raise NotThere(f"{_shown(token)} is looked for in neither an object nor an array")


def index_of(token: str, size: int) -> int:
    """The index below `size` that `token` is (§4: no leading zeros). Raises NotThere, for `-` too."""
    if _INDEX.fullmatch(token) is None:
        raise NotThere(f"{_shown(token)} is not the index of an element")
    index = int(token)
    if index >= size:
        raise NotThere(f"index {index} is beyond the end")
    return index


def _shown(token: str) -> str:
    """Short enough for a line of an answer, whatever a client has sent."""
    return repr(token if len(token) <= 40 else f"{token[:40]}...")
