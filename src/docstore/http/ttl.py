"""How long a document lives: TTL on a write (RFC 8030 §5.2), Sunset (RFC 8594) and max-age on an answer.

All that is told of the end of a document is rounded down to whole seconds, so that nobody is promised time it does
not have: the document may outlive its Sunset by less than a second, and is never gone before it.
"""

from typing import Final

from docstore.http.dates import format_http_date
from docstore.http.headers import parse_natural
from docstore.http.message import Headers

TTL_LIMIT_S: Final = 10 * 365 * 86_400
"""Ten years. More is refused, not shortened: a shorter life than the one that was asked for is a loss of data."""

_SECOND_NS: Final = 1_000_000_000
_LAST_SECOND: Final = 253_402_300_799
"""The end of the year 9999, where HTTP-date ends too."""


class InvalidTTL(ValueError):
    """The request's TTL is not one; the write must not be made to last for ever instead."""


def ttl_s(headers: Headers) -> int | None:
    """The life that a write asks for in seconds; None when it has no TTL: it lasts until it is replaced.

    0 is a life too: such a document is gone at once. Raises InvalidTTL for anything but one line of digits with a
    value up to TTL_LIMIT_S.
    """
    lines = headers.lines("ttl")
    if not lines:
        return None
    seconds = parse_natural(lines[0], TTL_LIMIT_S) if len(lines) == 1 else None
    if seconds is None:
        raise InvalidTTL(f"TTL is one number of seconds from 0 to {TTL_LIMIT_S}")
    return seconds


def sunset(expires_ns: int) -> str:
    """The value of Sunset: the last whole second at which the document is sure to be there."""
    return format_http_date(min(expires_ns // _SECOND_NS, _LAST_SECOND))


def fresh_s(expires_ns: int, now_ns: int) -> int:
    """The whole seconds a document still has: the bound on any `max-age` of it. Never negative."""
    return max(0, (expires_ns - now_ns) // _SECOND_NS)
