"""The sqlite engine beyond the contract: concurrent processes, query plans, and the size of its files."""

import asyncio
import subprocess
from functools import partial
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL
from docstore.engines.shared.columns import end_of
from docstore.engines.sqlite import open_sqlite, queries, writer
from docstore.errors import Conflict
from docstore.model import ABSENT, WriteResult
from docstore.testing.clock import SetClock
from tests.engines.sqlite.stores import (
    LARGE,
    PYTHON,
    TEXT,
    file_size,
    opened,
    put,
    read,
    sealed_files,
    settled,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "docs.db"


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["inline", "sealed"])
def test_exactly_one_of_many_writers_on_two_engines_succeeds(path: Path, data: bytes) -> None:
    async def run() -> None:
        async with opened(path) as one, opened(path) as other:
            for expect in (ABSENT, (await put(one, "key", b"old")).meta.version):
                key = "new" if expect is ABSENT else "key"
                contents = [data + str(n).encode() for n in range(16)]
                tasks = [
                    asyncio.create_task(put(engine, key, content, expect))
                    for engine, content in zip([one, other] * 8, contents, strict=True)
                ]
                answers = await settled(*tasks)
                (won,) = [n for n, answer in enumerate(answers) if isinstance(answer, WriteResult)]
                assert sum(isinstance(answer, Conflict) for answer in answers) == 15
                assert await read(one, key) == await read(other, key) == contents[won]
            assert len(sealed_files(path)) == (2 if data is LARGE else 0)

    asyncio.run(run())


RACER = """
import asyncio, sys
from docstore.engines.contract import PutRequest
from docstore.content import BytesContent
from docstore.engines.registry import open_engine, EngineURL
from docstore.errors import Conflict
from docstore.model import ABSENT, Fields

async def run():
    engine = open_engine(EngineURL("sqlite", sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    async def one(n):
        try:
            await engine.put(PutRequest(f"key{n}", BytesContent(sys.argv[2].encode()), Fields.make(), expect=ABSENT))
        except Conflict:
            return
        print(n)
    for start in range(0, 200, 10):
        await asyncio.gather(*(one(n) for n in range(start, start + 10)))
    await engine.close()

asyncio.run(run())
"""


