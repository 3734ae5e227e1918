"""A request and a response as values: what the wire and every adapter speak, and all that `handle` sees.

Field names are lower-case bytes, as HTTP/2 and ASGI have them; values are bytes until somebody asks. Nothing is decoded
that no rule needs, which is most of it on most requests.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final

from docstore.content import Content, Inline, Upload

HeaderPairs = list[tuple[bytes, bytes]]


class Headers:
    """The fields of one request, names in lower case, in the order of the wire."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._pairs = list(pairs)

    def get(self, name: str) -> str | None:
        """The field's value, several lines joined by ", " (RFC 9110 §5.3); None when it was not sent."""
        wanted = name.encode("latin-1")
        values = [value for field, value in self._pairs if field == wanted]
        if not values:
            return None
        return b", ".join(values).decode("latin-1").strip(" \t")

    def lines(self, name: str) -> list[str]:
        """The field's lines, each for itself: for fields that are not lists."""
        wanted = name.encode("latin-1")
        return [value.decode("latin-1").strip(" \t") for field, value in self._pairs if field == wanted]

    def names(self) -> set[bytes]:
        return {field for field, _ in self._pairs}

    def pairs(self) -> HeaderPairs:
        return self._pairs

    def __contains__(self, name: str) -> bool:
        wanted = name.encode("latin-1")
        return any(field == wanted for field, _ in self._pairs)


@dataclass(slots=True)
class Request:
    """One request. `path` and `query` are as they were on the wire: nothing decoded, no dot segment removed."""

    method: str
    path: str
    query: str
    headers: Headers
    body: Upload


NOTHING: Final = Inline(b"")


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


@dataclass(slots=True)
class Response:
    """One final response. Adapters add `date` and framing; `content-length` is here whenever the size is known.

    With `head_only` the fields are those of a GET and the content is not sent.
    """

    status: int
    headers: HeaderPairs
    content: Content | Joined | Generated = NOTHING
    head_only: bool = False
