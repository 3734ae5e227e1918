"""Sizes, ages and times as people read them.

The page's script words them the same (`web/figures.js`), so that a list does not change when the script takes it over.
Rounding is down, in whole numbers: nothing is called older or larger than it is.
"""

from datetime import UTC, datetime
from typing import Final

_SIZES: Final = ("KiB", "MiB", "GiB", "TiB")
_SPANS: Final = ((31_536_000, "y"), (2_592_000, "mo"), (86_400, "d"), (3600, "h"), (60, "min"))
"""Seconds of a unit and its name."""


def size(count: int) -> str:
    """`5 bytes`, `1.4 KiB`, `12 MiB`."""
    if count < 1024:
        return "1 byte" if count == 1 else f"{count} bytes"
    exponent = min((count.bit_length() - 1) // 10, len(_SIZES))
    tenths = count * 10 // 1024**exponent
    figure = f"{tenths // 10}.{tenths % 10}" if tenths < 100 else str(tenths // 10)
    return f"{figure} {_SIZES[exponent - 1]}"


def span(seconds: int) -> str:
    """`5 min`, `3 h`, `12 d`; `now` below a minute."""
    for unit_s, name in _SPANS:
        if seconds >= unit_s:
            return f"{seconds // unit_s} {name}"
    return "now"


def rfc3339(moment_ns: int) -> str:
    """With milliseconds and `Z`, as people and JavaScript read it."""
    seconds, rest_ns = divmod(moment_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns // 10**6:03d}Z"
