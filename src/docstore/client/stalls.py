"""Time limits for a server that sends without end but makes no progress, the same for both clients.

A server that sends a byte within each timeout would hold a client for ever. So the head of a response must be complete
within the timeout, responses 1xx included, and content must arrive at LOWEST_RATE: a slower response is treated as a
pause, as the server treats a slow upload.
"""

from time import monotonic
from typing import Final

from docstore.client.transport import TransportError

LOWEST_RATE: Final = 500
"""Bytes a second of a response's content, over the timeout."""


def head_end_after(timeout_s: float) -> float:
    """The time at which the head of a response must be complete that is expected from now on."""
    return monotonic() + timeout_s


class ReceiveLimits:
    """The limits for each read of one connection. `head_end` is None while content is received."""

    def __init__(self) -> None:
        self._began = 0.0
        self._waited_s, self._received = 0.0, 0
        """The time spent waiting for content, and the bytes that arrived in it."""

    def begin(self, timeout_s: float, head_end: float | None) -> float:
        """Return the timeout of the read that begins."""
        self._began = monotonic()
        return timeout_s if head_end is None else max(0.001, head_end - self._began)

    def end(self, size: int, timeout_s: float, head_end: float | None) -> None:
        """Count the bytes of the read. Raise TransportError."""
        now = monotonic()
        if head_end is not None:
            self._waited_s, self._received = 0.0, 0
            if now > head_end:
                raise TransportError("the head of the response is not complete in time")
            return
        self._waited_s += now - self._began
        self._received += size
        if self._waited_s >= timeout_s:
            if self._received < LOWEST_RATE * self._waited_s:
                raise TransportError("the response is too slow")
            self._waited_s, self._received = 0.0, 0
