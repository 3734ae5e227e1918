"""Request and Response: the interface between protocol adapters and `handle`.

Header names are lower-case bytes, as in HTTP/2 and ASGI. Values stay bytes until they are looked up: most headers of
most requests are never decoded.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from docstore.content import BytesContent, Content, Upload
from docstore.frozen import frozen_dataclass

HeaderPairs = list[tuple[bytes, bytes]]
T = TypeVar("T")


class Headers:
    """The header fields of one request, immutable: lower-case names, in the order in which they arrived."""

    __slots__ = ("_by_name", "_cache", "_pairs", "names")

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._pairs = list(pairs)
        self.names: Final = frozenset([field for field, _ in self._pairs])
        self._by_name: dict[str, str | None] = {}
        self._cache: dict[Callable[[Headers], object], Any] = {}

    def get(self, name: str) -> str | None:
        """Return the value, several lines joined by ", " (RFC 9110 §5.3); None when the header was not sent."""
        # PERF: clients repeat their headers, and http1 reuses the Headers for them: values are decoded once, and
        # missing ones are remembered. A scan for each `get` took 1 us of a GET's 13 and some 2 us of a PUT's 47.
        if name not in self._by_name:
            lines = self.lines(name)
            self._by_name[name] = ", ".join(lines).strip(" \t") if lines else None
        return self._by_name[name]

    def cached(self, parse: Callable[["Headers"], T]) -> T:
        """Return `parse(self)`, computed once. Errors are not cached."""
        if parse not in self._cache:
            self._cache[parse] = parse(self)
        value: T = self._cache[parse]  # PERF: `cast` is a call
        return value

    def lines(self, name: str) -> list[str]:
        """Return the lines of a header separately: for those that are not lists."""
        wanted = name.encode("latin-1")
        if wanted not in self.names:
            return []
        return [value.decode("latin-1").strip(" \t") for field, value in self._pairs if field == wanted]

    def pairs(self) -> HeaderPairs:
        return self._pairs

    def __contains__(self, name: str) -> bool:
        return name.encode("latin-1") in self.names


NO_CONTENT: Final = BytesContent(b"")


@dataclass(slots=True)
class Request:
    """One request. `path` and `query` are as received: not decoded, dot segments kept."""

    method: str
    path: str
    query: str
    headers: Headers
    body: Upload = NO_CONTENT
    root: str = ""
    """What precedes the absolute paths of links in the response: "" unless a proxy adds a path of its own."""
    address: str = ""
    """The IP address of the client; "" for a Unix socket. Behind an anonymizing proxy it may be another name."""
    scheme: str = ""
    """The scheme that the client used; "" if it is not known, because there may be a proxy before this server."""
    session: str | None = None
    """The id of the session whose cookie counts for the request; "" if its cookie is invalid, None without one."""
    link: str = ""
    """The id of the signed link in the URL, also if it has ended; "" without one that was signed here."""
    user: str | None = None
    """The name of the user for the page; "" before the login, None where nobody logs in."""


class InvalidResponse(ValueError):
    """The response can't be sent: a bug in the code that made it."""


def header_lines(headers: HeaderPairs) -> bytes:
    """Return the lines of HTTP/1.1. Raise InvalidResponse for CR, LF or NUL, which could forge a second response."""
    if not headers:
        return b""
    lines = b"\r\n".join(map(b": ".join, headers)) + b"\r\n"
    # PERF: comparing lengths takes one pass, a third of the time of three searches.
    if len(lines) - len(lines.translate(None, b"\r\n\0")) != 2 * len(headers):
        raise InvalidResponse(f"a response header contains CR, LF or NUL: {lines[:200]!r}")
    return lines


