"""A clock that stands still until it is told otherwise, for everything that takes a `model.Clock`."""

from typing import Final

START_NS: Final = 1_700_000_000_000_000_000
"""An arbitrary instant of the year 2023, where a new SetClock stands."""


class SetClock:
    """Call it to read the time, in nanoseconds since the epoch."""

    def __init__(self, now_ns: int = START_NS) -> None:
        self._now_ns = now_ns

    def __call__(self) -> int:
        return self._now_ns

    def advance_s(self, seconds: float) -> None:
        """Moves on by `seconds`, back when they are negative."""
        self._now_ns += round(seconds * 1_000_000_000)

    def set_ns(self, now_ns: int) -> None:
        self._now_ns = now_ns
