"""HTTP's dates (RFC 9110 §5.6.7): three forms to read, one to write, seconds of POSIX time inside.

The names of days and months are English and case-sensitive whatever the locale, so `strptime` and `strftime` were
rejected; `email.utils` takes far more than the RFC's grammar.

A day's name must be one of the seven but need not be the right one for the date. The RFC asks to be robust, and to
take such a date for invalid would drop an If-Unmodified-Since and let its write happen.
"""

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DAY_SECONDS: Final = 86400

_NAME: Final = f"(?:{'|'.join(_DAYS)})"
_LONG_NAME: Final = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH: Final = f"(?P<month>{'|'.join(_MONTHS)})"
_DAY: Final = "(?P<day>[0-9]{2})"
_YEAR: Final = "(?P<year>[0-9]{4})"
_TIME: Final = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"

_IMF: Final = re.compile(f"{_NAME}, {_DAY} {_MONTH} {_YEAR} {_TIME} GMT")
_RFC850: Final = re.compile(f"{_LONG_NAME}, {_DAY}-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT")
_ASCTIME: Final = re.compile(f"{_NAME} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} {_YEAR}")


def parse_http_date(value: str, now: int) -> int | None:
    """POSIX seconds of a date in any of the three forms; None for anything else, and for days that never were.

    `now`, in POSIX seconds, decides the century of a year of two digits. Second 60 is allowed, and is the instant
    after second 59.
    """
    found = _IMF.fullmatch(value) or _ASCTIME.fullmatch(value)
    if found is not None:
        return _seconds(int(found["year"]), found)
    found = _RFC850.fullmatch(value)
    return None if found is None else _seconds(_full_year(found, now), found)


def _full_year(found: re.Match[str], now: int) -> int:
    """The latest year with these two digits that puts the date no more than 50 years ahead of `now`."""
    present = datetime.fromtimestamp(now, UTC)
    month, *rest = _MONTHS.index(found["month"]) + 1, *map(int, found.group("day", "hour", "minute", "second"))
    latest = present.year + 50
    year = latest - (latest - int(found["year"])) % 100
    limit = (latest, present.month, present.day, present.hour, present.minute, present.second)
    return year - 100 if (year, month, *rest) > limit else year


def _seconds(year: int, found: re.Match[str]) -> int | None:
    hour, minute, second = map(int, found.group("hour", "minute", "second"))
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        day = date(year, _MONTHS.index(found["month"]) + 1, int(found["day"])).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    return day * _DAY_SECONDS + hour * 3600 + minute * 60 + second


@lru_cache(maxsize=1024)
def format_http_date(seconds: int) -> str:
    """IMF-fixdate of POSIX `seconds`; raises ValueError or OverflowError outside the years 1 to 9999."""
    # PERF: each answer carries the Date of this second, and a Last-Modified that others asked for a moment ago.
    days, rest = divmod(seconds, _DAY_SECONDS)
    day = date.fromordinal(_EPOCH_DAY + days)
    hour, minute, second = rest // 3600, rest // 60 % 60, rest % 60
    written = f"{_DAYS[day.weekday()]}, {day.day:02} {_MONTHS[day.month - 1]} {day.year:04}"
    return f"{written} {hour:02}:{minute:02}:{second:02} GMT"
