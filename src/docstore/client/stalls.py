"""Time limits of AsyncClient for a server that sends without end but makes no progress.

httpx2 limits the time of each read of a connection. A server that sends a byte within each of these times, or one
informational response after the other, would hold a client for ever. So the head of a response must be complete within
the read timeout of its request, informational responses included, and content must arrive at LOWEST_RATE: a slower
response is treated as a pause, as the server treats a slow upload. Sizes need no limit here: h11 limits heads, trailers
and the lines of chunks.

httpx2 has no setting for this, and a network backend of our own cannot be passed to its transports. But its `trace`
extension reports each phase of a request, and each connection when it is opened, whose `read` is replaced here.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from time import monotonic
from typing import Any, Final

import httpcore2

from docstore.client.http_connection import LOWEST_RATE

_head_end: Final[ContextVar[float | None]] = ContextVar("docstore_head_end", default=None)
"""The time at which the head of the response must be complete; None while no head is expected."""


async def trace(event: str, info: dict[str, Any]) -> None:
    """The `trace` extension of a request."""
    if event.endswith("receive_response_headers.started"):
        _head_end.set(monotonic() + info["request"].extensions["timeout"]["read"])
    elif "receive_response_headers" in event:
        _head_end.set(None)
    elif isinstance(stream := info.get("return_value"), httpcore2.AsyncNetworkStream):
        _limit_reads(stream)


class _Progress:
    """The time spent waiting for content on one connection, and the bytes that arrived in it."""

    def __init__(self) -> None:
        self._waited_s = 0.0
        self._received = 0

    def limit(self, timeout_s: float) -> float:
        """The timeout of the next read."""
        end = _head_end.get()
        return timeout_s if end is None else max(0.001, min(timeout_s, end - monotonic()))

    def add(self, began: float, size: int, timeout_s: float) -> None:
        """Count a read. Raise ReadTimeout."""
        now, end = monotonic(), _head_end.get()
        if end is not None:
            self._waited_s, self._received = 0.0, 0
            if now > end:
                raise httpcore2.ReadTimeout("the head of the response is not complete in time")
            return
        self._waited_s += now - began
        self._received += size
        if self._waited_s >= timeout_s:
            if self._received < LOWEST_RATE * self._waited_s:
                raise httpcore2.ReadTimeout("the response is too slow")
            self._waited_s, self._received = 0.0, 0


def _limit_reads(stream: httpcore2.AsyncNetworkStream) -> None:
    read: Callable[[int, float], Awaitable[bytes]] = stream.read
    progress = _Progress()

    async def limited(max_bytes: int, timeout: float) -> bytes:  # noqa: ASYNC109 - the interface of httpcore2
        began = monotonic()
        data = await read(max_bytes, progress.limit(timeout))
        progress.add(began, len(data), timeout)
        return data

    stream.read = limited  # type: ignore[method-assign, assignment]
