"""One HTTP/1.1 connection of the client whose methods block: sends a request and parses its response (RFC 9112).

It is written over sockets because a command has to start quickly: `http.client` loads the parsers of mail, and httpx2
takes longer to load than everything else that `docstore get` needs, and several times as long for each request. What
is not exactly a response of HTTP/1.1 or 1.0 is a TransportError, and its connection is not used again.
"""

import re
import select
import socket
from collections.abc import Iterator
from typing import Final

from docstore.client.stalls import ReceiveLimits, head_end_after
from docstore.client.transport import TransportError
from docstore.http.headers import parse_natural

HEAD_LIMIT: Final = 128 * 1024
"""Bytes of the head of a response, and of the line of a chunk."""
INTERIM_LIMIT: Final = 20
"""Responses with a status of 1xx before the final one."""
_TRAILER_LIMIT: Final = 100
_BLOCK_SIZE: Final = 256 * 1024
_JOINED_SIZE: Final = 64 * 1024
"""Content up to this size is copied, to be sent together with the head."""

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [\t -~\x80-\xff]*)?")
_HEADER_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*)")
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
_SIZE_LIMIT: Final = 2**63 - 1


class HTTPConnection:
    """A connection for one request at a time. Every failure of the socket is a TransportError."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._received = b""
        self._content: Iterator[bytes] = iter(())
        self._keep_alive = True
        self._complete = False
        """Whether all of the response was received."""
        self._timeout_s = 0.0
        self._head_end: float | None = None
        """The time at which the head must be complete; None while content is received."""
        self._limits: Final = ReceiveLimits()

    @property
    def is_reusable(self) -> bool:
        """Whether another request may follow the response that was read."""
        return self._keep_alive and self._complete and not self._received

    def is_idle(self) -> bool:
        """Whether the server has neither closed the connection nor sent what was not asked for."""
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            return not poll.poll(0)
        return not select.select([self._socket], (), (), 0)[0]

    def send(self, head: bytes, content: bytes | Iterator[bytes], timeout_s: float, *, chunked: bool = False) -> None:
        """Send a request. Raise TransportError, and what producing the content raises."""
        self._socket.settimeout(timeout_s)
        self._timeout_s = timeout_s
        self._complete = False
        if isinstance(content, bytes):
            if len(content) <= _JOINED_SIZE:
                head, content = head + content, b""
            content = iter(_blocks_of(content))
        sending = self._send(head)
        for block in content if sending else ():
            if not self._send(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block):
                return
        if sending and chunked:
            self._send(b"0\r\n\r\n")

    def _send(self, data: bytes) -> bool:
        """Return False if the connection broke: the server may have responded before."""
        try:
            self._socket.sendall(data)
        except TimeoutError as error:
            raise TransportError("no response in time") from error
        except OSError:
            self._keep_alive = False
            return False
        return True

    def receive_head(self, method: str) -> tuple[int, dict[str, str]]:
        """Return status and headers of the final response. Raise TransportError."""
        self._head_end = head_end_after(self._timeout_s)
        self._received = self._receive(_BLOCK_SIZE)
        if not self._received:
            raise TransportError("the server closed the connection without a response")
        for _ in range(INTERIM_LIMIT):
            version, status, headers = _parse_head(self._read_until(b"\r\n\r\n"))
            if status >= 200:
                options = {option.strip().lower() for option in headers.get("connection", "").split(",")}
                keeps = "close" not in options if version == b"1" else "keep-alive" in options
                self._keep_alive = self._keep_alive and keeps
                self._content = self._pieces(method, status, headers)
                self._head_end = None
                self._socket.settimeout(self._timeout_s)
                return status, headers
        raise TransportError("the server sends no final response")

    def read(self) -> bytes:
        """Return the next bytes of the content; b"" at its end. Raise TransportError."""
        return next(self._content, b"")

    def _pieces(self, method: str, status: int, headers: dict[str, str]) -> Iterator[bytes]:
        """Return the pieces of the content (RFC 9112 §6.3)."""
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if method == "HEAD" or status in (204, 304):
            self._complete = True
            return iter(())
        if coding is not None:
            if coding.lower() != "chunked":
                raise TransportError(f"the response has the unknown coding {coding[:100]!r}")
            self._keep_alive = self._keep_alive and length is None
            return self._chunks()
        if length is None:
            self._keep_alive = False
            return iter(self._read_some, b"")
        sizes = {size.strip() for size in length.split(",")}  # the lines of a repeated field are joined
        size = parse_natural(sizes.pop(), _SIZE_LIMIT)
        if size is None or sizes:
            raise TransportError("the response has an invalid Content-Length")
        self._complete = not size
        return self._sized(size, last=True)

    def _sized(self, left: int, *, last: bool) -> Iterator[bytes]:
        while left:
            piece = self._read_some(left)
            if not piece:
                raise TransportError("the response ended early")
            left -= len(piece)
            self._complete = last and not left
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := self._chunk_size():
            yield from self._sized(size, last=False)
            if self._read_until(b"\r\n"):
                raise TransportError("the response has an invalid chunk")
        for _ in range(_TRAILER_LIMIT):
            if not self._read_until(b"\r\n"):
                self._complete = True
                return
        raise TransportError("the response does not end")

    def _chunk_size(self) -> int:
        line = _CHUNK_LINE.fullmatch(self._read_until(b"\r\n"))
        if line is None:
            raise TransportError("the response has an invalid chunk")
        return int(line[1], 16)

    def _read_until(self, end: bytes) -> bytes:
        """Return the bytes before the next `end`."""
        searched = 0
        while (position := self._received.find(end, searched)) < 0:
            searched = max(0, len(self._received) - len(end) + 1)
            if searched > HEAD_LIMIT:
                raise TransportError("the head of the response is too large")
            if not (more := self._receive(_BLOCK_SIZE)):
                raise TransportError("the response ended early")
            self._received += more
        before, self._received = self._received[:position], self._received[position + len(end) :]
        return before

    def _read_some(self, limit: int = _BLOCK_SIZE) -> bytes:
        """Return 1 to `limit` of the next bytes; b"" at the end of the connection."""
        if not self._received:
            return self._receive(min(limit, _BLOCK_SIZE))
        piece, self._received = self._received[:limit], self._received[limit:]
        return piece

    def _receive(self, limit: int) -> bytes:
        """Return what arrives next. Raise TransportError for an error, and for a server that makes no progress."""
        timeout_s = self._limits.begin(self._timeout_s, self._head_end)
        try:
            if self._head_end is not None:
                self._socket.settimeout(timeout_s)
            data = self._socket.recv(limit)
        except TimeoutError as error:
            raise TransportError("no response in time") from error
        except OSError as error:
            raise TransportError(error.strerror or str(error)) from error
        self._limits.end(len(data), self._timeout_s, self._head_end)
        return data

    def close(self) -> None:
        self._socket.close()


def _blocks_of(content: bytes) -> Iterator[bytes]:
    """Divide content that is in memory, because a timeout is for each call that sends."""
    return (content[start : start + _BLOCK_SIZE] for start in range(0, len(content), _BLOCK_SIZE))


def _parse_head(head: bytes) -> tuple[bytes, int, dict[str, str]]:
    """Return minor version, status and headers. Raise TransportError."""
    first, *lines = head.split(b"\r\n")
    status_line = _STATUS_LINE.fullmatch(first)
    if status_line is None:
        raise TransportError("the response is not HTTP")
    headers: dict[str, str] = {}
    for line in lines:
        field = _HEADER_LINE.fullmatch(line)
        if field is None:
            raise TransportError("the response has an invalid header")
        name, value = field[1].decode("ascii").lower(), field[2].decode("latin-1").rstrip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return status_line[1], int(status_line[2]), headers
