"""Where a request's body ends: after a count of bytes (RFC 9112 §6.2), or after the last chunk and the trailers (§7.1).

`take` reads from the received data and returns the position after it. Chunk extensions and trailers are checked,
bounded and dropped: nothing uses them, and merging trailers into the headers would let a body change what was already
decided.
"""

import re
from typing import Final

from docstore.limits import Limits
from docstore.server.http1.parser import ProtocolError, parse_fields

CHUNK_LINE_SIZE: Final = 1024
"""Bytes of the line with a chunk's size and extensions."""
CHUNK_SIZE_LIMIT: Final = 2**40
"""Bytes of a chunk. No document is that large, so a chunk that is will never arrive."""
EXTENSIONS_SIZE: Final = 16 * 1024
"""Bytes of all extensions of a body, so that many small chunks can't carry more."""

_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?")


class CountedBody:
    """A body whose length was announced; `left` bytes of it are missing."""

    __slots__ = ("complete", "left")

    def __init__(self, length: int) -> None:
        self.left = length
        self.complete = length == 0

    def take(self, data: bytes, position: int) -> tuple[bytes, int]:
        """Return the content in `data` from `position` on, and the position after it."""
        size = min(self.left, len(data) - position)
        self.left -= size
        self.complete = self.left == 0
        # PERF: a segment that is all body is returned as it is, not copied.
        piece = data if size == len(data) else data[position : position + size]
        return piece, position + size


class ChunkedBody:
    """A body in chunks, whose length is unknown."""

    __slots__ = ("_chunk_left", "_extensions_size", "_in_trailers", "_limits", "complete")

    left: Final = None

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._chunk_left = 0
        """Missing bytes of the current chunk, including its final CRLF; 0 before a chunk's line."""
        self._extensions_size = 0
        self._in_trailers = False
        self.complete = False

    def take(self, data: bytes, position: int) -> tuple[bytes, int]:
        """Like CountedBody.take. Raises ProtocolError for invalid framing."""
        pieces: list[bytes] = []
        while not self.complete:
            if self._in_trailers:
                after = self._take_trailers(data, position)
            elif not self._chunk_left:
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
                raise ProtocolError(400, "the line of a chunk is too long")
            return position
        match = _CHUNK_LINE.fullmatch(data, position, end - 1) if data[end - 1] == 0x0D else None
        if match is None or end == position:
            raise ProtocolError(400, "a chunk doesn't start with its size")
        self._extensions_size += end - 1 - match.end(1)
        if self._extensions_size > EXTENSIONS_SIZE:
            raise ProtocolError(400, "too many chunk extensions")
        size = int(match[1], 16)
        if size > CHUNK_SIZE_LIMIT:
            raise ProtocolError(413, "a chunk is too large")
        if size == 0:
            self._in_trailers = True
        else:
            self._chunk_left = size + 2
        return end + 1

    def _take_chunk(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        size = min(self._chunk_left - 2, len(data) - position)
        if size > 0:
            pieces.append(data[position : position + size])
            self._chunk_left -= size
            return position + size
        ending = data[position : position + 2]
        if not b"\r\n".startswith(ending):
            raise ProtocolError(400, "a chunk is longer than its size")
        if len(ending) < 2:
            return position
        self._chunk_left = 0
        return position + 2

    def _take_trailers(self, data: bytes, position: int) -> int:
        if data.startswith(b"\r\n", position):
            self.complete = True
            return position + 2
        end = data.find(b"\r\n\r\n", position)
        if (len(data) if end < 0 else end) - position > self._limits.head_size:
            raise ProtocolError(431, "the trailers are too large")
        if end < 0:
            return position
        parse_fields(data[position : end + 2], self._limits.field_count)
        self.complete = True
        return end + 4
