"""Where a request's body ends: after a count of bytes (RFC 9112 §6.2), or after the last chunk and the trailers (§7.1).

`take` is given what has come and says how far it got. Chunk extensions and trailers are checked, bounded and dropped:
nobody here acts on them, and merging trailers into the header would let a body change what was decided before it.
"""

import re
from typing import Final

from docstore.limits import Limits
from docstore.server.http1.errors import ProtocolError
from docstore.server.http1.fields import parse_lines

_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?")

CHUNK_LINE_SIZE: Final = 1024
"""Bytes of a chunk's size and extensions."""
EXTENSIONS_SIZE: Final = 16 * 1024
"""Bytes of all extensions of a body: many small chunks don't make a large one."""


class Counted:
    """A body of `left` bytes more."""

    __slots__ = ("ended", "left")

    def __init__(self, length: int) -> None:
        self.left = length
        self.ended = length == 0

    def take(self, data: bytes, position: int) -> tuple[bytes, int]:
        """What `data` holds of the body from `position` on, and where it stops."""
        size = min(self.left, len(data) - position)
        self.left -= size
        self.ended = self.left == 0
        # PERF: a segment that is body from end to end is handed on as it is, not copied.
        piece = data if size == len(data) else data[position : position + size]
        return piece, position + size


class Chunked:
    """A chunked body; what is left of it nobody knows."""

    __slots__ = ("_chunk", "_extensions", "_limits", "_trailers", "ended")

    left: Final = None

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._chunk = 0
        """Bytes that are missing of the present chunk, its last CRLF included; 0 before a chunk's line."""
        self._extensions = 0
        self._trailers = False
        self.ended = False

    def take(self, data: bytes, position: int) -> tuple[bytes, int]:
        """As Counted's. Raises ProtocolError for what is no chunked body."""
        pieces: list[bytes] = []
        while not self.ended:
            if self._trailers:
                after = self._take_trailers(data, position)
            elif not self._chunk:
                after = self._take_line(data, position)
            else:
                after = self._take_chunk(data, position, pieces)
            if after == position:
                break
            position = after
        return b"".join(pieces) if len(pieces) != 1 else pieces[0], position

    def _take_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position, position + CHUNK_LINE_SIZE)
        if end < 0:
            if len(data) - position >= CHUNK_LINE_SIZE:
                raise ProtocolError(400, "a chunk's line is too long")
            return position
        match = _CHUNK_LINE.fullmatch(data, position, end - 1) if data[end - 1] == 0x0D else None
        if match is None or end == position:
            raise ProtocolError(400, "a chunk doesn't begin with its size")
        self._extensions += end - 1 - match.end(1)
        if self._extensions > EXTENSIONS_SIZE:
            raise ProtocolError(400, "too many chunk extensions")
        size = int(match[1], 16)
        if size == 0:
            self._trailers = True
        else:
            self._chunk = size + 2
        return end + 1

    def _take_chunk(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        size = min(self._chunk - 2, len(data) - position)
        if size > 0:
            pieces.append(data[position : position + size])
            self._chunk -= size
            return position + size
        if len(data) - position < 2:
            if data[position : position + 1] not in (b"", b"\r"):
                raise ProtocolError(400, "a chunk is longer than its size")
            return position
        if data[position : position + 2] != b"\r\n":
            raise ProtocolError(400, "a chunk is longer than its size")
        self._chunk = 0
        return position + 2

    def _take_trailers(self, data: bytes, position: int) -> int:
        if data.startswith(b"\r\n", position):
            self.ended = True
            return position + 2
        end = data.find(b"\r\n\r\n", position)
        if (len(data) if end < 0 else end) - position > self._limits.head_size:
            raise ProtocolError(431, "the trailers are too large")
        if end < 0:
            return position
        parse_lines(data[position : end + 2], self._limits.field_count)
        self.ended = True
        return end + 4
