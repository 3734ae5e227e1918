"""The access log: one readable line per request.

PERF: a log record per line took 11 us of a request to create, format and flush. The lines of one loop iteration
are one record, which AccessLogFormatter prefixes line by line: 2 us with 32 connections.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from docstore.http.message import FastHandler, FastWriter, Handler, Request, Response
from docstore.server.security.tokens import redact

log: Final = logging.getLogger("docstore.access")

PRINTED_LIMIT: Final = 500
"""Characters of a client's text that are logged."""


class AccessLog:
    """A line of method, path, status, bytes of content, milliseconds and address for each response of a store.

    The lines of one iteration of the event loop are logged at its end.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def around(self, handle: Handler) -> Handler:
        """Return `handle` with a log."""

        async def logging_handle(request: Request) -> Response:
            if not log.isEnabledFor(logging.INFO):
                return await handle(request)
            started_s = time.perf_counter()
            response = await handle(request)
            self._add(request, response, started_s)
            return response

        return logging_handle

    def around_fast(self, answer: FastHandler) -> FastHandler:
        """Return the function of a fast path with a log."""

        def logging_answer(request: Request) -> Response | None:
            if not log.isEnabledFor(logging.INFO):
                return answer(request)
            started_s = time.perf_counter()
            response = answer(request)
            if response is not None:
                self._add(request, response, started_s)
            return response

        return logging_answer

    def around_fast_write(self, start: FastWriter) -> FastWriter:
        """Return the function of the fast path of writes with a log."""

        def logging_start(request: Request, respond: Callable[[Response], None]) -> bool:
            if not log.isEnabledFor(logging.INFO):
                return start(request, respond)
            started_s = time.perf_counter()

            def log_and_respond(response: Response) -> None:
                self._add(request, response, started_s)
                respond(response)

            return start(request, log_and_respond)

        return logging_start

    def _add(self, request: Request, response: Response, started_s: float) -> None:
        size = 0 if response.head_only else response.content.size
        query = f"?{request.query}" if request.query else ""
        size_text = "-" if size is None else f"{size} B"
        elapsed_ms = (time.perf_counter() - started_s) * 1000
        line = f"{request_line(request, query)} {response.status} {size_text} {elapsed_ms:.1f} ms"
        self._lines.append(f"{line} {escape(request.address)}" if request.address else line)
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            loop.call_soon(self._write)

    def _write(self) -> None:
        text, self._lines, self._loop = "\n".join(self._lines), [], None
        log.info("%s", text)


class AccessLogFormatter(logging.Formatter):
    """Repeats the prefix of a record on each line of a batch."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if record.name != log.name:
            return text
        prefix = text.removesuffix(record.getMessage())
        return text.replace("\n", f"\n{prefix}")


def request_line(request: Request, query: str = "") -> str:
    """Return the method and the path of a request for a log line, without the secrets of tokens."""
    return f"{escape(request.method)} {escape(redact(request.path + query))}"


def escape(text: str) -> str:
    """Shorten and escape a client's text, so that it can't forge a log line."""
    text = text[:PRINTED_LIMIT]
    # PERF: a regular expression took 1,000 instructions for each of the three texts of a line.
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    return "".join(c if 0x20 < ord(c) < 0x7F else f"\\x{ord(c):02x}" for c in text)
