"""Uploads and content: a read returns the written bytes, in any pieces, completely or not at all."""

import asyncio
import gc
import hashlib
from typing import Final

import pytest

from docstore.content import read_all
from docstore.engines.contract import Engine, PutRequest
from docstore.errors import Conflict, ContentTooLarge, DigestMismatch, IncompleteUpload, UploadError
from docstore.model import ABSENT, ANY, Expectation, Fields, Meta
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import (
    EVERY_FIELD,
    KIB,
    MIB,
    PLAIN,
    ChunkedUpload,
    GatedUpload,
    assert_state,
    make_data,
    put_data,
    read_data,
    version_of_data,
)
from docstore.testing.contract.engine_tests import EngineTests, with_engine

_SIZES: Final = [0, 1, 511, 512, 513, *(edge + by for edge in (64 * KIB, 256 * KIB, MIB) for by in (-1, 0, 1)), 5 * MIB]
_LARGE: Final = 3 * MIB + 1
_LASTING: Final = pytest.mark.parametrize("size", [10, 64 * KIB + 1, _LARGE])

_SLICES: Final = [
    (10, 0, 0),
    (10, 0, 1),
    (10, 0, 10),
    (10, 3, 7),
    (10, 9, 10),
    (10, 10, 10),
    (_LARGE, 0, 0),
    (_LARGE, 0, _LARGE),
    (_LARGE, 1, _LARGE - 1),
    (_LARGE, _LARGE - 1, _LARGE),
    (_LARGE, _LARGE, _LARGE),
    (_LARGE, 64 * KIB - 1, 64 * KIB + 1),
    (_LARGE, 256 * KIB - 1, 512 * KIB + 1),
    (_LARGE, MIB, 2 * MIB),
]


