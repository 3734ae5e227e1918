"""A request and a response as values: what the wire and every adapter speak, and all that `handle` sees.

Field names are lower-case bytes, as HTTP/2 and ASGI have them; values are bytes until somebody asks. Nothing is decoded
that no rule needs, which is most of it on most requests.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from docstore.content import BytesContent, Content, Upload

HeaderPairs = list[tuple[bytes, bytes]]
T = TypeVar("T")


class Headers:
    """The fields of one request, names in lower case, in the order of the wire. Nobody changes them."""

    __slots__ = ("_by_name", "_learned", "_pairs", "names")

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._pairs = list(pairs)
        self.names: Final = frozenset([field for field, _ in self._pairs])
        self._by_name: dict[str, str | None] = {}
        self._learned: dict[Callable[[Headers], object], object] = {}

    def get(self, name: str) -> str | None:
        """The field's value, several lines joined by ", " (RFC 9110 §5.3); None when it was not sent."""
        # PERF: clients repeat their fields, and the wire hands over the same Headers for them: most fields are decoded
        # once, then looked up, those too that are not there. A scan for each `get` was 1 us of a GET's 13 and some 2 us
        # of a PUT's 47.
        if name not in self._by_name:
            lines = self.lines(name)
            self._by_name[name] = ", ".join(lines).strip(" \t") if lines else None
        return self._by_name[name]

    def learn(self, read: Callable[["Headers"], T]) -> T:
        """What `read` makes of these fields, made once: nobody changes them. What it raises is not remembered."""
        if read not in self._learned:
            self._learned[read] = read(self)
        return cast(T, self._learned[read])

    def lines(self, name: str) -> list[str]:
        """The field's lines, each for itself: for fields that are not lists."""
        wanted = name.encode("latin-1")
        if wanted not in self.names:
            return []
        return [value.decode("latin-1").strip(" \t") for field, value in self._pairs if field == wanted]

    def pairs(self) -> HeaderPairs:
        return self._pairs

    def __contains__(self, name: str) -> bool:
        return name.encode("latin-1") in self.names


NOTHING: Final = BytesContent(b"")


@dataclass(slots=True)
class Request:
    """One request. `path` and `query` are as they were on the wire: nothing decoded, no dot segment removed."""

    method: str
    path: str
    query: str
    headers: Headers
    body: Upload = NOTHING


class Unsendable(ValueError):
    """The response can't be sent as it is: a fault of whoever made it."""


def field_lines(headers: HeaderPairs) -> bytes:
    """Raises Unsendable for a field that would end its line early, and so could forge a second answer."""
    if not headers:
        return b""
    lines = b"\r\n".join(map(b": ".join, headers)) + b"\r\n"
    # PERF: what is left without these characters is counted: one pass, a third of what three searches take.
    if len(lines) - len(lines.translate(None, b"\r\n\0")) != 2 * len(headers):
        raise Unsendable(f"a field of a response holds CR, LF or NUL: {lines[:200]!r}")
    return lines


def with_length(lines: bytes, size: int) -> bytes:
    """`lines` with the content-length that `size` demands. Raises Unsendable when they say another."""
    line = b"\ncontent-length: %d\r\n" % size
    if lines.endswith(line) or line in lines or lines.startswith(line[1:]):
        return lines
    if lines.startswith(b"content-length:") or b"\ncontent-length:" in lines:
        raise Unsendable(f"the content has {size} bytes, its content-length says otherwise")
    return lines + line[1:]


@dataclass(frozen=True, slots=True)
class Generated:
    """Content that is made while it is sent; how much it will be, nobody knows yet. Good for one reading."""

    chunks: AsyncIterator[bytes]
    size: None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.chunks


@dataclass(frozen=True, slots=True)
class Joined:
    """Several stretches of content, one after the other."""

    parts: tuple[Content, ...]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            async for chunk in part:
                yield chunk


Sendable = Content | Joined | Generated
"""What a response may carry."""


class Block:
    """Fields that many answers share, ready to be sent: as the lines that they are in HTTP/1.1, and as pairs."""

    __slots__ = ("_pairs", "lines", "size")

    def __init__(self, pairs: HeaderPairs, *, after: "Block | None" = None, size: int | None = None) -> None:
        """`pairs`, after the fields of another block; then the length of content of `size`. Raises Unsendable."""
        lines = (b"" if after is None else after.lines) + field_lines(pairs)
        self.lines: Final[bytes] = lines if size is None else with_length(lines, size)
        self.size: Final = size
        self._pairs: tuple[tuple[bytes, bytes], ...] | None = None

    @property
    def pairs(self) -> tuple[tuple[bytes, bytes], ...]:
        # Made when they are asked for: few blocks are, and the pairs take five times the memory of the lines.
        if self._pairs is None:
            parts = [line.partition(b": ") for line in self.lines.splitlines()]
            self._pairs = tuple((name, value) for name, _, value in parts)
        return self._pairs


class Response:
    """One final response. Adapters add `date` and framing; `content-length` is here whenever the size is known.

    `block` comes before `headers`. With `head_only` the fields are those of a GET and the content is not sent.
    """

    __slots__ = ("_block", "_headers", "content", "head_only", "status")

    def __init__(
        self,
        status: int,
        headers: HeaderPairs,
        content: Sendable = NOTHING,
        block: Block | None = None,
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
        """A list that may be added to. Who looks at it may change it, so a Block is turned into one and forgotten."""
        if self._block is not None:
            self._headers, self._block = [*self._block.pairs, *self._headers], None
        return self._headers

    @headers.setter
    def headers(self, headers: HeaderPairs) -> None:
        self._headers, self._block = headers, None

    def lines(self, size: int | None = None) -> bytes:
        """The fields as HTTP/1.1 has them, with the content-length for content of `size`. Raises Unsendable."""
        block = self._block
        if block is None:
            lines = field_lines(self._headers)
        elif self._headers:
            lines = block.lines + field_lines(self._headers)
        elif size == block.size:
            return block.lines
        else:
            lines = block.lines
        return lines if size is None else with_length(lines, size)
