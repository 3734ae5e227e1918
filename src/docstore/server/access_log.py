"""The request log: one line a request, readable, and cheap.

PERF: a record for each line, made, formatted and flushed by itself, was 11 us of a request. The lines of one turn of
the event loop are one record, which `Lines` formats as several: 2 us with 32 connections.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final

from docstore.http.message import Request, Response

log: Final = logging.getLogger("docstore.access")

PRINTED_LIMIT: Final = 500
"""Characters that are told of what a client sent."""

_PLAIN: Final = re.compile(r"[!-~]*")


def logged(handle: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """`handle`, telling of each request: method, path, status, bytes of content and milliseconds until the answer."""
    turn = _Turn()

    async def logging_handle(request: Request) -> Response:
        if not log.isEnabledFor(logging.INFO):
            return await handle(request)
        started_s = time.perf_counter()
        response = await handle(request)
        size = 0 if response.head_only else response.content.size
        target = printable(f"{request.path}?{request.query}" if request.query else request.path)
        told = "-" if size is None else f"{size} B"
        lasted_ms = (time.perf_counter() - started_s) * 1000
        turn.tell(f"{printable(request.method)} {target} {response.status} {told} {lasted_ms:.1f} ms")
        return response

    return logging_handle


class _Turn:
    """The lines of one turn of the event loop, told at its end."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def tell(self, line: str) -> None:
        self._lines.append(line)
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            loop.call_soon(self._write)

    def _write(self) -> None:
        text, self._lines, self._loop = "\n".join(self._lines), [], None
        log.info("%s", text)


class Lines(logging.Formatter):
    """Begins each line of the request log as it begins a record; the lines themselves hold no line feed."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if record.name != log.name:
            return text
        start = text.removesuffix(record.getMessage())
        return text.replace("\n", f"\n{start}")


def printable(text: str) -> str:
    """Text of a client, so that it can't forge a line of the log."""
    text = text[:PRINTED_LIMIT]
    if _PLAIN.fullmatch(text):
        return text
    return "".join(c if 0x20 < ord(c) < 0x7F else f"\\x{ord(c):02x}" for c in text)
