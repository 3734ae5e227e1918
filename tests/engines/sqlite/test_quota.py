"""The quota of a database: what survives a restart, a kill and a rollback, and several processes or writers at once."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import apsw
import pytest

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.engines.shared.verify import Finding, check_store
from docstore.engines.sqlite.disk_space import DiskSpace
from docstore.errors import NoSpace
from docstore.testing.clock import SetClock
from tests.engines.bounded_stores import KIB, TEXT, counted, data, keys, opened, put, read, url_of

DAY_NS = 86_400 * 10**9


@pytest.mark.parametrize("evict", [True, False])
def test_a_lowered_quota_holds_from_the_start(evict: bool, tmp_path: Path) -> None:
    """With eviction, opening evicts; without it all documents stay, and writes that grow are refused."""

    async def run() -> None:
        clock = SetClock()
        async with opened(url_of("sqlite", tmp_path, 1024 * KIB), clock) as engine:
            for number in range(10):
                clock.advance_s(1)
                await put(engine, f"{number}", 70_000)
        async with opened(url_of("sqlite", tmp_path, 256 * KIB, evict=evict), clock) as engine:
            if evict:
                await counted(engine, "sqlite")
                assert await keys(engine) == ["7", "8", "9"]
            else:
                assert len(await keys(engine)) == 10
                with pytest.raises(NoSpace):
                    await put(engine, "x", 0)
                assert not (await put(engine, "5", 70_000)).created
                assert not (await put(engine, "5", 60_000)).created
                for number in range(8):
                    assert await engine.delete(str(number))
                assert (await put(engine, "x", 0)).created
                await counted(engine, "sqlite")

    asyncio.run(run())
    assert [found for found in check_store(url_of("sqlite", tmp_path)) if isinstance(found, Finding)] == []


def test_a_document_that_alone_exceeds_a_lowered_quota_goes_first(tmp_path: Path) -> None:
    async def run() -> None:
        clock = SetClock()
        async with opened(url_of("sqlite", tmp_path, 1024 * KIB), clock) as engine:
            for number in range(3):
                clock.advance_s(1)
                await put(engine, f"{number}", 20_000)
            await put(engine, "large", 300_000)
        async with opened(url_of("sqlite", tmp_path, 128 * KIB), clock) as engine:
            await counted(engine, "sqlite")
            assert await keys(engine) == ["0", "1", "2"]

    asyncio.run(run())
    assert [found for found in check_store(url_of("sqlite", tmp_path)) if isinstance(found, Finding)] == []


@pytest.mark.parametrize("way", ["close", "sweep"])
def test_uses_survive_a_close_and_those_before_a_sweep_survive_a_kill(way: str, tmp_path: Path) -> None:
    code = f"""
import asyncio, os, sys
from docstore.testing.clock import SetClock
from tests.engines.bounded_stores import opened, put, url_of
from pathlib import Path
async def run():
    clock = SetClock()
    async with opened(url_of("sqlite", Path({str(tmp_path)!r}), 128 * 1024), clock) as engine:
        for key in "abc":
            clock.advance_s(1)
            await put(engine, key, 32_000)
        clock.advance_s(1)
        await engine.get("a")
        if "sweep" in sys.argv:
            await engine.sweep()
            os._exit(0)
