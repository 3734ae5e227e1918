"""Mounts with a bound: what is refused, what always works, what goes, and what is left after a restart or a kill."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from docstore.content import BytesContent, read_all
from docstore.engines.contract import Metered, PutRequest
from docstore.engines.file.metadata import fingerprint
from docstore.engines.registry import EngineURL, open_engine
from docstore.engines.shared.verify import Finding, check_store
from docstore.errors import Conflict, ContentTooLarge, NoSpace, OpenError, SetupError
from docstore.model import ABSENT
from docstore.testing.clock import SetClock
from tests.engines.bounded_stores import (
    KIB,
    ON_DISK,
    SCHEMES,
    TEXT,
    cost,
    counted,
    data,
    keys,
    opened,
    put,
    read,
    url_of,
)

ALL = pytest.mark.parametrize("scheme", SCHEMES)
DURABLE = pytest.mark.parametrize("scheme", ON_DISK)


@dataclass(frozen=True)
class Pieces:
    """An upload whose size nobody announced; it counts what was asked for."""

    asked: list[int]
    count: int
    size: None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for number in range(self.count):
            self.asked.append(number)
            yield b"." * KIB


@dataclass(frozen=True)
class NeverRead:
    size: int

    async def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("it was asked for its bytes")
        yield b""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"evict": "lru"}, "needs max_bytes"),
        ({"max_bytes": "1GiB", "evict": "fifo"}, "there is only evict=lru"),
        ({"max_bytes": "1GiB", "evict": ""}, "there is only evict=lru"),
        ({"max_bytes": "1GB"}, "'1GB' is not a size"),
        ({"max_bytes": "65535"}, "at least 64KiB"),
        ({"max_bytes": "0", "evict": "lru"}, "at least 64KiB"),
    ],
)
@ALL
def test_an_option_that_means_nothing_is_refused_in_one_line(
    scheme: str, options: dict[str, str], told: str, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match=told) as refused:
        open_engine(EngineURL(scheme, "" if scheme == "memory" else str(tmp_path / "store"), options))
    assert "\n" not in str(refused.value)


def test_an_engine_without_a_bound_does_not_know_one(tmp_path: Path) -> None:
    async def run() -> None:
        for url in ("memory:", f"sqlite:{tmp_path / 'a.db'}", f"file:{tmp_path / 'folder'}"):
            engine = open_engine(EngineURL.parse(url))
            assert not isinstance(engine, Metered)
            await engine.close()

    asyncio.run(run())
    connection = apsw.Connection(str(tmp_path / "a.db"))
    assert {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type <> 'index'")} == {
        "documents"
    }
    connection.close()


@ALL
def test_a_full_mount_refuses_what_grows_and_takes_what_does_not(scheme: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(url_of(scheme, tmp_path, evict=False)) as engine:
            await put(engine, "a", 30_000)
            await put(engine, "b", 15_000)
            before = await counted(engine, scheme)
            for key, size in (("c", 20_000), ("a", 50_000)):
                with pytest.raises(NoSpace):
                    await put(engine, key, size)
            with pytest.raises(NoSpace):
                await engine.put(PutRequest("c", NeverRead(20_000), TEXT))
            assert (await counted(engine, scheme), await read(engine, "a")) == (before, data("a", 30_000))
            assert not (await put(engine, "a", 30_000)).created
            assert not (await put(engine, "a", 29_999)).created
            assert await engine.delete("b")
            assert (await put(engine, "c", 15_000)).created
            usage = await counted(engine, scheme)
            assert (usage.documents, usage.evictions, usage.evict) == (2, 0, None)

    asyncio.run(run())


@ALL
@pytest.mark.parametrize("evict", [True, False])
def test_what_can_never_fit_is_refused_before_its_first_byte_and_nothing_goes_for_it(
    scheme: str, evict: bool, tmp_path: Path
) -> None:
    async def run() -> None:
        async with opened(url_of(scheme, tmp_path, evict=evict)) as engine:
            await put(engine, "a", 9_000)
            with pytest.raises(ContentTooLarge):
                await engine.put(PutRequest("b", NeverRead(64 * KIB), TEXT))
            assert await keys(engine) == ["a"]

    asyncio.run(run())


@ALL
@pytest.mark.parametrize(("evict", "error"), [(True, ContentTooLarge), (False, NoSpace)])
def test_what_nobody_announced_is_refused_midway(
    scheme: str, evict: bool, error: type[Exception], tmp_path: Path
) -> None:
    async def run() -> None:
        asked: list[int] = []
        async with opened(url_of(scheme, tmp_path, evict=evict)) as engine:
            await put(engine, "a", 9_000)
            with pytest.raises(error):
                await engine.put(PutRequest("b", Pieces(asked, 1000), TEXT))
            assert 30 < len(asked) <= 65
            assert await keys(engine) == ["a"]
            assert (await engine.put(PutRequest("b", Pieces([], 30), TEXT))).created
            # In place of itself it may be as large as it is.
            assert not (await engine.put(PutRequest("b", Pieces([], 30), TEXT))).created
            await counted(engine, scheme)

    asyncio.run(run())


@ALL
def test_what_has_expired_goes_first(scheme: str, tmp_path: Path) -> None:
    async def run() -> None:
        for evict in (True, False):
            clock = SetClock()
            folder = tmp_path / str(evict)
            folder.mkdir()
            async with opened(url_of(scheme, folder, evict=evict), clock) as engine:
                for number, key in enumerate("abc"):
                    await put(engine, key, 11_000, expires_ns=clock() + 10**9 if key == "c" else None)
                    clock.set_ns(clock() + number + 1)
                clock.advance_s(2)
                await put(engine, "d", 18_000)
                assert await keys(engine) == ["a", "b", "d"]
                assert (await engine.usage()).evictions == 0

    asyncio.run(run())


@ALL
def test_a_reader_keeps_its_version_whole_when_it_is_evicted(scheme: str, tmp_path: Path) -> None:
    size = 100_000

    async def run() -> None:
        async with opened(url_of(scheme, tmp_path, 128 * KIB)) as engine:
            written = await put(engine, "a", size)
            document = await engine.get("a")
            assert document is not None
            await put(engine, "b", size)
            assert await keys(engine) == ["b"]
            assert await read_all(document.content) == data("a", size)
            # An eviction is a deletion like any other.
            with pytest.raises(Conflict) as refused:
                await put(engine, "a", 1, expect=written.meta.version)
            assert refused.value.current is None
            assert (await put(engine, "a", 1, expect=ABSENT)).created

    asyncio.run(run())


@ALL
def test_a_write_that_is_refused_evicts_nothing(scheme: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(url_of(scheme, tmp_path)) as engine:
            await put(engine, "a", 20_000)
            await put(engine, "b", 15_000)
            with pytest.raises(Conflict):
                await put(engine, "a", 50_000, expect=ABSENT)
            assert await keys(engine) == ["a", "b"]

    asyncio.run(run())


@ALL
def test_a_listing_is_no_use_and_what_was_asked_for_by_head_is_one(scheme: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(url_of(scheme, tmp_path)) as engine:
            for key in "ab":
                await put(engine, key, 21_000)
            await engine.head("a")
            await engine.list()
            await put(engine, "c", 21_000)
            assert await keys(engine) == ["a", "c"]
            usage = await counted(engine, scheme)
            assert (usage.hits, usage.misses, usage.evictions) == (0, 0, 1)
            assert await read(engine, "a")
            assert await read(engine, "b") is None
            usage = await counted(engine, scheme)
            assert (usage.hits, usage.misses) == (1, 1)

    asyncio.run(run())


@ALL
def test_a_million_empty_documents_have_a_bound_too(scheme: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(url_of(scheme, tmp_path)) as engine:
            for number in range(100):
                await put(engine, f"key-{number}", 0)
            usage = await counted(engine, scheme)
            assert usage.documents == 64 * KIB // cost(scheme, "key-10", 0)

    asyncio.run(run())


@DURABLE
@pytest.mark.parametrize("evict", [True, False])
def test_a_bound_that_was_made_smaller_holds_from_the_start(scheme: str, evict: bool, tmp_path: Path) -> None:
    """With eviction opening evicts; without it everything stays, and only what does not grow is taken."""

    async def run() -> None:
        clock = SetClock()
        async with opened(url_of(scheme, tmp_path, 1024 * KIB), clock) as engine:
            for number in range(10):
                clock.advance_s(1)
                await put(engine, f"{number}", 70_000)
        async with opened(url_of(scheme, tmp_path, 256 * KIB, evict=evict), clock) as engine:
            if evict:
                await counted(engine, scheme)
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
                await counted(engine, scheme)

    asyncio.run(run())
    assert [found for found in check_store(url_of(scheme, tmp_path)) if isinstance(found, Finding)] == []


@DURABLE
@pytest.mark.parametrize("way", ["close", "sweep"])
def test_uses_are_remembered_over_a_clean_restart_and_those_before_a_sweep_over_a_kill(
    scheme: str, way: str, tmp_path: Path
) -> None:
    code = f"""
