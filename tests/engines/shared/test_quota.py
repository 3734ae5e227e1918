"""Quotas on every engine that has them: which writes are refused or accepted, and which documents are evicted."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from docstore.content import read_all
from docstore.engines.contract import Metered, PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.errors import Conflict, ContentTooLarge, NoSpace, SetupError
from docstore.model import ABSENT
from docstore.testing.clock import SetClock
from tests.engines.bounded_stores import (
    KIB,
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


@dataclass(frozen=True)
class Pieces:
    """An upload of unknown size that records the chunks that were read."""

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
        raise AssertionError("the upload was read")
        yield b""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evict": "lru"}, "needs max_bytes"),
        ({"max_bytes": "1GiB", "evict": "fifo"}, "the only value is evict=lru"),
        ({"max_bytes": "1GiB", "evict": ""}, "the only value is evict=lru"),
        ({"max_bytes": "1GB"}, "'1GB' is not a size"),
        ({"max_bytes": "65535"}, "at least 64KiB"),
        ({"max_bytes": "0", "evict": "lru"}, "at least 64KiB"),
    ],
)
@ALL
def test_an_invalid_quota_option_is_refused_in_one_line(
    scheme: str, options: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match=message) as refused:
        open_engine(EngineURL(scheme, "" if scheme == "memory" else str(tmp_path / "store"), options))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("option", ["max_bytes", "evict"])
def test_file_refuses_a_quota_and_names_the_engines_that_have_one(option: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=f"file: has no option '{option}'; memory: and sqlite: have it"):
        open_engine(EngineURL("file", str(tmp_path / "folder"), {option: "1GiB"}))
    assert not (tmp_path / "folder").exists()


def test_an_engine_without_a_quota_reports_no_usage(tmp_path: Path) -> None:
    async def run() -> None:
        for url in ("memory:", f"sqlite:{tmp_path / 'a.db'}"):
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
def test_a_full_mount_refuses_writes_that_grow_and_accepts_others(scheme: str, tmp_path: Path) -> None:
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
def test_a_document_larger_than_the_quota_is_refused_before_its_first_byte_and_evicts_nothing(
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
def test_an_upload_of_unknown_size_is_refused_when_it_exceeds_the_quota(
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
            # A replacement may cost as much as the document.
            assert not (await engine.put(PutRequest("b", Pieces([], 30), TEXT))).created
            await counted(engine, scheme)

    asyncio.run(run())


@ALL
def test_expired_documents_are_removed_before_others_are_evicted(scheme: str, tmp_path: Path) -> None:
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
def test_a_reader_keeps_the_content_of_an_evicted_document(scheme: str, tmp_path: Path) -> None:
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
def test_a_write_with_a_failed_condition_evicts_nothing(scheme: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(url_of(scheme, tmp_path)) as engine:
            await put(engine, "a", 20_000)
            await put(engine, "b", 15_000)
            with pytest.raises(Conflict):
                await put(engine, "a", 50_000, expect=ABSENT)
            assert await keys(engine) == ["a", "b"]

    asyncio.run(run())


@ALL
def test_head_counts_as_a_use_and_a_listing_does_not(scheme: str, tmp_path: Path) -> None:
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
def test_empty_documents_use_the_quota_too(scheme: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(url_of(scheme, tmp_path)) as engine:
            for number in range(100):
                await put(engine, f"key-{number}", 0)
            usage = await counted(engine, scheme)
            assert usage.documents == 64 * KIB // cost(scheme, "key-10", 0)

    asyncio.run(run())