asyncio.run(run())
"""

    async def survivors() -> list[str]:
        clock = SetClock()
        clock.advance_s(10)
        async with opened(url_of("sqlite", tmp_path, 128 * KIB), clock) as engine:
            await counted(engine, "sqlite")
            await put(engine, "d", 32_000)
            return await keys(engine)

    subprocess.run([sys.executable, "-c", code, way], check=True, timeout=60)
    assert asyncio.run(survivors()) == ["a", "c", "d"]


def test_an_old_database_can_be_opened_with_a_quota_and_again_without(tmp_path: Path) -> None:
    async def run() -> None:
        plain, bounded = EngineURL("sqlite", str(tmp_path / "store")), url_of("sqlite", tmp_path)
        for url in (plain, bounded, plain, bounded):
            engine = open_engine(url, SetClock())
            await put(engine, f"{url.options}"[:1] + f"{len(await keys(engine))}", 2_000)
            await engine.put(PutRequest("large", BytesContent(bytes(40_000)), TEXT))
            await engine.close()
        async with opened(bounded) as engine:
            assert (await counted(engine, "sqlite")).documents == 5

    asyncio.run(run())
    assert [found for found in check_store(url_of("sqlite", tmp_path)) if isinstance(found, Finding)] == []


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("UPDATE room SET bytes = bytes + 1", "it counts 1 document of 36 bytes, and there are 1 of 35"),
        ("UPDATE room SET documents = 7", "it counts 7 documents"),
        ("DELETE FROM room", "the totals are missing"),
        ("DELETE FROM uses", "not every document has one record of its last use"),
        ("INSERT INTO uses VALUES (77, 1)", "not every document has one record of its last use"),
    ],
)
def test_a_check_compares_the_total_with_the_documents(damage: str, expected: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(url_of("sqlite", tmp_path)) as engine:
            await put(engine, "key", 18)

    asyncio.run(run())
    connection = apsw.Connection(str(tmp_path / "store"))
    connection.execute(damage)
    connection.close()
    found = [str(one) for one in check_store(url_of("sqlite", tmp_path)) if isinstance(one, Finding)]
    assert any(expected in one for one in found), found


def test_concurrent_writers_never_exceed_the_quota(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(url_of("sqlite", tmp_path, 96 * KIB)) as engine:

            async def write(number: int) -> None:
                for turn in range(3):
                    await put(engine, f"key-{(number * 7 + turn) % 40}", 1_000 * (number % 12))
                    if turn == 1:
                        await engine.delete(f"key-{number % 40}")

            async def look() -> None:
                while True:
                    usage = await engine.usage()
                    assert usage.used_bytes <= usage.max_bytes
                    await asyncio.sleep(0.001)

            looking = asyncio.create_task(look())
            await asyncio.sleep(0)
            await asyncio.gather(*(write(number) for number in range(32)))
            assert not looking.done()
            looking.cancel()
            await asyncio.wait([looking])
            await counted(engine, "sqlite")

    asyncio.run(run())


def test_two_processes_share_the_quota_of_a_database(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys, time
from pathlib import Path
from tests.engines.bounded_stores import counted, opened, put, url_of
async def run():
    async with opened(url_of("sqlite", Path({str(tmp_path)!r}), 128 * 1024), time.time_ns) as engine:
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(25):
            await put(engine, f"{{sys.argv[1]}}-{{number}}", 3_000 + 71_000 * (number % 7 == 0))
            usage = await engine.usage()
            assert usage.used_bytes <= usage.max_bytes, usage
asyncio.run(run())
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", code, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in "ab"
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        process.communicate(b"\n", timeout=60)
        assert process.returncode == 0

    async def run() -> None:
        async with opened(url_of("sqlite", tmp_path, 128 * KIB)) as engine:
            usage = await counted(engine, "sqlite")
            assert usage.evictions == 50 - usage.documents

    asyncio.run(run())
    assert [found for found in check_store(url_of("sqlite", tmp_path)) if isinstance(found, Finding)] == []


@pytest.mark.parametrize("written", ["by a write that evicts", "by a sweep"])
def test_access_times_and_counts_survive_a_rollback(written: str, tmp_path: Path) -> None:
    admitted = DiskSpace.admit
    refusals = [NoSpace("full")] * 2

    def admit(disk_space: DiskSpace, *, low_space: bool) -> None:
        if refusals:
            disk_space.grew = True  # a write that makes the database grow is not retried for long
            raise refusals.pop()
        admitted(disk_space, low_space=low_space)

    async def run() -> None:
        async with opened(url_of("sqlite", tmp_path, 64 * KIB)) as engine:
            for key in "abcde":
                await put(engine, key, 11_500)
            assert await read(engine, "a") is not None
            assert await read(engine, "none") is None
            with patch.object(DiskSpace, "admit", admit):
                if written == "by a sweep":
                    assert await engine.sweep(limit=1) == 0
                else:
                    with pytest.raises(NoSpace):
                        await put(engine, "new", 11_500)
            assert not refusals
            assert ((usage := await engine.usage()).hits, usage.misses) == (1, 1)
            await put(engine, "new", 11_500)
            assert await keys(engine) == ["a", "c", "d", "e", "new"]
            await engine.sweep()
        async with opened(url_of("sqlite", tmp_path, 64 * KIB)) as engine:
            assert ((usage := await engine.usage()).hits, usage.misses) == (1, 1)

    asyncio.run(run())


def test_committed_counts_are_not_added_again_after_a_later_rollback(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(url_of("sqlite", tmp_path, 64 * KIB)) as engine:
            await put(engine, "a", 100)
            for _ in range(10):
                assert await read(engine, "a") is not None
            await engine.sweep()
            with patch.object(DiskSpace, "admit", side_effect=NoSpace("full")), pytest.raises(NoSpace):
                await engine.delete("a")
            assert (await engine.usage()).hits == 10
            await engine.sweep()
            assert (await engine.usage()).hits == 10

    asyncio.run(run())


@pytest.mark.parametrize("way", ["a clock that was ahead", "a document of the future", "one of the last day"])
@pytest.mark.parametrize("use", ["read", "written"])
def test_a_document_in_use_stays_whatever_the_clock_says(way: str, use: str, tmp_path: Path) -> None:
    clock = SetClock()
    now_ns = clock()

    async def run() -> None:
        async with opened(url_of("sqlite", tmp_path, 96 * KIB), clock) as engine:
            if way == "a clock that was ahead":
                clock.set_ns(now_ns + DAY_NS)
            for key in "abcd":
                written = await put(engine, key, 10_000)
            if way != "a clock that was ahead":
                future_ns = now_ns + DAY_NS if way == "a document of the future" else 2**63 + 5
                meta = replace(written.meta, modified_ns=future_ns)
                await engine.put(PutRequest.copy_of(meta, BytesContent(data("d", 10_000))))
            clock.set_ns(now_ns)
            for number in range(20):
                if use == "read":
                    assert await read(engine, "a") is not None, number
                else:
                    assert not (await put(engine, "a", 10_000 + number)).created, number
                await put(engine, f"new-{number}", 10_000)
            assert "d" not in await keys(engine)

    asyncio.run(run())
