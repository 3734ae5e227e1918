"""Every bound of the wire, with its default and what happens one past it.

Each can be set, in the table `[limits]` of the settings' file or with `--limit NAME=VALUE`.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

from docstore.errors import SetupError


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes are bytes, times are seconds."""

    line_size: int = 16 * 1024
    """A request line; a longer one is 414. RFC 9112 §3 wants at least 8,000."""
    head_size: int = 64 * 1024
    """A header section, and that of trailers; a larger one is 431."""
    field_count: int = 100
    """Field lines of a request; more are 431."""
    head_s: float = 15
    """From the first byte of a request to the end of its head; later is 408. A connection that is silent from its
    beginning is closed after as long."""
    body_idle_s: float = 30
    """How long a body may pause; then it is 408. Time in which the store doesn't take more is not counted."""
    lowest_rate: int = 500
    """Bytes a second, over `body_idle_s` of a body or `answer_idle_s` of an answer; slower ends as a pause does."""
    answer_idle_s: float = 30
    """How long a client may take nothing of its answer; then the connection is closed."""
    keep_alive_s: float = 75
    """How long a connection is kept between two requests; then it is closed."""
    request_count: int = 100_000
    """Requests on one connection; the answer to the last says `connection: close`."""
    connection_count: int = 20_000
    """Connections of one process; one more is 503, and far more are closed unanswered."""
    address_connection_count: int = 20_000
    """Connections from one address; one more is 503, and far more are closed unanswered."""
    drain_size: int = 1024 * 1024
    """What is read of a body after its answer so that the connection can be kept; with more to come it is closed."""
    linger_size: int = 64 * 1024 * 1024
    """What is read and dropped after the last answer, so that a client that is still sending sees the answer."""
    linger_s: float = 10
    """How long draining and lingering last at most."""

    @property
    def shortest_s(self) -> float:
        return min(self.head_s, self.body_idle_s, self.answer_idle_s, self.keep_alive_s, self.linger_s)

    @classmethod
    def of(cls, given: dict[str, Any]) -> "Limits":
        """The defaults with what was given instead, by name. Raises SetupError for what is no bound."""
        kinds = {field.name: field.type for field in fields(cls)}
        for name, value in given.items():
            if name not in kinds:
                raise SetupError(f"there is no limit {name!r}; there are {', '.join(kinds)}")
            whole = kinds[name] is int
            if type(value) is not int and (whole or type(value) is not float):
                raise SetupError(f"the limit {name} is a {'whole ' if whole else ''}number, not {value!r}")
            if not value > 0:
                raise SetupError(f"the limit {name} is more than 0, not {value}")
        return cls(**given)

    @staticmethod
    def parse(text: str) -> tuple[str, int | float]:
        """The name and the number of `NAME=VALUE`. Raises SetupError."""
        name, _, value = text.partition("=")
        try:
            return name, int(value) if value.isdigit() else float(value)
        except ValueError:
            raise SetupError(f"{text!r} is not a limit; one looks like head_s=15") from None


DEFAULT_LIMITS: Final = Limits()
