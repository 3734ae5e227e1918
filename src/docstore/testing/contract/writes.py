"""Conditional and concurrent writes: the complete table of expectations; of racing writes exactly one succeeds."""

import asyncio
import hashlib
from typing import Final

import pytest

from docstore.content import read_all
from docstore.engines.contract import Engine, PutRequest
from docstore.errors import Conflict
from docstore.model import ABSENT, ANY, Expectation, WriteResult
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import (
    KIB,
    MIB,
    PLAIN,
    ChunkedUpload,
    assert_state,
    make_data,
    put_data,
    read_data,
    version_of_data,
)
from docstore.testing.contract.engine_tests import EngineTests, with_engine

_OLD: Final = b"the old one"
_RIGHT: Final = version_of_data(_OLD)
_WRONG: Final = version_of_data(b"another one")

_TABLE: Final = pytest.mark.parametrize(
    ("state", "expect", "done"),
    [
        ("absent", ANY, True),
        ("absent", ABSENT, True),
        ("absent", _RIGHT, False),
        ("absent", _WRONG, False),
        ("present", ANY, True),
        ("present", ABSENT, False),
        ("present", _RIGHT, True),
        ("present", _WRONG, False),
        ("expired", ANY, True),
        ("expired", ABSENT, True),
        ("expired", _RIGHT, False),
        ("expired", _WRONG, False),
    ],
    ids=lambda value: {_RIGHT: "right", _WRONG: "wrong"}.get(value, str(value)),
)


async def _prepare(engine: Engine, clock: SetClock, state: str) -> None:
    await put_data(engine, "neighbour", _OLD)  # a version belongs to one key
    if state != "absent":
        await put_data(engine, "key", _OLD, expires_ns=clock() + 1_000 if state == "expired" else None)
        clock.advance_s(1)


class ExpectationTests(EngineTests):
    """ANY, ABSENT and one exact version."""

    @_TABLE
    @pytest.mark.parametrize("size", [20, 1_500_000])
    @with_engine
    async def test_a_put_does_what_its_expectation_allows(
        self, engine: Engine, clock: SetClock, state: str, expect: Expectation, done: bool, size: int
    ) -> None:
        await _prepare(engine, clock, state)
        before = await engine.head("key")
        if done:
            written = await put_data(engine, "key", make_data(size), expect=expect)
            assert written.created == (state != "present")
            await assert_state(engine, "key", written.meta, make_data(size))
        else:
            with pytest.raises(Conflict) as conflict:
                await put_data(engine, "key", make_data(size), expect=expect)
            assert conflict.value.current == before
            await assert_state(engine, "key", before, _OLD)
        assert await read_data(engine, "neighbour") == _OLD

    @_TABLE
    @with_engine
    async def test_a_delete_does_what_its_expectation_allows(
        self, engine: Engine, clock: SetClock, state: str, expect: Expectation, done: bool
    ) -> None:
        await _prepare(engine, clock, state)
        before = await engine.head("key")
        if done:
            assert await engine.delete("key", expect=expect) == before
            await assert_state(engine, "key", None)
        else:
            with pytest.raises(Conflict) as conflict:
                await engine.delete("key", expect=expect)
            assert conflict.value.current == before
            await assert_state(engine, "key", before, _OLD)
        assert await read_data(engine, "neighbour") == _OLD


_WRITERS: Final = 12


async def _race(engine: Engine, expect: Expectation, size: int) -> None:
    """Let many writers expect the same state, and check that one succeeds and the others see its document."""
    contents = [(make_data(size // 2, "first half"), make_data(size, str(number))) for number in range(_WRITERS)]
    requests = [PutRequest("key", ChunkedUpload(content), PLAIN, expect=expect) for content in contents]
    outcomes = await asyncio.gather(*map(engine.put, requests), return_exceptions=True)
    (winner,) = (outcome for outcome in outcomes if isinstance(outcome, WriteResult))
    assert winner.created == (expect is ABSENT)
    conflicts = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert [conflict.current for conflict in conflicts] == [winner.meta] * (_WRITERS - 1)
    await assert_state(engine, "key", winner.meta, b"".join(contents[outcomes.index(winner)]))


class RaceTests(EngineTests):
    """Concurrent writers and readers."""

    @pytest.mark.parametrize("size", [10, 300 * KIB])
    @pytest.mark.parametrize("state", ["absent", "expired", "present"])
    @with_engine
    async def test_exactly_one_of_many_conditional_writes_succeeds(
        self, engine: Engine, clock: SetClock, size: int, state: str
    ) -> None:
        if state != "absent":
            await put_data(engine, "key", _OLD, expires_ns=clock() if state == "expired" else None)
        await _race(engine, _RIGHT if state == "present" else ABSENT, size)

    @with_engine
    async def test_exactly_one_of_many_deletions_succeeds(self, engine: Engine) -> None:
        old = (await put_data(engine, "key", _OLD)).meta
        deleted = await asyncio.gather(*(engine.delete("key") for _ in range(_WRITERS)))
        assert [meta for meta in deleted if meta is not None] == [old]

    @with_engine
    async def test_no_increment_of_a_counter_is_lost(self, engine: Engine) -> None:
        await put_data(engine, "key", b"0")

        async def increment() -> None:
            while True:
                document = await engine.get("key")
                assert document is not None
                count = int(await read_all(document.content))
                try:
                    await put_data(engine, "key", b"%d" % (count + 1), expect=document.meta.version)
                    return
                except Conflict:
                    await asyncio.sleep(0)

        async def increment_often() -> None:
            for _ in range(5):
                await increment()

        await asyncio.gather(*(increment_often() for _ in range(_WRITERS)))
        assert await read_data(engine, "key") == b"%d" % (_WRITERS * 5)

    @with_engine
    async def test_readers_see_complete_versions_during_writes(self, engine: Engine) -> None:
        running = True

        async def write(name: str) -> None:
            for turn in range(6):
                for size in (10, 70 * KIB, 1 * MIB + 10):
                    await engine.put(
                        PutRequest("key", ChunkedUpload([make_data(size, f"{name} {turn}"), b"end"]), PLAIN)
                    )
                await engine.delete("key")

        async def look() -> int:
            found = 0
            while running:
                await asyncio.sleep(0)
                document = await engine.get("key")
                if document is None:
                    continue
                data = await read_all(document.content)
                meta = document.meta
                assert (meta.size, meta.digest) == (len(data), hashlib.sha256(data).digest())
                assert meta.version == version_of_data(data)
                found += 1
            return found

        readers = [asyncio.create_task(look()) for _ in range(3)]
        await asyncio.gather(*(write(f"writer {number}") for number in range(3)))
        await put_data(engine, "key", b"the last one")
        running = False
        await asyncio.gather(*readers)
        assert await read_data(engine, "key") == b"the last one"

    @with_engine
    async def test_writers_of_many_keys_do_not_mix_them_up(self, engine: Engine) -> None:
        written = await asyncio.gather(
            *(put_data(engine, f"key-{number}", make_data(number * 31)) for number in range(100))
        )
        for number, one in enumerate(written):
            await assert_state(engine, f"key-{number}", one.meta, make_data(number * 31))
