"""Sizes, durations, counts and times: parsed and printed in one place.

Settings, options, the command and the pages use the same spellings; `web/` repeats them in JavaScript. Printed values
are rounded down, so that nothing looks older or larger than it is.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from docstore.errors import SetupError

_SIZES: Final = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
# PERF: these patterns are compiled on first use; most commands need none.
_SIZE: Final = r"([0-9]{1,15}) ?([KMGT]iB|B|)"
_SIZE_NAMES: Final = ("KiB", "MiB", "GiB", "TiB")

_RATE: Final = re.compile(r"([1-9][0-9]{0,8}) ?/ ?(s|min|m|h|d)")

_DURATIONS_S: Final = {"y": 31_536_000, "w": 604_800, "d": 86_400, "h": 3600, "min": 60, "m": 60, "s": 1}
_DURATION_PART: Final = r"([0-9]{1,10}) ?(y|w|d|h|min|m|s)"
_DURATION: Final = rf"(?:{_DURATION_PART} ?)+"
_PRINTED_DURATIONS: Final = ((31_536_000, "y"), (2_592_000, "mo"), (86_400, "d"), (3600, "h"), (60, "min"))
"""Seconds of a unit and its name; a printed month has 30 days and can't be parsed."""


def parse_size(text: str) -> int:
    """Return the bytes of `5GiB`, `64 KiB` or `1000`. Raise SetupError for anything else."""
    match = re.fullmatch(_SIZE, text)
    if match is None:
        raise SetupError(f"{text!r} is not a size, such as 5GiB, 64KiB or 1000")
    return int(match[1]) * _SIZES[match[2]]


def format_size(size: float) -> str:
    """`5 bytes`, `1.4 KiB`, `12 MiB`."""
    count = int(size)
    if count < 1024:
        return "1 byte" if count == 1 else f"{count} bytes"
    exponent = min((count.bit_length() - 1) // 10, len(_SIZE_NAMES))
    tenths = count * 10 // 1024**exponent
    number = f"{tenths // 10}.{tenths % 10}" if tenths < 100 else str(tenths // 10)
    return f"{number} {_SIZE_NAMES[exponent - 1]}"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` events in a window of time."""

    count: int
    window_s: int


def parse_rate(text: str) -> Rate:
    """Parse `50/s`, `100/min`, `1000/h` or `5000/d`. Raise SetupError for anything else."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise SetupError(f"{text!r} is not a rate, such as 50/s, 100/min, 1000/h or 5000/d")
    return Rate(int(match[1]), _DURATIONS_S[match[2]])


def parse_duration_s(text: str) -> int:
    """Return the seconds of `90`, `10m`, `2 h`, `7d` or `1h30m`. Raise SetupError for anything else."""
    if re.fullmatch("[0-9]{1,10}", text):
        return int(text)
    if not re.fullmatch(_DURATION, text):
        raise SetupError(f"{text!r} is not a duration, such as 90 (seconds), 10m, 2h, 7d or 1h30m")
    return sum(int(count) * _DURATIONS_S[unit] for count, unit in re.findall(_DURATION_PART, text))


def format_duration(seconds: float) -> str:
    """`30 s`, `5 min`, `3 h`, `12 d`, `2 mo` or `1 y`: the largest unit of which there is one. Not negative."""
    left_s = max(0, int(seconds))
    for unit_s, name in _PRINTED_DURATIONS:
        if left_s >= unit_s:
            return f"{left_s // unit_s} {name}"
    return f"{left_s} s"


def format_count(count: int, noun: str) -> str:
    """`1 document`, `2,000 documents`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def format_rfc3339(moment_ns: int) -> str:
    """`2030-01-01T00:00:00.000Z`: a time in UTC, with milliseconds."""
    seconds, rest_ns = divmod(moment_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns // 10**6:03d}Z"
