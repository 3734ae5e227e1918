"""Many tasks on one key: one winner, no lost update, and never parts of two versions."""

import asyncio
import hashlib
from typing import Final

import pytest

from docstore.content import read_all
from docstore.engines.contract import Engine, PutRequest
from docstore.errors import Conflict
from docstore.model import ABSENT, Expectation, WriteResult
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import KIB, MIB, PLAIN, Pieces, made, put, read, shows, version
from docstore.testing.contract.opening import Opening, on_an_engine

WRITERS: Final = 12
SIZES: Final = pytest.mark.parametrize("size", [10, 300 * KIB])


async def _race(engine: Engine, expect: Expectation, size: int) -> list[WriteResult | BaseException]:
    uploads = [Pieces([made(size // 2, "first half"), made(size, str(number))]) for number in range(WRITERS)]
    return await asyncio.gather(
        *(engine.put(PutRequest("key", upload, PLAIN, expect=expect)) for upload in uploads), return_exceptions=True
    )


class Races(Opening):
    """Concurrent writers and readers."""

    @SIZES
    @pytest.mark.parametrize("state", ["absent", "expired"])
    @on_an_engine
    async def test_one_of_many_creators_wins(self, engine: Engine, clock: SetClock, size: int, state: str) -> None:
        if state == "expired":
            await put(engine, "key", b"old", expires_ns=clock())
        await _one_wins(engine, ABSENT, size)

    @SIZES
    @on_an_engine
    async def test_one_of_many_replacers_wins(self, engine: Engine, clock: SetClock, size: int) -> None:
        await put(engine, "key", b"old")
        await _one_wins(engine, version(b"old"), size)

    @on_an_engine
    async def test_one_of_many_deleters_wins(self, engine: Engine, clock: SetClock) -> None:
        old = (await put(engine, "key", b"old")).meta
        assert sorted(map(repr, await asyncio.gather(*(engine.delete("key") for _ in range(WRITERS))))) == sorted(
            map(repr, [old] + [None] * (WRITERS - 1))
        )

    @on_an_engine
    async def test_no_increment_of_a_counter_is_lost(self, engine: Engine, clock: SetClock) -> None:
        await put(engine, "key", b"0")

        async def increment() -> None:
            while True:
                document = await engine.get("key")
                assert document is not None
                count = int(await read_all(document.content))
                try:
                    await put(engine, "key", b"%d" % (count + 1), expect=document.meta.version)
                    return
                except Conflict:
                    await asyncio.sleep(0)

        async def increment_often() -> None:
            for _ in range(5):
                await increment()

        await asyncio.gather(*(increment_often() for _ in range(WRITERS)))
        assert await read(engine, "key") == b"%d" % (WRITERS * 5)

    @on_an_engine
    async def test_readers_see_whole_versions_while_writers_write(self, engine: Engine, clock: SetClock) -> None:
        running = True

        async def write(name: str) -> None:
            for turn in range(6):
                for size in (10, 70 * KIB, 1 * MIB + 10):
                    await engine.put(PutRequest("key", Pieces([made(size, f"{name} {turn}"), b"end"]), PLAIN))
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
                assert meta.version == version(data)
                found += 1
            return found

        readers = [asyncio.create_task(look()) for _ in range(3)]
        await asyncio.gather(*(write(f"writer {number}") for number in range(3)))
        await put(engine, "key", b"the last one")
        running = False
        await asyncio.gather(*readers)
        assert await read(engine, "key") == b"the last one"

    @on_an_engine
    async def test_writers_of_many_keys_do_not_mix_them_up(self, engine: Engine, clock: SetClock) -> None:
        written = await asyncio.gather(*(put(engine, f"key-{number}", made(number * 31)) for number in range(100)))
        for number, one in enumerate(written):
            await shows(engine, f"key-{number}", one.meta, made(number * 31))


async def _one_wins(engine: Engine, expect: Expectation, size: int) -> None:
    outcomes = await _race(engine, expect, size)
    (winner,) = (outcome for outcome in outcomes if isinstance(outcome, WriteResult))
    assert winner.created == (expect is ABSENT)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert [conflict.current for conflict in refused] == [winner.meta] * (WRITERS - 1)
    number = outcomes.index(winner)
    await shows(engine, "key", winner.meta, made(size // 2, "first half") + made(size, str(number)))
