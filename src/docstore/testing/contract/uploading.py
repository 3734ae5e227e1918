"""Content on its way in: in any pieces, broken off, waited for, cancelled. All of it is stored, or nothing is."""

import asyncio
import hashlib
from typing import Final

import pytest

from docstore.engines.contract import Engine, PutRequest
from docstore.errors import Conflict, ContentTooLarge, DigestMismatch, IncompleteUpload, UploadError
from docstore.model import ABSENT, ANY, Expectation
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import KIB, MIB, PLAIN, Gated, Pieces, made, put, shows, version
from docstore.testing.contract.opening import Opening, on_an_engine

OLD: Final = b"the old one"
HALVES: Final = pytest.mark.parametrize("size", [10, 100 * KIB, 3 * MIB])


class Uploading(Opening):
    """Uploads, whole and broken."""

    @pytest.mark.parametrize(
        "pieces",
        [
            [],
            [b""],
            [b"", b"a", b"", b"", b"b", b""],
            [b"x"] * 20_000,
            [made(7, str(number)) for number in range(40_000)],
            [made(MIB), b"", made(1)],
            [made(64 * KIB), made(1), made(2 * MIB)],
        ],
        ids=["none", "one empty", "some empty", "20,000 of 1 byte", "40,000 of 7 bytes", "1 MiB and 1", "growing"],
    )
    @on_an_engine
    async def test_an_upload_may_come_in_any_pieces(self, engine: Engine, clock: SetClock, pieces: list[bytes]) -> None:
        data = b"".join(pieces)
        written = await engine.put(PutRequest("key", Pieces(pieces), PLAIN))
        assert (written.meta.size, written.meta.digest) == (len(data), hashlib.sha256(data).digest())
        await shows(engine, "key", written.meta, data)

    @pytest.mark.parametrize(
        "failure", [IncompleteUpload("gone"), ContentTooLarge(10), DigestMismatch("not those")], ids=repr
    )
    @pytest.mark.parametrize("sizes", [[], [100], [64 * KIB, 1], [MIB] * 3, [5 * MIB]], ids=str)
    @pytest.mark.parametrize("before", [None, OLD], ids=["absent", "present"])
    @on_an_engine
    async def test_an_upload_that_fails_changes_nothing(
        self, engine: Engine, clock: SetClock, failure: UploadError, sizes: list[int], before: bytes | None
    ) -> None:
        old = None if before is None else (await put(engine, "key", before)).meta
        clock.advance_s(1)
        with pytest.raises(type(failure)) as failed:
            await engine.put(PutRequest("key", Pieces([made(size) for size in sizes], failure), PLAIN))
        assert failed.value is failure
        await shows(engine, "key", old, before or b"")
        await shows(engine, "key", (await put(engine, "key", b"after")).meta, b"after")

    @HALVES
    @on_an_engine
    async def test_a_cancelled_upload_changes_nothing(self, engine: Engine, clock: SetClock, size: int) -> None:
        old = (await put(engine, "key", OLD)).meta
        upload = Gated(made(size))
        writing = asyncio.create_task(engine.put(PutRequest("key", upload, PLAIN)))
        await upload.halfway.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await shows(engine, "key", old, OLD)
        await shows(engine, "key", (await put(engine, "key", b"after")).meta, b"after")

    @pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13])
    @on_an_engine
    async def test_a_write_cancelled_at_any_moment_is_done_or_not(
        self, engine: Engine, clock: SetClock, turns: int
    ) -> None:
        old = (await put(engine, "key", OLD)).meta
        writing = asyncio.create_task(put(engine, "key", made(200 * KIB)))
        for _ in range(turns):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])
        after = (await put(engine, "next", b"after")).meta
        current = await engine.head("key")
        assert current is not None
        done = current.version != old.version
        await shows(engine, "key", current, made(200 * KIB) if done else OLD)
        await shows(engine, "next", after, b"after")

    @HALVES
    @on_an_engine
    async def test_a_waiting_upload_holds_nobody_up(self, engine: Engine, clock: SetClock, size: int) -> None:
        slow = Gated(made(size))
        writing = asyncio.create_task(engine.put(PutRequest("key", slow, PLAIN)))
        await slow.halfway.wait()
        assert (await put(engine, "key", b"quick")).created
        assert await engine.delete("key") is not None
        quick = (await put(engine, "key", b"quicker")).meta
        await shows(engine, "key", quick, b"quicker")
        slow.gate.set()
        written = await writing
        assert not written.created
        await shows(engine, "key", written.meta, made(size))

    @HALVES
    @pytest.mark.parametrize(
        ("before", "expect", "meanwhile"),
        [(None, ABSENT, b"made"), (OLD, version(OLD), b"replaced"), (OLD, version(OLD), None)],
        ids=["made meanwhile", "replaced meanwhile", "deleted meanwhile"],
    )
    @on_an_engine
    async def test_the_expectation_holds_at_the_commit(
        self,
        engine: Engine,
        clock: SetClock,
        size: int,
        before: bytes | None,
        expect: Expectation,
        meanwhile: bytes | None,
    ) -> None:
        if before is not None:
            await put(engine, "key", before)
        slow = Gated(made(size))
        writing = asyncio.create_task(engine.put(PutRequest("key", slow, PLAIN, expect=expect)))
        await slow.halfway.wait()
        await engine.delete("key")
        current = None if meanwhile is None else (await put(engine, "key", meanwhile, expect=ANY)).meta
        slow.gate.set()
        with pytest.raises(Conflict) as refused:
            await writing
        assert refused.value.current == current
        await shows(engine, "key", current, meanwhile or b"")

    @on_an_engine
    async def test_a_document_is_modified_when_it_is_committed(self, engine: Engine, clock: SetClock) -> None:
        slow = Gated(made(10))
        writing = asyncio.create_task(engine.put(PutRequest("key", slow, PLAIN)))
        await slow.halfway.wait()
        clock.advance_s(5)
        slow.gate.set()
        assert (await writing).meta.modified_ns == clock()
