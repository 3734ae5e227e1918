"""The path of a request target: dot segments, percent-encoding, and back (RFC 3986).

Dot segments go before anything is looked up, encoded ones too, and a decoded segment is never split or decoded again:
`%252e` is the three characters `%2e`. What is not UTF-8 is refused; overlong forms are not UTF-8.
"""

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


class InvalidTarget(ValueError):
    """The path can't be decoded; the message says why."""


def segments(path: str) -> list[str]:
    """The decoded segments of an absolute path, without dot segments (RFC 3986 §5.2.4).

    The path `/` has one empty segment; a trailing slash, or a dot segment at the end, leaves an empty last one.
    Characters of `path` stand for the bytes that came over the wire (latin-1). Raises InvalidTarget.
    """
    if not path.startswith("/"):
        raise InvalidTarget("a path starts with '/'")
    kept: list[str] = []
    parts = path.split("/")[1:]
    for index, part in enumerate(parts):
        segment = _decode(part)
        last = index == len(parts) - 1
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
            continue
        if last:
            kept.append("")
    return kept


def _decode(part: str) -> str:
    if _BROKEN_ESCAPE.search(part):
        raise InvalidTarget("a '%' in a path is followed by two hexadecimal digits")
    try:
        return unquote_to_bytes(part.encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidTarget("a path is UTF-8") from None


def encode(path: str) -> str:
    """`path` as it stands in a URL: everything but unreserved characters and `/` is percent-encoded."""
    return quote(path, safe="/~")
