"""The bytes of a response's head: status line, date, the response's own fields, connection and framing.

Small content in memory is joined to the head, in the one copy that the head needs anyway. `Response.lines` checks the
fields: a CR or LF inside one would let stored data forge a second response, and a `content-length` that isn't the
content's would make the next response part of this one.
"""

import time
from http import HTTPStatus
from typing import Final

from docstore.content import BytesContent
from docstore.http.dates import format_http_date
from docstore.http.message import Request, Response, ResponseContent
from docstore.server.http1.connection import Connection
from docstore.server.http1.parser import ProtocolError

JOIN_SIZE: Final = 64 * 1024
"""Bytes up to which a head and its content are one write, and one packet when they are few; more would be copied."""

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_WITHOUT_CONTENT: Final = frozenset({204, 304})
_CLOSE: Final = b"connection: close\r\n"
_KEEP_ALIVE: Final = b"connection: keep-alive\r\n"
_CHUNKED: Final = b"transfer-encoding: chunked\r\n"


class StatusLineCache:
    """Status lines with the Date field: the same bytes for all responses of one second."""

    __slots__ = ("_begin_s", "_by_status", "_end_s")

    def __init__(self) -> None:
        self._begin_s = self._end_s = 0
        self._by_status: dict[int, bytes] = {}

    def get(self, status: int) -> bytes:
        # The time is read for each response, not once a second by a timer, so that Date is never before Last-Modified.
        now_s = time.time()
        if not self._begin_s <= now_s < self._end_s:
            self._begin_s = int(now_s)
            self._end_s = self._begin_s + 1
            self._by_status.clear()
        line = self._by_status.get(status)
        if line is None:
            phrase = HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else ""
            line = f"HTTP/1.1 {status} {phrase}\r\ndate: {format_http_date(self._begin_s)}\r\n".encode("ascii")
            self._by_status[status] = line
        return line


def start_response(
    status_lines: StatusLineCache, response: Response, request: Request, connection: Connection
) -> tuple[bytes, ResponseContent | None]:
    """Return the head with small content joined to it, and the content left to send. Raises InvalidResponse.

    Decides whether the connection stays open after the response.
    """
    content: ResponseContent | None = None
    size, data, framing = None, b"", b""
    if not response.head_only and response.status not in _WITHOUT_CONTENT and request.method != "HEAD":
        content = response.content
        if isinstance(content, BytesContent) and len(content.data) <= JOIN_SIZE:
            data, content = content.data, None
            size = len(data)
        else:
            size = content.size
        if size is None:
            if connection.section.minor >= 1:
                framing = _CHUNKED
            else:
                connection.keep_alive = False  # in HTTP/1.0 such content ends with the connection
    lines = response.lines(size)
    if not connection.decide_keep_alive():
        framing += _CLOSE
    elif connection.section.minor == 0:
        framing = _KEEP_ALIVE
    return b"".join((status_lines.get(response.status), lines, framing, b"\r\n", data)), content


def error_response(status_lines: StatusLineCache, error: ProtocolError) -> bytes:
    """Return the whole response to an invalid request, the last one of its connection."""
    return b"%b%b%b\r\n%b" % (status_lines.get(error.status), error.response.lines(), _CLOSE, error.line)
