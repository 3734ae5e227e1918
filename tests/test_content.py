"""Content in memory and its slices, and uploads with a size limit."""

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
def test_a_slice_has_the_bytes_that_it_says(start: int, stop: int) -> None:
    part = BytesContent(DATA).slice(start, stop)
    assert part.size == stop - start
    assert asyncio.run(read_all(part)) == DATA[start:stop]
    assert asyncio.run(read_all(part.slice(0, part.size // 2))) == DATA[start : start + part.size // 2]


def test_a_long_slice_holds_no_copy() -> None:
    part = BytesContent(DATA).slice(1, len(DATA))
    assert isinstance(part, Stream)

    async def pieces() -> list[int]:
        return [len(piece) async for piece in part]

    assert max(asyncio.run(pieces())) == CHUNK_SIZE


async def chunks(start: int, stop: int) -> AsyncIterator[bytes]:
    for position in range(start, stop):
        yield DATA[position : position + 1]


def test_an_upload_may_have_as_many_bytes_as_its_limit_and_no_more() -> None:
    upload = SizeLimitedUpload(Stream(chunks, 0, 3), 3)
    assert (upload.size, asyncio.run(read_all(upload))) == (3, DATA[:3])
    with pytest.raises(ContentTooLarge) as refused:
        SizeLimitedUpload(Stream(chunks, 0, 4), 3)
    assert refused.value.limit == 3


class UnknownSize:
    size = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return chunks(0, 4)


def test_an_upload_of_unknown_size_that_exceeds_its_limit_raises_the_given_error() -> None:
    with pytest.raises(NoSpace, match="full"):
        asyncio.run(read_all(SizeLimitedUpload(UnknownSize(), 3, NoSpace("full"))))
