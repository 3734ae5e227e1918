"""The request log: one line a request, readable, and cheap when nobody listens."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from docstore.http.message import Request, Response

log: Final = logging.getLogger("docstore.access")


def logged(handle: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """`handle`, telling of each request: method, path, status, bytes of content and milliseconds until the answer."""

    async def logging_handle(request: Request) -> Response:
        if not log.isEnabledFor(logging.INFO):
            return await handle(request)
        started_s = time.perf_counter()
        response = await handle(request)
        size = 0 if response.head_only else response.content.size
        log.info(
            "%s %s %d %s %.1f ms",
            request.method,
            printable(request.path + ("?" + request.query if request.query else "")),
            response.status,
            "-" if size is None else f"{size} B",
            (time.perf_counter() - started_s) * 1000,
        )
        return response

    return logging_handle


def printable(text: str) -> str:
    """Text of a client, so that it can't forge a line of the log."""
    return "".join(c if 0x20 < ord(c) < 0x7F else f"\\x{ord(c):02x}" for c in text[:500])
