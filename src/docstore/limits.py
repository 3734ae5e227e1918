"""The limits of the HTTP/1.1 server: everything a client can send or hold open is bounded.

Each can be set in the table `[limits]` of the settings file or with `--limit NAME=VALUE`. A new limit is one row of
Limits: the settings, `docstore serve --help` and the test of README's table read it there.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeVar

from docstore.errors import SetupError, did_you_mean

_Number = TypeVar("_Number", int, float)


def _row(default: _Number, help: str, past: str) -> _Number:
    """A limit: its default, what it bounds, and what happens past it."""
    limit: _Number = field(default=default, metadata={"help": help, "past": past})
    return limit


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes are in bytes, times in seconds."""

    line_size: int = _row(16 * 1024, "A request line; RFC 9112 §3 recommends at least 8,000.", "414")
    head_size: int = _row(64 * 1024, "A header section, and the trailers.", "431")
    field_count: int = _row(100, "Field lines of a request.", "431")
    head_s: float = _row(
        15, "Time from the first byte of a request to the end of its head; also for a new connection without any byte.",
        "408; a connection without any byte is closed",
    )  # fmt: skip
    body_idle_s: float = _row(30, "A pause within a body. Time spent waiting for the store does not count.", "408")
    lowest_rate: int = _row(500, "Bytes a second, over `body_idle_s` of a body or `answer_idle_s` of a response.",
                            "a slower transfer is treated as a pause")  # fmt: skip
    answer_idle_s: float = _row(30, "How long a client may stall while receiving.", "the connection is closed")
    keep_alive_s: float = _row(75, "Time between two requests on a connection.", "the connection is closed")
    request_count: int = _row(100_000, "Requests on one connection.", "the last response has `connection: close`")
    connection_count: int = _row(20_000, "Connections of one process.", "503; from 100 more on, closed at once")
    address_connection_count: int = _row(
        20_000, "Connections from one address.", "503; from 100 more on, closed at once"
    )
    upload_count: int = _row(
        1000, "Uploads in progress in one process, small ones that arrive at once excepted.", "503"
    )
    drain_size: int = _row(1024 * 1024, "Bytes of a body read after its response, to keep the connection.",
                           "the connection is closed")  # fmt: skip
    linger_size: int = _row(
        64 * 1024 * 1024, "Bytes read and dropped after the last response, so that a client that is still sending can "
        "read it.", "the connection is closed",
    )  # fmt: skip
    linger_s: float = _row(10, "Longest time for reading after a response.", "the connection is closed")

    @property
    def shortest_s(self) -> float:
        return min(self.head_s, self.body_idle_s, self.answer_idle_s, self.keep_alive_s, self.linger_s)

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Limits":
        """Return the defaults replaced by `values`. Raises SetupError for an unknown name or an invalid value."""
        kinds = {field.name: field.type for field in fields(cls)}
        for name, value in values.items():
            if name not in kinds:
                hint = did_you_mean(name, kinds) or f"; the limits are {', '.join(kinds)}"
                raise SetupError(f"unknown limit {name!r}{hint}")
            whole = kinds[name] is int
            if type(value) is not int and (whole or type(value) is not float):
                raise SetupError(f"the limit {name} must be a {'whole ' if whole else ''}number, not {value!r}")
            if not value > 0:
                raise SetupError(f"the limit {name} must be more than 0, not {value}")
        return cls(**values)

    @staticmethod
    def parse(text: str) -> tuple[str, int | float]:
        """Parse `NAME=VALUE`. Raises SetupError."""
        name, _, value = text.partition("=")
        try:
            return name, int(value) if value.isdigit() else float(value)
        except ValueError:
            raise SetupError(f"{text!r} is not a limit; write it like head_s=15") from None


DEFAULT_LIMITS: Final = Limits()
LIMIT_NAMES: Final = tuple(field.name for field in fields(Limits))
