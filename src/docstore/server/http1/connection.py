"""One connection as a state machine: bytes in, requests and pieces of bodies out. No I/O, no clock, no waiting.

    HEAD ──take_request──▶ BODY ──take_body──▶ ENDED ──answered──▶ HEAD        (kept)
                            │                    └─────answered──▶ LINGER      (not kept)
                            └──answered──▶ DRAIN ──▶ HEAD                      (the rest is small: dropped, kept)
                                             └─────▶ LINGER                    (it is not)
    a body that breaks off ──▶ BROKEN ──answered──▶ LINGER
    anything refused ──▶ LINGER ──▶ OVER

Requests are taken one at a time: what a client sends ahead stays unparsed until the answer before it is out, so
answers come in order, and after a refusal nothing is left that could be mistaken for a request. In LINGER what comes
is counted and dropped, so that a client that is still sending can read its answer before the connection goes
(RFC 9112 §9.6).
"""

import re
from enum import Enum
from typing import Final

from docstore.http.message import Headers, Request
from docstore.limits import Limits
from docstore.server.http1.errors import ProtocolError
from docstore.server.http1.fields import CHUNKED, Section
from docstore.server.http1.framing import Chunked, Counted
from docstore.server.http1.parser import parse_head

_BROKEN: Final = re.compile(rb"\r(?!\n|\Z)|(?<!\r)\n|\x00")
"""What never stands in a head, seen without waiting for the head's end."""

METHOD_SIZE: Final = 64
CR: Final = 0x0D
EMPTY_LINES: Final = 4
"""CRLFs that may stand before a request line (RFC 9112 §2.2): some clients end a body with one."""
_NO_SECTION: Final = Section(Headers(), minor=1, length=0, persistent=True, expects=False)


class Phase(Enum):
    HEAD = "a request's head is awaited"
    BODY = "its body is awaited"
    ENDED = "the request is there, its answer is not out"
    BROKEN = "its body is not what was announced, its answer is not out"
    DRAIN = "its answer is out, the rest of its body is awaited and dropped"
    LINGER = "nothing more is taken or answered"
    OVER = "the connection can go"


# PERF: on Python 3.11 an enumeration's member takes 70 ns to look up, a name of the module 7; a request needs a dozen.
HEAD: Final = Phase.HEAD
BODY: Final = Phase.BODY
ENDED: Final = Phase.ENDED
BROKEN: Final = Phase.BROKEN
DRAIN: Final = Phase.DRAIN
LINGER: Final = Phase.LINGER
OVER: Final = Phase.OVER


