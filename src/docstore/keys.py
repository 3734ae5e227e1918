"""Rules for keys: each mount has one, applied to the whole decoded key before anything else uses the key.

The original's pattern had no end anchor, so that `a/../../etc/passwd` passed. Every rule here is a full match. Keys are
compared byte for byte in UTF-8. Python compares strings by code point, which is the same order.
"""

import re
from collections.abc import Callable
from typing import Final

from docstore.errors import InvalidKey, SetupError

KeyRule = Callable[[str], None]
"""Raises InvalidKey with a reason, and returns for a valid key."""

SEGMENT_LIMIT: Final = 255
PATH_LIMIT: Final = 1024

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

is_name: Final = re.compile(r"[A-Za-z0-9_-]{1,255}").fullmatch
"""Matches a plain name, which is a valid key by every rule."""


def check_name(key: str) -> None:
    """Check the rule of the original: 1 to 255 of `A-Z a-z 0-9 _ -`."""
    if not is_name(key):
        raise InvalidKey("a key of this mount is 1 to 255 characters of A-Z a-z 0-9 _ -, because of keys=name")


def check_path(key: str) -> None:
    """Check the rule of `keys=path`: segments of 1 to 255 bytes, 1,024 bytes in all, UTF-8."""
    try:
        size = len(key.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidKey("a key must be UTF-8") from None
    if size > PATH_LIMIT:
        raise InvalidKey(f"a key is at most {PATH_LIMIT} bytes, this one is {size}")
    if _CONTROL.search(key):
        raise InvalidKey("a key must not contain control characters")
    for segment in key.split("/"):
        if segment in ("", ".", ".."):
            raise InvalidKey("a segment of a key must not be empty, '.' or '..'")
        if len(segment.encode("utf-8")) > SEGMENT_LIMIT:
            raise InvalidKey(f"a segment of a key is at most {SEGMENT_LIMIT} bytes")


KEY_RULES: Final[dict[str, KeyRule]] = {"name": check_name, "path": check_path}


def check_mount(name: str, keys: str, index: bool) -> None:
    """Raise SetupError unless `name` may be a mount's (segments that are plain names) and the options are valid."""
    segments = name.split("/")
    if not all(is_name(segment) for segment in segments):
        raise SetupError(f"{name!r} is not a mount name: segments of A-Z a-z 0-9 _ -")
    if segments[0] == "-":
        raise SetupError("a mount can't be named '-', which is reserved for the server")
    if keys not in KEY_RULES:
        raise SetupError(f"keys={keys} of mount {name!r}: there are {', '.join(KEY_RULES)}")
    if index and keys != "path":
        raise SetupError(f"index=yes of mount {name!r} needs keys=path")
