"""The bytes of an answer's head: status line, date, the response's own fields, connection and framing.

Content that is small and in memory is joined to it here, in the one copy that the head needs anyway.

A head is checked as it is made: a CR or LF inside a field would let stored data forge a second answer, and a
`content-length` that isn't the content's would make the next answer part of this one.
"""

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from docstore.content import BytesContent
from docstore.http.message import Request, Response, ResponseContent, header_lines
from docstore.server.http1.connection import Connection
from docstore.server.http1.errors import ProtocolError

JOIN_SIZE: Final = 64 * 1024
"""Bytes up to which a head and its content are one write, and one packet when they are few; more would be copied."""

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
WITHOUT_CONTENT: Final = frozenset({204, 304})

CLOSE: Final = b"connection: close\r\n"
KEEP: Final = b"connection: keep-alive\r\n"
CHUNKED: Final = b"transfer-encoding: chunked\r\n"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


class Openings:
    """Status lines with their date: the same bytes for all answers of one second."""

    __slots__ = ("_begin_s", "_end_s", "_of_status")

    def __init__(self) -> None:
        self._begin_s = self._end_s = 0
        self._of_status: dict[int, bytes] = {}

    def opening(self, status: int) -> bytes:
        # Looked at for every answer, not once a second by a timer: Date is never earlier than a Last-Modified.
        now_s = time.time()
        if not self._begin_s <= now_s < self._end_s:
            self._begin_s = int(now_s)
            self._end_s = self._begin_s + 1
            self._of_status.clear()
        opening = self._of_status.get(status)
        if opening is None:
            date = formatdate(self._begin_s, usegmt=True)
            opening = f"HTTP/1.1 {status} {_phrase(status)}\r\ndate: {date}\r\n".encode("ascii")
            self._of_status[status] = opening
        return opening


def start(
    openings: Openings, response: Response, request: Request, connection: Connection
) -> tuple[bytes, ResponseContent | None]:
    """The head of an answer, with its content when that is small and in memory, and else the content to be sent after
    it, if there is any.

    Decides whether the connection is kept after it, and says so. Raises InvalidResponse.
    """
    content: ResponseContent | None = None
    size, data, framing = None, b"", b""
    if not response.head_only and response.status not in WITHOUT_CONTENT and request.method != "HEAD":
        content = response.content
        if isinstance(content, BytesContent) and len(content.data) <= JOIN_SIZE:
            data, content = content.data, None
            size = len(data)
        else:
            size = content.size
        if size is None:
            if connection.section.minor >= 1:
                framing = CHUNKED
            else:
                connection.kept = False  # to HTTP/1.0 the end of such content is the end of the connection
    lines = response.lines(size)
    if not connection.decide():
        framing += CLOSE
    elif connection.section.minor == 0:
        framing = KEEP
    return b"".join((openings.opening(response.status), lines, framing, b"\r\n", data)), content


def refusal(openings: Openings, refused: ProtocolError) -> bytes:
    """A whole answer, the last of its connection."""
    return b"%b%b%b\r\n%b" % (
        openings.opening(refused.status),
        header_lines(refused.headers),
        CLOSE,
        refused.line,
    )


def fault() -> Response:
    """What is answered for whoever should have answered and could not."""
    refused = ProtocolError(500)
    return Response(refused.status, refused.headers, BytesContent(refused.line))