class Connection:
    """What has come over one connection, and what follows from it."""

    __slots__ = ("_data", "_dropped", "_empty_lines", "_limits", "_scanned", "continued", "ended", "framing", "kept",
                 "phase", "received", "requests", "section", "stopping", "waiting_size")  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._data = b""
        self._scanned = 0
        """Where in the data the search for the end of a head goes on; below 0 when that was cut off with the rest."""
        self.waiting_size = 0
        """Bytes that came and were not taken: the last ones of the data."""
        self._empty_lines = 0
        self._dropped = 0
        self.phase = HEAD
        self.section = _NO_SECTION
        """The header section, as it came, of the request that was taken last: of the present one, until `answered`."""
        self.framing: Counted | Chunked = Counted(0)
        self.continued = False
        """Whether the client has been told, or has shown, that its body is wanted."""
        self.kept = True
        """Whether another request may follow; decided when the answer begins."""
        self.stopping = False
        self.ended = False
        """Whether the client has said that nothing more comes."""
        self.requests = 0
        self.received = 0
        """Bytes of bodies, for the pace."""

    def receive(self, data: bytes) -> None:
        """Keeps what came for the `take_` methods."""
        phase = self.phase
        if phase is not HEAD and (phase is BROKEN or phase is LINGER or phase is OVER):
            self._drop(len(data))
        elif not self.waiting_size:
            self._data, self._scanned = data, 0
            self.waiting_size = len(data)
        else:
            self._scanned -= self._start
            self._data = self._data[self._start :] + data
            self.waiting_size = len(self._data)

    @property
    def _start(self) -> int:
        """Where in the data that begins which was not taken."""
        return len(self._data) - self.waiting_size

    def take_request(self) -> Request | None:
        """The next request, None while its head isn't whole. Raises ProtocolError: then there is no next request.

        Only in the phase HEAD. The phase after it is BODY, and the body is for others to join to it; or ENDED when
        there is none.
        """
        if not self.waiting_size:
            return None
        data = self._data
        start = len(data) - self.waiting_size
        if data[start] == CR:
            self._skip_empty_lines()
            if not self.waiting_size:
                return None
            start = self._start
        end = data.find(b"\r\n\r\n", max(start, self._scanned - 3) if self._scanned else start)
        try:
            if end < 0:
                self._check_partial()
                return None
            line_end, limits = data.find(b"\r\n", start), self._limits
            if line_end - start > limits.line_size or end - line_end > limits.head_size:
                self._check_sizes()
            line, section = data[start:line_end].decode("latin-1"), data[line_end + 2 : end + 2]
            try:
                request, self.section = parse_head(line, section, limits.field_count)
            except ProtocolError as refused:
                raise self._broken(0, end) or refused from None
        except ProtocolError:
            self.refuse()
            raise
        self.waiting_size = len(data) - end - 4
        self._scanned = self._empty_lines = 0
        self.requests += 1
        if self.section.length == 0:
            self.phase = ENDED
        else:
            self._await_body(self.section)
        return request

    def _await_body(self, section: Section) -> None:
        self.framing = Chunked(self._limits) if section.length == CHUNKED else Counted(section.length)
        # Who sends its body at once doesn't wait for 100 (RFC 9110 §10.1.1).
        self.continued = not section.expects or self.waiting_size > 0
        self.phase = BODY

    def take_body(self) -> bytes:
        """What has come of the body; in DRAIN it is dropped. Raises ProtocolError when it is not framed as
        announced."""
        try:
            piece, end = self.framing.take(self._data, self._start)
        except ProtocolError:
            self.break_off()
            raise
        self.waiting_size = len(self._data) - end
        self.received += len(piece)
        if piece:
            self.continued = True
        if self.phase is DRAIN:
            self._dropped += len(piece)
            if self.framing.ended:
                self.phase = HEAD
            elif self._dropped > self._limits.drain_size:
                self.phase = LINGER
            return b""
        if self.framing.ended:
            self.phase = ENDED
        return piece

    def break_off(self) -> None:
        """The rest of the body won't come, or isn't one: what follows is no request either."""
        if self.phase is DRAIN:
            self.refuse()
        else:
            self.kept = False
            self.phase = BROKEN
            self._drop(self.waiting_size)

    def decide(self) -> bool:
        """Whether the connection is kept after the answer that begins now; until `answered` it stays decided."""
        self.kept = (
            self.kept
            and self.section.persistent
            and not self.stopping
            and self.requests < self._limits.request_count
            and not (self.ended and self.waiting_size == 0)
            and (self.phase is ENDED or self._rest_is_small())
        )
        self.continued = True  # a final answer stands in for 100
        return self.kept

    def _rest_is_small(self) -> bool:
        """What was never asked for may never come, and what comes then can't be told from the next request."""
        left = self.framing.left
        return self.continued and (left is None or left <= self._limits.drain_size)

    def answered(self) -> None:
        """The answer is out, whole."""
        self._dropped = 0
        if not self.kept:
            quiet = self.phase is ENDED and self.waiting_size == 0
            # A client that closes by its own will, having sent all it had to, needs no lingering; nor who has gone.
            self.phase = OVER if self.ended or (quiet and not self.section.persistent) else LINGER
            self._drop(self.waiting_size)
        elif self.phase is ENDED:
            self.phase = HEAD
        else:
            self.phase = DRAIN

    def refuse(self) -> None:
        """Nothing that came or comes is a request any more."""
        self.kept = False
        self.phase = LINGER
        self._drop(self.waiting_size)

    def end(self) -> None:
        """The client sends nothing more."""
        self.ended = True
        if self.phase is LINGER or self.phase is DRAIN:
            self.phase = OVER

    def _drop(self, size: int) -> None:
        self._data, self._scanned, self.waiting_size = b"", 0, 0
        self._dropped += size
        if self.phase is LINGER and (self.ended or self._dropped > self._limits.linger_size):
            self.phase = OVER

    def _skip_empty_lines(self) -> None:
        while self._empty_lines < EMPTY_LINES and self._data.startswith(b"\r\n", self._start):
            self.waiting_size -= 2
            self._empty_lines += 1

    def _check_partial(self) -> None:
        """Raises ProtocolError for a head that can't become one any more."""
        self._check_sizes()
        broken = self._broken(self._scanned - 1, len(self._data))
        if broken is not None:
            raise broken
        self._scanned = len(self._data)

    def _check_sizes(self) -> None:
        """Raises ProtocolError for a line or a section that is too long, as far as it has come."""
        data, start, limits = self._data, self._start, self._limits
        line_end = data.find(b"\r\n", start, start + limits.line_size + 2)
        if line_end >= 0:
            self._check_size(line_end, limits.head_size, b"\r\n\r\n", ProtocolError(431))
        elif data.find(b" ", start, start + METHOD_SIZE) >= 0:
            self._check_size(start, limits.line_size, b"\r\n", ProtocolError(414))
        else:
            self._check_size(start, limits.line_size, b"\r\n", ProtocolError(501, "a method of this length"))

    def _check_size(self, start: int, limit: int, ending: bytes, refused: ProtocolError) -> None:
        """Raises `refused` when more than `limit` bytes come from `start` on, without what is or begins an `ending`.

        What can't be a head before it is too long is refused for that: as it would have been, had it come byte by byte.
        """
        for end in range(start + limit + 1, min(start + limit + len(ending), len(self._data)) + 1):
            begun = next((n for n in range(len(ending) - 1, 0, -1) if self._data.endswith(ending[:n], start, end)), 0)
            if end - begun > start + limit:
                raise self._broken(0, end) or refused

    def _broken(self, start: int, end: int) -> ProtocolError | None:
        """What a character is refused with that stands in no head, when there is one before `end`."""
        if _BROKEN.search(self._data, max(start, self._start), end) is None:
            return None
        return ProtocolError(400, "a line of the head ends with CRLF and with nothing else")
