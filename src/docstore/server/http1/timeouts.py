"""How long each state of a connection may last.

Asked at every sweep what the connection waits for and how many bytes have moved, it says when that has lasted too long.
Nothing is noted when a request comes or goes: a state that began between two sweeps counts from the second, so each
limit is kept to within the time between sweeps.

PERF: a timer of each connection, set and cancelled with every request, costs 1.0 us of a GET's 13 us.
"""

from enum import Enum

from docstore.limits import Limits
from docstore.server.http1.connection import Connection, Phase


class Wait(Enum):
    """What a connection waits for; who waits for the store is not hurried."""

    FIRST = "the first byte"
    HEAD = "the rest of a head"
    NEXT = "the next request"
    BODY = "more of a body"
    READER = "the client to take more of its answer"
    LINGER = "the client to go"
    STORE = "the store"


class Patience:
    """`count` tells one wait from the next of its kind, `moved` counts bytes in the direction that is waited for."""

    __slots__ = ("_count", "_moved", "_since_s", "_wait")

    def __init__(self) -> None:
        self._wait = Wait.STORE
        self._count = 0
        self._moved = 0
        self._since_s = 0.0

    def is_over(self, wait: Wait, count: int, moved: int, now_s: float, limits: Limits) -> bool:
        """Whether `wait` has lasted longer than `limits` allow."""
        if wait is not self._wait or count != self._count:
            self._begin(wait, count, moved, now_s)
            return False
        lasted_s = now_s - self._since_s
        if lasted_s <= allowed_s(wait, limits):
            return False
        if wait in (Wait.BODY, Wait.READER) and moved - self._moved >= max(1, limits.lowest_rate * lasted_s):
            self._begin(wait, count, moved, now_s)
            return False
        return True

    def _begin(self, wait: Wait, count: int, moved: int, now_s: float) -> None:
        self._wait, self._count, self._moved, self._since_s = wait, count, moved, now_s


def awaited(connection: Connection, *, reading: bool) -> tuple[Wait, int]:
    """What a connection waits for whose answers were taken so far, and the bytes that have moved that way.

    Who isn't `reading` waits for the store, whatever else could come.
    """
    match connection.phase:
        case Phase.HEAD if connection.waiting_size:
            return Wait.HEAD, 0
        case Phase.HEAD:
            return (Wait.NEXT if connection.requests else Wait.FIRST), 0
        case Phase.BODY if reading and connection.continued:
            return Wait.BODY, connection.received
        case Phase.BODY | Phase.ENDED | Phase.BROKEN:
            return Wait.STORE, 0
        case _:
            return Wait.LINGER, 0


def allowed_s(wait: Wait, limits: Limits) -> float:
    match wait:
        case Wait.FIRST | Wait.HEAD:
            return limits.head_s
        case Wait.NEXT:
            return limits.keep_alive_s
        case Wait.BODY:
            return limits.body_idle_s
        case Wait.READER:
            return limits.answer_idle_s
        case Wait.LINGER:
            return limits.linger_s
        case Wait.STORE:
            return float("inf")
