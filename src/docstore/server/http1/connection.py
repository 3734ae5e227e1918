"""One connection as a state machine: bytes in, requests and pieces of bodies out. No I/O, no clock, no waiting.

    HEAD ──take_request──▶ BODY ──take_body──▶ COMPLETE ──finish_response──▶ HEAD        (keep-alive)
                            │                     └───────finish_response──▶ LINGER      (close)
                            └──finish_response──▶ DRAIN ──▶ HEAD        (the rest is small: dropped, keep-alive)
                                                    └─────▶ LINGER      (the rest is large)
    abort_body ──▶ ABORTED ──finish_response──▶ LINGER
    reject ──▶ LINGER ──▶ CLOSED

Requests are taken one at a time: pipelined bytes stay unparsed until the response before them is sent. So responses
keep their order, and after a rejection no leftover bytes can be mistaken for a request. In LINGER, input is counted and
dropped, so that a client that is still sending can read its response before the connection closes (RFC 9112 §9.6).
"""

import re
from enum import Enum
from typing import Final

from docstore.content import BytesContent
from docstore.http.message import Headers, Request
from docstore.limits import Limits
from docstore.server.http1.framing import ChunkedBody, CountedBody
from docstore.server.http1.parser import CHUNKED, HeaderSection, ProtocolError, take_head

METHOD_SIZE: Final = 64
EMPTY_LINE_COUNT: Final = 4
"""CRLFs that may precede a request line (RFC 9112 §2.2): some clients end a body with one."""

_CR: Final = 0x0D
_INVALID: Final = re.compile(rb"\r(?!\n|\Z)|(?<!\r)\n|\x00")
"""Bytes that no head contains, found before the head is complete."""
_NO_SECTION: Final = HeaderSection(Headers(), minor=1, length=0, persistent=True, expects_continue=False)


class Phase(Enum):
    HEAD = "waits for the head of a request"
    BODY = "waits for the body"
    COMPLETE = "has the whole request; the response is not sent yet"
    ABORTED = "the body can't be completed; the response is not sent yet"
    DRAIN = "has sent the response; drops the rest of the body"
    LINGER = "ignores input until the client closes"
    CLOSED = "can be closed"


# PERF: on Python 3.11 an enumeration's member takes 70 ns to look up, a name of the module 7; a request needs a dozen.
HEAD_PHASE: Final = Phase.HEAD
BODY_PHASE: Final = Phase.BODY
COMPLETE_PHASE: Final = Phase.COMPLETE
ABORTED_PHASE: Final = Phase.ABORTED
DRAIN_PHASE: Final = Phase.DRAIN
LINGER_PHASE: Final = Phase.LINGER
CLOSED_PHASE: Final = Phase.CLOSED


