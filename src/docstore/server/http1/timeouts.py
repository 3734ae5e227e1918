"""How long each state of a connection may last.

The registry's sweep gets from every connection its current wait and the bytes transferred, and the IdleTimer compares
that with the sweep before. A wait that began between two sweeps counts from the second, so each limit is exact to the
time between sweeps.

PERF: a loop timer for each connection, set and cancelled with every request, costs 1.0 us of a GET's 13 us.
"""

from enum import Enum

from docstore.limits import Limits
from docstore.server.http1.connection import Connection, Phase


class Wait(Enum):
    """What a connection waits for, and the name of the limit; waiting for the store has none."""

    FIRST_BYTE = "the first byte of the first request", "head_s"
    HEAD = "the rest of a head", "head_s"
    NEXT_REQUEST = "the first byte of the next request", "keep_alive_s"
    BODY = "more of a body", "body_idle_s"
    READER = "the client to read its response", "answer_idle_s"
    LINGER = "the client to close", "linger_s"
    STORE = "the store", ""

    def limit_s(self, limits: Limits) -> float:
        limit_s: float = getattr(limits, self.value[1]) if self is not Wait.STORE else float("inf")
        return limit_s


class IdleTimer:
    """Measures how long the current wait of one connection has lasted."""

    __slots__ = ("_moved", "_request_count", "_since_s", "_wait")

    def __init__(self) -> None:
        self._restart(Wait.STORE, 0, 0, 0.0)

    def has_expired(self, wait: Wait, request_count: int, moved: int, now_s: float, limits: Limits) -> bool:
        """Whether `wait` has lasted too long. `moved` counts the bytes of all bodies or responses so far."""
        if wait is not self._wait or request_count != self._request_count:
            self._restart(wait, request_count, moved, now_s)
            return False
        lasted_s = now_s - self._since_s
        if lasted_s <= wait.limit_s(limits):
            return False
        if wait in (Wait.BODY, Wait.READER) and moved - self._moved >= max(1, limits.lowest_rate * lasted_s):
            self._restart(wait, request_count, moved, now_s)
            return False
        return True

    def _restart(self, wait: Wait, request_count: int, moved: int, now_s: float) -> None:
        self._wait, self._request_count, self._moved, self._since_s = wait, request_count, moved, now_s


def current_wait(connection: Connection, *, reading: bool) -> tuple[Wait, int]:
    """Return the current wait of a connection without unsent output, and the bytes of bodies it received.

    While the transport isn't `reading`, a body waits for the store, not for the client.
    """
    match connection.phase:
        case Phase.HEAD if connection.unread_size:
            return Wait.HEAD, 0
        case Phase.HEAD:
            return (Wait.NEXT_REQUEST if connection.request_count else Wait.FIRST_BYTE), 0
        case Phase.BODY if reading and connection.body_wanted:
            return Wait.BODY, connection.body_size
        case Phase.BODY | Phase.COMPLETE | Phase.ABORTED:
            return Wait.STORE, 0
        case _:
            return Wait.LINGER, 0