def add_content_length(lines: bytes, size: int) -> bytes:
    """Return `lines` with a content-length of `size`. Raise InvalidResponse when they have another."""
    line = b"\ncontent-length: %d\r\n" % size
    if lines.endswith(line) or line in lines or lines.startswith(line[1:]):
        return lines
    if lines.startswith(b"content-length:") or b"\ncontent-length:" in lines:
        raise InvalidResponse(f"the content has {size} bytes, but its content-length is different")
    return lines + line[1:]


@frozen_dataclass(frozen=True, slots=True)
class StreamedContent:
    """Content that is generated while it is sent, of unknown size. It can be read once."""

    chunks: AsyncIterator[bytes]
    size: None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.chunks


@frozen_dataclass(frozen=True, slots=True)
class ContentSequence:
    """Several contents, sent one after the other."""

    parts: tuple[Content, ...]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            async for chunk in part:
                yield chunk


ResponseContent = Content | ContentSequence | StreamedContent


class HeaderBlock:
    """Headers that many responses share, prepared as HTTP/1.1 lines, and as pairs on demand."""

    __slots__ = ("_pairs", "lines", "size")

    def __init__(self, pairs: HeaderPairs, *, after: "HeaderBlock | None" = None, size: int | None = None) -> None:
        """Append `pairs` to the block `after`, and a content-length if `size` is given. Raise InvalidResponse."""
        lines = (b"" if after is None else after.lines) + header_lines(pairs)
        self.lines: bytes = lines if size is None else add_content_length(lines, size)
        self.size = size
        self._pairs: tuple[tuple[bytes, bytes], ...] | None = None

    def followed_by(self, lines: bytes, size: int) -> "HeaderBlock":
        """Append `lines`, which are not checked and so must be valid, and a content-length.

        PERF: half of the instructions of a block that checks them.
        """
        block = HeaderBlock.__new__(HeaderBlock)
        block.lines, block.size, block._pairs = b"%b%bcontent-length: %d\r\n" % (self.lines, lines, size), size, None
        return block

    @property
    def pairs(self) -> tuple[tuple[bytes, bytes], ...]:
        # Made on demand: few blocks need them, and pairs take five times the memory of the lines.
        if self._pairs is None:
            parts = [line.partition(b": ") for line in self.lines.splitlines()]
            self._pairs = tuple((name, value) for name, _, value in parts)
        return self._pairs


class Response:
    """One final response. Adapters add `date` and framing; `content-length` is included whenever the size is known.

    `block` precedes `headers`. With `head_only` the headers are those of a GET and the content is not sent.
    """

    __slots__ = ("_block", "_headers", "content", "head_only", "status")

    def __init__(
        self,
        status: int,
        headers: HeaderPairs,
        content: ResponseContent = NO_CONTENT,
        block: HeaderBlock | None = None,
        *,
        head_only: bool = False,
    ) -> None:
        self.status = status
        self.content = content
        self.head_only = head_only
        self._block = block
        self._headers = headers

    @property
    def headers(self) -> HeaderPairs:
        """A mutable list. Because callers may change it, the first access replaces the HeaderBlock by pairs."""
        if self._block is not None:
            self._headers, self._block = [*self._block.pairs, *self._headers], None
        return self._headers

    @headers.setter
    def headers(self, headers: HeaderPairs) -> None:
        self._headers, self._block = headers, None

    def lines(self, size: int | None = None) -> bytes:
        """Return the header lines of HTTP/1.1, with a content-length if `size` is given. Raise InvalidResponse."""
        block = self._block
        if block is None:
            lines = header_lines(self._headers)
        elif self._headers:
            lines = block.lines + header_lines(self._headers)
        elif size == block.size:
            return block.lines
        else:
            lines = block.lines
        return lines if size is None else add_content_length(lines, size)


Handler = Callable[[Request], Awaitable[Response]]
FastHandler = Callable[[Request], Response | None]
"""Answers what needs no waiting, and returns None for everything else."""
FastWriter = Callable[[Request, Callable[[Response], None]], bool]
"""Starts a write whose response it passes on later, and returns False for everything else."""
