"""Times in HTTP: HTTP-date (RFC 9110 §5.6.7), TTL on writes (RFC 8030 §5.2) and Sunset on responses (RFC 8594).

Dates are parsed in three forms and written in one. Names of days and months are English whatever the locale, so
`strptime` was rejected; `email.utils` accepts far more than the RFC's grammar and is slow to load. A day's name must be
one of the seven but need not match the date: the RFC asks for robustness, and to reject such a date would drop an
If-Unmodified-Since and let its write happen.

Expiry is rounded down to whole seconds, so that no client is promised time that the document does not have.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from docstore.http.headers import parse_natural

if TYPE_CHECKING:
    from docstore.http.message import Headers

TTL_LIMIT_S: Final = 10 * 365 * 86_400
"""Ten years. A longer TTL is rejected, not shortened: a document that expires too early is lost data."""

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SECOND_NS: Final = 1_000_000_000
_LAST_SECOND: Final = 253_402_300_799
"""The end of the year 9999, the last that an HTTP-date can name."""

_NAME: Final = f"(?:{'|'.join(_DAYS)})"
_LONG_NAME: Final = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH: Final = f"(?P<month>{'|'.join(_MONTHS)})"
_DAY: Final = "(?P<day>[0-9]{2})"
_YEAR: Final = "(?P<year>[0-9]{4})"
_TIME: Final = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"

_IMF: Final = re.compile(f"{_NAME}, {_DAY} {_MONTH} {_YEAR} {_TIME} GMT")
# Compiled on first use: hardly anything sends these.
_RFC850: Final = f"{_LONG_NAME}, {_DAY}-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"
_ASCTIME: Final = f"{_NAME} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} {_YEAR}"


def parse_http_date(value: str, now: int) -> int | None:
    """Return the POSIX seconds of a date in any of the three forms; None for anything else and for impossible days.

    `now`, in POSIX seconds, decides the century of a two-digit year. Second 60 is the instant after second 59.
    """
    match = _IMF.fullmatch(value) or re.fullmatch(_ASCTIME, value)
    if match is not None:
        return _seconds(int(match["year"]), match)
    match = re.fullmatch(_RFC850, value)
    return None if match is None else _seconds(_full_year(match, now), match)


def _full_year(match: re.Match[str], now: int) -> int:
    """The latest year with these two digits that puts the date no more than 50 years ahead of `now`."""
    present = datetime.fromtimestamp(now, UTC)
    month, *rest = _MONTHS.index(match["month"]) + 1, *map(int, match.group("day", "hour", "minute", "second"))
    latest = present.year + 50
    year = latest - (latest - int(match["year"])) % 100
    limit = (latest, present.month, present.day, present.hour, present.minute, present.second)
    return year - 100 if (year, month, *rest) > limit else year


def _seconds(year: int, match: re.Match[str]) -> int | None:
    hour, minute, second = map(int, match.group("hour", "minute", "second"))
    if second > 60:
        return None
    try:
        moment = datetime(year, _MONTHS.index(match["month"]) + 1, int(match["day"]), hour, minute, tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) + second


@lru_cache(maxsize=1024)
def format_http_date(seconds: int) -> str:
    """Return the IMF-fixdate of POSIX `seconds`. Raise ValueError or OverflowError outside the years 1 to 9999."""
    # PERF: every answer carries the Date of this second and a Last-Modified that was often formatted before.
    moment = datetime.fromtimestamp(seconds, UTC)
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day:02} {month} {moment.year:04} {moment:%H:%M:%S} GMT"


class InvalidTTL(ValueError):
    """The TTL of a write is invalid; storing the document without an expiry instead would be wrong."""


def parse_ttl_s(headers: "Headers") -> int | None:
    """Return the seconds after which a write expires; None without a TTL header: it never does. 0 is valid.

    Raise InvalidTTL for anything but one line of digits with a value up to TTL_LIMIT_S.
    """
    lines = headers.lines("ttl")
    if not lines:
        return None
    seconds = parse_natural(lines[0], TTL_LIMIT_S) if len(lines) == 1 else None
    if seconds is None:
        raise InvalidTTL(f"TTL must be one number of seconds from 0 to {TTL_LIMIT_S}")
    return seconds


def format_sunset(expires_ns: int) -> str:
    """Return the value of Sunset: the last whole second at which the document is sure to exist."""
    return format_http_date(min(expires_ns // _SECOND_NS, _LAST_SECOND))


def remaining_s(expires_ns: int, now_ns: int) -> int:
    """Return the whole seconds until a document expires, never negative: the bound on its `max-age`."""
    return max(0, (expires_ns - now_ns) // _SECOND_NS)