class Connection:
    """The unread input of one connection, and its phase."""

    __slots__ = ("_data", "_dropped_size", "_empty_lines", "_limits", "_scanned", "body_size", "body_wanted", "eof",
                 "framing", "keep_alive", "phase", "request_count", "section", "stopping", "unread_size")  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._data = b""
        self._scanned = 0
        """Where in the data the search for a head's end resumes; below 0 if that part was removed."""
        self.unread_size = 0
        """Number of bytes received and not taken; they are at the end of the data."""
        self._empty_lines = 0
        self._dropped_size = 0
        self.phase = HEAD_PHASE
        self.section = _NO_SECTION
        """The header section, as received, of the current request, until `finish_response`; then of the last one."""
        self.framing: CountedBody | ChunkedBody = CountedBody(0)
        self.body_wanted = False
        """Whether the client needs no 100 (Continue): it got one, didn't ask for one, or sends already."""
        self.keep_alive = True
        """Whether another request may follow; decided when the response starts."""
        self.stopping = False
        self.eof = False
        """Whether the client has closed its half of the connection."""
        self.request_count = 0
        self.body_size = 0
        """Bytes of all bodies, from which timeouts compute the rate."""

    def receive(self, data: bytes) -> None:
        """Keep `data` for the `take_` methods, or drop it."""
        phase = self.phase
        if phase is not HEAD_PHASE and (phase is ABORTED_PHASE or phase is LINGER_PHASE or phase is CLOSED_PHASE):
            self._drop(len(data))
        elif not self.unread_size:
            self._data, self._scanned = data, 0
            self.unread_size = len(data)
        else:
            self._scanned -= self._start
            self._data = self._data[self._start :] + data
            self.unread_size = len(self._data)

    @property
    def _start(self) -> int:
        """Where in the data the unread part starts."""
        return len(self._data) - self.unread_size

    def take_request(self) -> Request | None:
        """Return the next request, or None while its head is incomplete. Raises ProtocolError.

        Call it in phase HEAD only. The phase after it is BODY, or COMPLETE when the request has no body, or has all of
        its body in memory.
        """
        if not self.unread_size:
            return None
        data = self._data
        start = len(data) - self.unread_size
        if data[start] == _CR:
            self._skip_empty_lines()
            if not self.unread_size:
                return None
            start = self._start
        end = data.find(b"\r\n\r\n", max(start, self._scanned - 3) if self._scanned else start)
        try:
            if end < 0:
                self._check_partial_head()
                return None
            limits, size = self._limits, end - start
            if size > limits.line_size or size > limits.head_size:
                line_end = data.find(b"\r\n", start)
                if line_end - start > limits.line_size or end - line_end > limits.head_size:
                    self._check_sizes()
            try:
                request, self.section = take_head(data[start : end + 2], limits.field_count)
            except ProtocolError as error:
                raise self._find_invalid(0, end) or error from None
        except ProtocolError:
            self.reject()
            raise
        self.unread_size = len(data) - end - 4
        self._scanned = self._empty_lines = 0
        self.request_count += 1
        length = self.section.length
        if length == 0:
            self.phase = COMPLETE_PHASE
        elif 0 < length <= self.unread_size:
            # PERF: most bodies are small and arrive with their head.
            self.phase = COMPLETE_PHASE
            request.body = BytesContent(data[end + 4 : end + 4 + length])
            self.unread_size -= length
            self.body_size += length
        else:
            self._expect_body(self.section)
        return request

    def _expect_body(self, section: HeaderSection) -> None:
        self.framing = ChunkedBody(self._limits) if section.length == CHUNKED else CountedBody(section.length)
        # A client that sends its body at once doesn't wait for 100 (RFC 9110 §10.1.1).
        self.body_wanted = not section.expects_continue or self.unread_size > 0
        self.phase = BODY_PHASE

    def take_body(self) -> bytes:
        """Return what has arrived of the body; in DRAIN, drop it. Raises ProtocolError for invalid framing."""
        try:
            piece, end = self.framing.take(self._data, self._start)
        except ProtocolError:
            self.abort_body()
            raise
        self.unread_size = len(self._data) - end
        self.body_size += len(piece)
        if piece:
            self.body_wanted = True
        if self.phase is DRAIN_PHASE:
            self._dropped_size += len(piece)
            if self.framing.complete:
                self.phase = HEAD_PHASE
            elif self._dropped_size > self._limits.drain_size:
                self.phase = LINGER_PHASE
            return b""
        if self.framing.complete:
            self.phase = COMPLETE_PHASE
        return piece

    def abort_body(self) -> None:
        """Ignore the rest of the body; the bytes after it can't be a request either."""
        if self.phase is DRAIN_PHASE:
            self.reject()
        else:
            self.keep_alive = False
            self.phase = ABORTED_PHASE
            self._drop(self.unread_size)

    def decide_keep_alive(self) -> bool:
        """Decide, when the response starts, whether the connection stays open after it."""
        self.keep_alive = (
            self.keep_alive
            and self.section.persistent
            and not self.stopping
            and self.request_count < self._limits.request_count
            and not (self.eof and self.unread_size == 0)
            and (self.phase is COMPLETE_PHASE or self._can_drain())
        )
        self.body_wanted = True  # a final response replaces 100
        return self.keep_alive

    def _can_drain(self) -> bool:
        """Whether the rest of the body is small and certain to come: without a 100, the client may not send it."""
        left = self.framing.left
        return self.body_wanted and (left is None or left <= self._limits.drain_size)

    def finish_response(self) -> None:
        """Enter the phase after a complete response."""
        self._dropped_size = 0
        if not self.keep_alive:
            quiet = self.phase is COMPLETE_PHASE and self.unread_size == 0
            # A client that asked to close and has sent everything needs no lingering, and a closed one neither.
            self.phase = CLOSED_PHASE if self.eof or (quiet and not self.section.persistent) else LINGER_PHASE
            self._drop(self.unread_size)
        elif self.phase is COMPLETE_PHASE:
            self.phase = HEAD_PHASE
        else:
            self.phase = DRAIN_PHASE

    def reject(self) -> None:
        """Ignore all input from now on."""
        self.keep_alive = False
        self.phase = LINGER_PHASE
        self._drop(self.unread_size)

    def receive_eof(self) -> None:
        """Note that the client sends nothing more."""
        self.eof = True
        if self.phase is LINGER_PHASE or self.phase is DRAIN_PHASE:
            self.phase = CLOSED_PHASE

    def _drop(self, size: int) -> None:
        self._data, self._scanned, self.unread_size = b"", 0, 0
        self._dropped_size += size
        if self.phase is LINGER_PHASE and (self.eof or self._dropped_size > self._limits.linger_size):
            self.phase = CLOSED_PHASE

    def _skip_empty_lines(self) -> None:
        while self._empty_lines < EMPTY_LINE_COUNT and self._data.startswith(b"\r\n", self._start):
            self.unread_size -= 2
            self._empty_lines += 1

    def _check_partial_head(self) -> None:
        """Raise ProtocolError if no further input can make this a valid head."""
        self._check_sizes()
        error = self._find_invalid(self._scanned - 1, len(self._data))
        if error is not None:
            raise error
        self._scanned = len(self._data)

    def _check_sizes(self) -> None:
        """Raise ProtocolError for a request line or a section that is too long already."""
        data, start, limits = self._data, self._start, self._limits
        line_end = data.find(b"\r\n", start, start + limits.line_size + 2)
        if line_end >= 0:
            self._check_size(line_end, limits.head_size, b"\r\n\r\n", ProtocolError(431))
        elif data.find(b" ", start, start + METHOD_SIZE) >= 0:
            self._check_size(start, limits.line_size, b"\r\n", ProtocolError(414))
        else:
            self._check_size(start, limits.line_size, b"\r\n", ProtocolError(501, "a method of this length"))

    def _check_size(self, start: int, limit: int, ending: bytes, error: ProtocolError) -> None:
        """Raise `error` for more than `limit` bytes from `start` on, not counting `ending` or a prefix of it.

        An invalid byte before the limit takes precedence, as it would if the bytes arrived one by one.
        """
        for end in range(start + limit + 1, min(start + limit + len(ending), len(self._data)) + 1):
            prefix = next((n for n in range(len(ending) - 1, 0, -1) if self._data.endswith(ending[:n], start, end)), 0)
            if end - prefix > start + limit:
                raise self._find_invalid(0, end) or error

    def _find_invalid(self, start: int, end: int) -> ProtocolError | None:
        """Return the error for a byte between `start` and `end` that no head contains, if there is one."""
        if _INVALID.search(self._data, max(start, self._start), end) is None:
            return None
        return ProtocolError(400, "each line of the head must end with CRLF, and contain no CR, LF or NUL")