class ContentTests(EngineTests):
    """Metadata, content, slices and readers."""

    @pytest.mark.parametrize(
        "fields", [PLAIN, EVERY_FIELD, Fields.make("", {"x": ""})], ids=["plain", "every", "empty"]
    )
    @pytest.mark.parametrize("size", [0, 20, _LARGE])
    @with_engine
    async def test_metadata_matches_the_write(self, engine: Engine, clock: SetClock, fields: Fields, size: int) -> None:
        data, expires_ns = make_data(size), clock() + 7
        written = await put_data(engine, "a/key", data, fields, expires_ns=expires_ns)
        digest = hashlib.sha256(data).digest()
        assert written.created
        assert written.meta == Meta("a/key", version_of_data(data, fields), size, digest, fields, clock(), expires_ns)
        await assert_state(engine, "a/key", written.meta, data)

    @with_engine
    async def test_a_version_is_the_same_on_every_engine(self, engine: Engine) -> None:
        written = await put_data(engine, "key", b"hello", Fields.make("text/plain", {"content-language": "en"}))
        assert written.meta.version == "9bxRzECnxuAcDSE06Ck2-ls45ZGVDZSX"

    @pytest.mark.parametrize("size", _SIZES)
    @with_engine
    async def test_content_comes_back_byte_for_byte(self, engine: Engine, size: int) -> None:
        await put_data(engine, "key", b"what stood there before")
        written = await put_data(engine, "key", make_data(size))
        await assert_state(engine, "key", written.meta, make_data(size))

    @with_engine
    async def test_a_copy_is_the_same_document(self, engine: Engine) -> None:
        for size in (10, _LARGE):
            await put_data(engine, "from", make_data(size), EVERY_FIELD)
            source = await engine.get("from")
            assert source is not None
            written = await engine.put(PutRequest("to", source.content, source.meta.fields))
            assert written.meta.version == source.meta.version
            assert await read_data(engine, "to") == make_data(size)

    @pytest.mark.parametrize(("size", "start", "stop"), _SLICES)
    @with_engine
    async def test_a_slice_has_exactly_its_bytes(self, engine: Engine, size: int, start: int, stop: int) -> None:
        await put_data(engine, "key", make_data(size))
        document = await engine.get("key")
        assert document is not None
        part = document.content.slice(start, stop)
        assert part.size == stop - start
        assert await read_all(part) == make_data(size)[start:stop]
        inner = part.slice(part.size // 3, part.size // 2)
        assert await read_all(inner) == make_data(size)[start:stop][part.size // 3 : part.size // 2]
        assert await read_all(document.content) == make_data(size)

    @_LASTING
    @with_engine
    async def test_content_can_be_read_repeatedly_and_concurrently(self, engine: Engine, size: int) -> None:
        await put_data(engine, "key", make_data(size))
        document = await engine.get("key")
        assert document is not None
        assert await asyncio.gather(*(read_all(document.content) for _ in range(4))) == [make_data(size)] * 4

    @_LASTING
    @pytest.mark.parametrize("end", ["replaced", "deleted", "deleted and created again", "replaced many times"])
    @with_engine
    async def test_a_reader_keeps_its_version(self, engine: Engine, size: int, end: str) -> None:
        await put_data(engine, "key", make_data(size))
        document = await engine.get("key")
        assert document is not None
        reading = aiter(document.content)
        begun = await anext(reading)
        if end.startswith("deleted"):
            await engine.delete("key")
        if end != "deleted":
            for turn in range(5 if end.endswith("times") else 1):
                await put_data(engine, "key", make_data(size, f"new {turn}"))
        gc.collect()
        assert begun + b"".join([chunk async for chunk in reading]) == make_data(size)
        assert await read_all(document.content.slice(1, size)) == make_data(size)[1:]


_OLD: Final = b"the old one"
_HALVES: Final = pytest.mark.parametrize("size", [10, 100 * KIB, 3 * MIB])


class UploadTests(EngineTests):
    """Complete, failed, cancelled and waiting uploads."""

    @pytest.mark.parametrize(
        "pieces",
        [
            [],
            [b""],
            [b"", b"a", b"", b"", b"b", b""],
            [b"x"] * 20_000,
            [make_data(7, str(number)) for number in range(40_000)],
            [make_data(MIB), b"", make_data(1)],
            [make_data(64 * KIB), make_data(1), make_data(2 * MIB)],
        ],
        ids=["none", "one empty", "some empty", "20,000 of 1 byte", "40,000 of 7 bytes", "1 MiB and 1", "growing"],
    )
    @with_engine
    async def test_an_upload_can_arrive_in_any_pieces(self, engine: Engine, pieces: list[bytes]) -> None:
        data = b"".join(pieces)
        written = await engine.put(PutRequest("key", ChunkedUpload(pieces), PLAIN))
        assert (written.meta.size, written.meta.digest) == (len(data), hashlib.sha256(data).digest())
        await assert_state(engine, "key", written.meta, data)

    @pytest.mark.parametrize(
        "failure", [IncompleteUpload("gone"), ContentTooLarge(10), DigestMismatch("not those")], ids=repr
    )
    @pytest.mark.parametrize("sizes", [[], [100], [64 * KIB, 1], [MIB] * 3, [5 * MIB]], ids=str)
    @pytest.mark.parametrize("before", [None, _OLD], ids=["absent", "present"])
    @with_engine
    async def test_an_upload_that_fails_changes_nothing(
        self, engine: Engine, clock: SetClock, failure: UploadError, sizes: list[int], before: bytes | None
    ) -> None:
        old = None if before is None else (await put_data(engine, "key", before)).meta
        clock.advance_s(1)
        with pytest.raises(type(failure)) as failed:
            await engine.put(PutRequest("key", ChunkedUpload([make_data(size) for size in sizes], failure), PLAIN))
        assert failed.value is failure
        await assert_state(engine, "key", old, before or b"")
        await assert_state(engine, "key", (await put_data(engine, "key", b"after")).meta, b"after")

    @_HALVES
    @with_engine
    async def test_a_cancelled_upload_changes_nothing(self, engine: Engine, size: int) -> None:
        old = (await put_data(engine, "key", _OLD)).meta
        upload = GatedUpload(make_data(size))
        writing = asyncio.create_task(engine.put(PutRequest("key", upload, PLAIN)))
        await upload.halfway.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await assert_state(engine, "key", old, _OLD)
        await assert_state(engine, "key", (await put_data(engine, "key", b"after")).meta, b"after")

    @pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13])
    @with_engine
    async def test_a_write_cancelled_at_any_moment_is_complete_or_absent(self, engine: Engine, turns: int) -> None:
        old = (await put_data(engine, "key", _OLD)).meta
        writing = asyncio.create_task(put_data(engine, "key", make_data(200 * KIB)))
        for _ in range(turns):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])
        after = (await put_data(engine, "next", b"after")).meta
        current = await engine.head("key")
        assert current is not None
        done = current.version != old.version
        await assert_state(engine, "key", current, make_data(200 * KIB) if done else _OLD)
        await assert_state(engine, "next", after, b"after")

    @_HALVES
    @with_engine
    async def test_a_waiting_upload_blocks_no_other_write(self, engine: Engine, size: int) -> None:
        slow = GatedUpload(make_data(size))
        writing = asyncio.create_task(engine.put(PutRequest("key", slow, PLAIN)))
        await slow.halfway.wait()
        assert (await put_data(engine, "key", b"quick")).created
        assert await engine.delete("key") is not None
        quick = (await put_data(engine, "key", b"quicker")).meta
        await assert_state(engine, "key", quick, b"quicker")
        slow.gate.set()
        written = await writing
        assert not written.created
        await assert_state(engine, "key", written.meta, make_data(size))

    @_HALVES
    @pytest.mark.parametrize(
        ("before", "expect", "meanwhile"),
        [(None, ABSENT, b"made"), (_OLD, version_of_data(_OLD), b"replaced"), (_OLD, version_of_data(_OLD), None)],
        ids=["made meanwhile", "replaced meanwhile", "deleted meanwhile"],
    )
    @with_engine
    async def test_the_expectation_holds_at_the_commit(
        self, engine: Engine, size: int, before: bytes | None, expect: Expectation, meanwhile: bytes | None
    ) -> None:
        if before is not None:
            await put_data(engine, "key", before)
        slow = GatedUpload(make_data(size))
        writing = asyncio.create_task(engine.put(PutRequest("key", slow, PLAIN, expect=expect)))
        await slow.halfway.wait()
        await engine.delete("key")
        current = None if meanwhile is None else (await put_data(engine, "key", meanwhile, expect=ANY)).meta
        slow.gate.set()
        with pytest.raises(Conflict) as conflict:
            await writing
        assert conflict.value.current == current
        await assert_state(engine, "key", current, meanwhile or b"")

    @with_engine
    async def test_a_document_is_modified_when_it_is_committed(self, engine: Engine, clock: SetClock) -> None:
        slow = GatedUpload(make_data(10))
        writing = asyncio.create_task(engine.put(PutRequest("key", slow, PLAIN)))
        await slow.halfway.wait()
        clock.advance_s(5)
        slow.gate.set()
        assert (await writing).meta.modified_ns == clock()