import asyncio, os, sys
from docstore.testing.clock import SetClock
from tests.engines.bounded_stores import opened, put, url_of
from pathlib import Path
async def run():
    clock = SetClock()
    async with opened(url_of({scheme!r}, Path({str(tmp_path)!r}), 128 * 1024), clock) as engine:
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
        async with opened(url_of(scheme, tmp_path, 128 * KIB), clock) as engine:
            await counted(engine, scheme)
            await put(engine, "d", 32_000)
            return await keys(engine)

    subprocess.run([sys.executable, "-c", code, way], check=True, timeout=60)
    assert asyncio.run(survivors()) == ["a", "c", "d"]


def test_an_old_database_can_be_opened_with_a_bound_and_again_without(tmp_path: Path) -> None:
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
    ("damage", "told"),
    [
        ("UPDATE room SET bytes = bytes + 1", "it counts 1 documents of 36 bytes, and there are 1 of 35"),
        ("UPDATE room SET documents = 7", "it counts 7 documents"),
        ("DELETE FROM room", "there is no count"),
        ("DELETE FROM uses", "not every document has one record of its last use"),
        ("INSERT INTO uses VALUES (77, 1)", "not every document has one record of its last use"),
    ],
)
def test_a_check_counts_again(damage: str, told: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(url_of("sqlite", tmp_path)) as engine:
            await put(engine, "key", 18)

    asyncio.run(run())
    connection = apsw.Connection(str(tmp_path / "store"))
    connection.execute(damage)
    connection.close()
    found = [str(one) for one in check_store(url_of("sqlite", tmp_path)) if isinstance(one, Finding)]
    assert any(told in one for one in found), found


@DURABLE
def test_many_writers_at_once_never_make_it_more(scheme: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(url_of(scheme, tmp_path, 96 * KIB)) as engine:

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
            await counted(engine, scheme)

    asyncio.run(run())


def test_two_processes_share_the_bound_of_a_database(tmp_path: Path) -> None:
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


def test_a_folder_is_counted_by_one_process_alone(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(url_of("file", tmp_path)) as engine:
            with pytest.raises(OpenError, match="only one can count") as refused:
                open_engine(url_of("file", tmp_path))
            assert "\n" not in str(refused.value)
            # Who does not count may come.
            other = open_engine(EngineURL("file", str(tmp_path / "store")))
            await put(engine, "a", 10)
            assert await read(other, "a") == data("a", 10)
            await other.close()
        async with opened(url_of("file", tmp_path)):
            pass

    asyncio.run(run())


def test_what_came_and_went_by_hand_is_counted_when_the_sweeper_has_come_round(tmp_path: Path) -> None:
    folder = tmp_path / "store"

    async def run() -> None:
        async with opened(url_of("file", tmp_path)) as engine:
            for key in "abc":
                await put(engine, key, 5_000)
            (folder / "b").unlink()
            (folder / "c").write_bytes(bytes(7_000))
            (folder / "sub").mkdir()
            (folder / "sub" / "d.txt").write_bytes(bytes(9_000))
            await engine.sweep()
            await engine.sweep()
            await counted(engine, "file")
            assert await keys(engine) == ["a", "c", "sub/d.txt"]
            # More than there is room for makes others go, and may go itself.
            (folder / "e").write_bytes(bytes(60_000))
            await engine.sweep()
            await engine.sweep()
            usage = await counted(engine, "file")
            assert usage.used_bytes <= usage.max_bytes
            await put(engine, "a", 1_000)
            await counted(engine, "file")

    asyncio.run(run())


def test_what_is_replaced_after_an_edit_by_hand_is_counted_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(url_of("file", tmp_path, evict=False)) as engine:
            await put(engine, "a", 5_000)
            (tmp_path / "store" / "a").write_bytes(bytes(30_000))
            await put(engine, "a", 6_000)
            await counted(engine, "file")

    asyncio.run(run())


def test_a_document_that_can_not_be_evicted_does_not_keep_others_from_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with opened(url_of("file", tmp_path)) as engine:
            for key in "abc":
                await put(engine, key, 10_000)
            (tmp_path / "store" / ".docstore" / "meta" / fingerprint("a")).write_text("spoiled\n")
            await put(engine, "d", 10_000)
            assert await keys(engine) == ["c", "d"]
            assert "can't be evicted" in caplog.text

    asyncio.run(run())