def test_one_of_many_processes_creates_a_document(path: Path) -> None:
    command = [*PYTHON, RACER, str(path)]
    start = partial(subprocess.Popen, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    # All open at the same time a store that does not exist yet.
    racers = {name: start([*command, name]) for name in ("a", "b", "c")}
    for racer in racers.values():
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    for racer in racers.values():
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = {name: racer.communicate()[0].split() for name, racer in racers.items()}
    assert sorted(int(n) for numbers in won.values() for n in numbers) == list(range(200))

    async def run() -> None:
        async with opened(path) as engine:
            for name, numbers in won.items():
                for n in numbers:
                    assert await read(engine, f"key{n}") == name.encode()

    asyncio.run(run())


def test_an_engine_opened_outside_a_loop_serves_one_loop_after_another(path: Path) -> None:
    engine = open_sqlite(EngineURL("sqlite", str(path)), SetClock())
    asyncio.run(put(engine, "key", LARGE))
    assert asyncio.run(read(engine, "key")) == LARGE
    assert [meta.key for meta in asyncio.run(engine.list())] == ["key"]
    asyncio.run(engine.close())


@given(st.text(max_size=4), st.text(max_size=6), st.sampled_from(["", "\ud7ff", "\U0010ffff", "\U0010ffff\U0010ffff"]))
def test_the_end_of_a_prefix_bounds_exactly_its_keys(prefix: str, key: str, tail: str) -> None:
    prefix, key = prefix.replace("\ud800", "") + tail, key
    connection = apsw.Connection(":memory:")
    for candidate in (key, prefix + key, prefix, prefix + "\U0010ffff" + key):
        within = connection.execute(
            "SELECT cast(?1 AS TEXT) >= ?2 AND cast(?1 AS TEXT) < ?3", (candidate, prefix, end_of(prefix) or b"")
        ).get
        assert bool(within) == candidate.startswith(prefix)
    connection.close()


def test_pages_are_found_in_bytewise_order_at_the_edges_of_unicode(path: Path) -> None:
    keys = ["a", "a-b", "a/b", "b", "\ud7ff", "\ue000", "\uffff", "\U0001f600", "\U0010ffff", "\U0010ffff\U0010ffff"]

    async def run() -> None:
        async with opened(path) as engine:
            await asyncio.gather(*(put(engine, key) for key in reversed(keys)))
            assert [meta.key for meta in await engine.list()] == keys
            for prefix in ["", "a", "a/", *keys]:
                walked, after = [], ""
                while page := await engine.list(prefix=prefix, after=after, limit=2):
                    walked += [meta.key for meta in page]
                    after = walked[-1]
                assert walked == [key for key in keys if key.startswith(prefix)]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("statement", "bindings", "index"),
    [
        (queries.SELECT_DOCUMENT, ("key",), "sqlite_autoindex_documents_1 (key=?)"),
        (queries.SELECT_PAGE, ("a", "b", "", 0, 10), "sqlite_autoindex_documents_1 (key>? AND key<?)"),
        (queries.SELECT_PAGE, ("", b"", "", 0, 10), "sqlite_autoindex_documents_1 (key>? AND key<?)"),
        (queries.DELETE_EXPIRED, (0, 10), "documents_expiring (expires_ns<?)"),
        (queries.BLOB_ROW, ("name",), "documents_sealed (file=?)"),
    ],
)
def test_statements_search_an_index_and_sort_nothing(
    path: Path, statement: str, bindings: tuple[object, ...], index: str
) -> None:
    async def run() -> None:
        async with opened(path):
            connection = apsw.Connection(str(path))
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", bindings)]
            connection.close()
            assert any(index in step for step in plan), plan
            assert not any("SCAN" in step or "TEMP" in step for step in plan), plan

    asyncio.run(run())


def test_no_read_leaves_an_open_transaction(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await asyncio.gather(*(put(engine, f"key{n}", LARGE if n == 3 else b"x") for n in range(20)))
            document = await engine.get("key3")
            await engine.get("key4")
            await engine.head("key5")
            await engine.list(limit=5)
            await put(engine, "key6", b"y")
            connection = apsw.Connection(str(path))
            assert connection.execute("SELECT count(*) FROM documents").get == 20
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            connection.close()
            assert document is not None
            assert file_size(Path(f"{path}-wal")) == 0

    asyncio.run(run())


def test_the_log_is_checkpointed_by_size_and_removed_by_close(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "CHECKPOINT_PAGES", 50)
    log = Path(f"{path}-wal")

    async def run() -> None:
        async with opened(path) as engine:
            for turn in range(30):
                await put(engine, "key", bytes([turn]) * 60_000)
                # At the limit, and one document and its overhead over it.
                assert file_size(log) < (50 + 40) * 4200

    asyncio.run(run())
    assert not log.exists()


def test_a_sweep_frees_space(path: Path) -> None:
    clock = SetClock()

    async def run() -> None:
        async with opened(path, clock) as engine:
            data = bytes(60_000)
            await asyncio.gather(
                *(
                    engine.put(PutRequest(f"key{n}", BytesContent(data), TEXT, expires_ns=clock() + 1))
                    for n in range(200)
                )
            )
            await put(engine, "stays")
        full = file_size(path)
        clock.advance_s(1)
        async with opened(path, clock) as engine:
            assert await engine.sweep(limit=150) == 150
            assert await engine.sweep(limit=150) == 50
            for _ in range(20):
                assert await engine.sweep() == 0
            assert [meta.key for meta in await engine.list()] == ["stays"]
        assert full > 200 * 60_000
        assert file_size(path) < (queries.FREE_PAGES_KEPT + 50) * 4096

    asyncio.run(run())
