"""Content in memory: its slices, and what they hold."""

import asyncio

import pytest

from docstore.content import CHUNK_SIZE, BytesContent, Stream, read_all

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
