"""How long something lasts, as a person writes it (2h, 7d) and as one reads it."""

import re
from typing import Final

from docstore.errors import SetupError

_UNITS_S: Final = {"w": 7 * 86_400, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_SHOWN_S: Final = {"y": 365 * 86_400, "d": 86_400, "h": 3600, "m": 60}
_LIFETIME: Final = re.compile(r"(?:[0-9]{1,10}[wdhms])+|[0-9]{1,10}")


def lifetime_s(text: str) -> int:
    """The seconds of `90`, `10m`, `2h`, `7d` or `1h30m`. Raises SetupError."""
    if not _LIFETIME.fullmatch(text):
        raise SetupError(f"{text!r} is not a time to live; one looks like 90 (seconds), 10m, 2h, 7d or 1h30m")
    if text.isdigit():
        return int(text)
    return sum(int(count) * _UNITS_S[unit] for count, unit in re.findall(r"([0-9]+)([wdhms])", text))


def span_text(seconds: float) -> str:
    """About `seconds`, in the largest unit of which there are two, rounded down: 90s, 12m, 47h, 3d, 2y."""
    left = max(0, int(seconds))
    for unit, size_s in _SHOWN_S.items():
        if left >= 2 * size_s:
            return f"{left // size_s}{unit}"
    return f"{left}s"
