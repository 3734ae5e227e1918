"""A clock that moves only when a test sets it, for everything that takes a `model.Clock`."""

from typing import Final

START_NS: Final = 1_700_000_000_000_000_000
"""An arbitrary instant in 2023, at which a new SetClock starts."""


class SetClock:
    """Returns, when called, the time in nanoseconds since the epoch."""

    def __init__(self, now_ns: int = START_NS) -> None:
        self._now_ns = now_ns

    def __call__(self) -> int:
        return self._now_ns

    def advance_s(self, seconds: float) -> None:
        """Advance by `seconds`; a negative number moves back."""
        self._now_ns += round(seconds * 1_000_000_000)

    def set_ns(self, now_ns: int) -> None:
        self._now_ns = now_ns
