"""What was written is what is read: meta, content of every size, slices of it, and readers that keep their version."""

import asyncio
import gc
import hashlib
from typing import Final

import pytest

from docstore.content import read_all
from docstore.engines.contract import Engine, PutRequest
from docstore.model import Fields, Meta
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import EVERY_FIELD, KIB, MIB, PLAIN, made, put, read, shows, version
from docstore.testing.contract.opening import Opening, on_an_engine

SIZES: Final = [0, 1, 511, 512, 513, *(edge + by for edge in (64 * KIB, 256 * KIB, MIB) for by in (-1, 0, 1)), 5 * MIB]
LARGE: Final = 3 * MIB + 1
LASTING: Final = pytest.mark.parametrize("size", [10, 64 * KIB + 1, LARGE])

SLICES: Final = [
    (10, 0, 0),
    (10, 0, 1),
    (10, 0, 10),
    (10, 3, 7),
    (10, 9, 10),
    (10, 10, 10),
    (LARGE, 0, 0),
    (LARGE, 0, LARGE),
    (LARGE, 1, LARGE - 1),
    (LARGE, LARGE - 1, LARGE),
    (LARGE, LARGE, LARGE),
    (LARGE, 64 * KIB - 1, 64 * KIB + 1),
    (LARGE, 256 * KIB - 1, 512 * KIB + 1),
    (LARGE, MIB, 2 * MIB),
]


class Contents(Opening):
    """Documents, read back."""

    @pytest.mark.parametrize(
        "fields", [PLAIN, EVERY_FIELD, Fields.make("", {"x": ""})], ids=["plain", "every", "empty"]
    )
    @pytest.mark.parametrize("size", [0, 20, LARGE])
    @on_an_engine
    async def test_meta_says_what_was_written(self, engine: Engine, clock: SetClock, fields: Fields, size: int) -> None:
        data, expires_ns = made(size), clock() + 7
        written = await put(engine, "a/key", data, fields, expires_ns=expires_ns)
        digest = hashlib.sha256(data).digest()
        assert written.created
        assert written.meta == Meta("a/key", version(data, fields), size, digest, fields, clock(), expires_ns)
        await shows(engine, "a/key", written.meta, data)

    @on_an_engine
    async def test_a_version_is_the_same_on_every_engine(self, engine: Engine, clock: SetClock) -> None:
        written = await put(engine, "key", b"hello", Fields.make("text/plain", {"content-language": "en"}))
        assert written.meta.version == "9bxRzECnxuAcDSE06Ck2-ls45ZGVDZSX"

    @on_an_engine
    async def test_meta_is_that_of_the_last_write(self, engine: Engine, clock: SetClock) -> None:
        first = await put(engine, "key", b"same", EVERY_FIELD, expires_ns=clock() + 9)
        clock.advance_s(1e-9)
        second = await put(engine, "key", b"same", EVERY_FIELD)
        assert (first.created, second.created) == (True, False)
        assert second.meta.version == first.meta.version
        assert (second.meta.modified_ns, second.meta.expires_ns) == (clock(), None)
        await shows(engine, "key", second.meta, b"same")

    @pytest.mark.parametrize("size", SIZES)
    @on_an_engine
    async def test_content_comes_back_byte_for_byte(self, engine: Engine, clock: SetClock, size: int) -> None:
        await put(engine, "key", b"what stood there before")
        written = await put(engine, "key", made(size))
        await shows(engine, "key", written.meta, made(size))

    @on_an_engine
    async def test_a_document_may_grow_and_shrink(self, engine: Engine, clock: SetClock) -> None:
        for turn, size in enumerate([10, 2 * MIB, 0, 100 * KIB, 3, 2 * MIB, MIB, 513]):
            written = await put(engine, "key", made(size, str(turn)))
            await shows(engine, "key", written.meta, made(size, str(turn)))

    @on_an_engine
    async def test_a_copy_is_the_same_document(self, engine: Engine, clock: SetClock) -> None:
        for size in (10, LARGE):
            await put(engine, "from", made(size), EVERY_FIELD)
            source = await engine.get("from")
            assert source is not None
            written = await engine.put(PutRequest("to", source.content, source.meta.fields))
            assert written.meta.version == source.meta.version
            assert await read(engine, "to") == made(size)

    @pytest.mark.parametrize(("size", "start", "stop"), SLICES)
    @on_an_engine
    async def test_a_slice_is_those_bytes(
        self, engine: Engine, clock: SetClock, size: int, start: int, stop: int
    ) -> None:
        await put(engine, "key", made(size))
        document = await engine.get("key")
        assert document is not None
        part = document.content.slice(start, stop)
        assert part.size == stop - start
        assert await read_all(part) == made(size)[start:stop]
        inner = part.slice(part.size // 3, part.size // 2)
        assert await read_all(inner) == made(size)[start:stop][part.size // 3 : part.size // 2]
        assert await read_all(document.content) == made(size)

    @LASTING
    @on_an_engine
    async def test_content_may_be_read_twice_and_by_many(self, engine: Engine, clock: SetClock, size: int) -> None:
        await put(engine, "key", made(size))
        document = await engine.get("key")
        assert document is not None
        assert await asyncio.gather(*(read_all(document.content) for _ in range(4))) == [made(size)] * 4

    @LASTING
    @pytest.mark.parametrize("end", ["replaced", "deleted", "deleted and made anew", "replaced many times"])
    @on_an_engine
    async def test_a_reader_keeps_its_version(self, engine: Engine, clock: SetClock, size: int, end: str) -> None:
        await put(engine, "key", made(size))
        document = await engine.get("key")
        assert document is not None
        reading = aiter(document.content)
        begun = await anext(reading)
        if end.startswith("deleted"):
            await engine.delete("key")
        if end != "deleted":
            for turn in range(5 if end.endswith("times") else 1):
                await put(engine, "key", made(size, f"new {turn}"))
        gc.collect()
        assert begun + b"".join([chunk async for chunk in reading]) == made(size)
        assert await read_all(document.content.slice(1, size)) == made(size)[1:]
