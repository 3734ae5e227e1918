"""Content in memory and its slices; uploads with a size limit."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from docstore.content import CHUNK_SIZE, BytesContent, SizeLimitedUpload, Stream, read_all
from docstore.errors import ContentTooLarge, NoSpace

DATA = bytes(n * n % 251 for n in range(3 * CHUNK_SIZE + 7))


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (0, 0),
        (0, CHUNK_SIZE),
        (1, CHUNK_SIZE + 1),
        (0, CHUNK_SIZE + 1),
        (5, 2 * CHUNK_SIZE + 5),
        (7, len(DATA)),
        (0, len(DATA)),
    ],
)
def test_a_slice_has_the_bytes_in_its_range(start: int, stop: int) -> None:
    part = BytesContent(DATA).slice(start, stop)
    assert part.size == stop - start
    assert asyncio.run(read_all(part)) == DATA[start:stop]
    assert asyncio.run(read_all(part.slice(0, part.size // 2))) == DATA[start : start + part.size // 2]


def test_a_long_slice_makes_no_copy() -> None:
    part = BytesContent(DATA).slice(1, len(DATA))
    assert isinstance(part, Stream)

    async def pieces() -> list[int]:
        return [len(piece) async for piece in part]

    assert max(asyncio.run(pieces())) == CHUNK_SIZE


def test_an_upload_at_the_limit_is_accepted_and_one_byte_more_is_rejected() -> None:
    assert asyncio.run(read_all(SizeLimitedUpload(Chunks(b"abc", b"de"), 5))) == b"abcde"
    with pytest.raises(ContentTooLarge, match="5 bytes"):
        asyncio.run(read_all(SizeLimitedUpload(Chunks(b"abc", b"def"), 5)))
    with pytest.raises(NoSpace, match="full"):
        asyncio.run(read_all(SizeLimitedUpload(Chunks(b"abcdef"), 5, NoSpace("full"))))


def test_an_announced_size_over_the_limit_is_rejected_at_once() -> None:
    with pytest.raises(ContentTooLarge):
        SizeLimitedUpload(BytesContent(b"abcdef"), 5)


class Chunks:
    """An upload that announces no size."""

    size = None

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
