"""Byte ranges (RFC 9110 §14): the bytes that a Range header selects, and the content of a multipart response.

A server may ignore Range, so anything unusual selects the whole document: a unit other than bytes, a malformed header,
more than RANGES_LIMIT ranges, ranges that add up to more than the document (only overlapping ones can), and any range
of an empty document, since players and downloaders probe with `bytes=0-` and no Content-Range could describe the
response. If at least one range is satisfiable, the others are left out.

Ranges keep the order of the request and are not coalesced: their sum is bounded already. Positions are compared as
digits and capped before they become numbers, so long numbers cost nothing.
"""

import re
from collections.abc import Sequence
from typing import Final

from docstore.http.headers import parse_natural, split_list

RANGES_LIMIT: Final = 16

_SPEC: Final = re.compile(r"([0-9]*+)-([0-9]*+)")

Span = tuple[int, int]
"""Half-open: from the first position up to, not including, the second."""


Selection = tuple[Span, ...] | None
"""None for the whole document, () if no range is satisfiable. A single span is not a multipart (§15.3.7.1)."""


def select(value: str | None, size: int) -> Selection:
    """Return what the Range header `value` (None: not sent) selects of a document of `size` bytes."""
    specs = None if value is None or size == 0 else _parse(value)
    if specs is None:
        return None
    spans = tuple(span for span in (_resolve(first, last, size) for first, last in specs) if span is not None)
    return spans if sum(stop - start for start, stop in spans) <= size else None


def _parse(value: str) -> list[tuple[str, str]] | None:
    """Return the digits on both sides of each dash; None if one range is invalid or the header is to be ignored."""
    unit, equals, listed = value.partition("=")
    if not equals or unit.lower() != "bytes":
        return None
    members = split_list(listed)
    if not 0 < len(members) <= RANGES_LIMIT:
        return None
    specs: list[tuple[str, str]] = []
    for member in members:
        found = _SPEC.fullmatch(member)
        if found is None or member == "-" or (found[1] and found[2] and _less(found[2], found[1])):
            return None
        specs.append((found[1], found[2]))
    return specs


def _less(left: str, right: str) -> bool:
    """Compare two runs of digits as numbers, whatever their length."""
    left, right = left.lstrip("0"), right.lstrip("0")
    return (len(left), left) < (len(right), right)


def _resolve(first: str, last: str, size: int) -> Span | None:
    """Return the span of one range; None when it is unsatisfiable."""
    if first:
        start, stop = _capped(first, size), _capped(last, size - 1) + 1 if last else size
    else:
        start, stop = size - _capped(last, size), size
    return (start, stop) if start < stop else None


def _capped(digits: str, limit: int) -> int:
    number = parse_natural(digits, limit)
    return limit if number is None else number


def content_range(start: int, stop: int, size: int) -> str:
    """Return the Content-Range of the bytes from `start` up to, not including, `stop` (§14.4)."""
    return f"bytes {start}-{stop - 1}/{size}"


def unsatisfied_range(size: int) -> str:
    """Return the Content-Range of a 416 (§14.4)."""
    return f"bytes */{size}"


def multipart(parts: Sequence[Span], media_type: str, size: int, boundary: str) -> list[bytes | Span]:
    """Return the multipart/byteranges (§14.6) of a document of `size` bytes: bytes to send and spans of the document.

    Each part has the `media_type`. The caller must choose a random `boundary`, which the content can't contain, and
    name it in Content-Type.
    """
    pieces: list[bytes | Span] = []
    delimiter = f"--{boundary}"
    for start, stop in parts:
        fields = f"Content-Type: {media_type}\r\nContent-Range: {content_range(start, stop, size)}"
        pieces += [f"{delimiter}\r\n{fields}\r\n\r\n".encode("latin-1"), (start, stop)]
        delimiter = f"\r\n--{boundary}"
    return [*pieces, f"{delimiter}--\r\n".encode("latin-1")]


def byteranges(boundary: str) -> str:
    """Return the Content-Type of a multipart; `boundary` is a token of at most 70 characters."""
    return f"multipart/byteranges; boundary={boundary}"
