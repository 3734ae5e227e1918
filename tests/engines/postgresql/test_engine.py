"""What is particular to PostgreSQL: large content, its collection, batches, plans, and `docstore check`."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from docstore.content import read_all
from docstore.engines.contract import PutRequest
from docstore.engines.postgresql import contents
from docstore.engines.postgresql.contents import ROW_LIMIT, ROW_SIZE
from docstore.engines.postgresql.engine import Postgres
from docstore.engines.postgresql.statements import AFTER_ALL_KEYS, Statements
from docstore.errors import CorruptData, StorageUnavailable
from docstore.model import Fields
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import GatedUpload, make_data, put_data, read_data
from tests.engines.postgresql.servers import opened
from tests.postgresql_server import postgres_url, shared_server
from tests.stores import run as command

LARGE = 3 * ROW_SIZE + 100


class Store:
    """A store and its tables."""

    def __init__(self, folder: Path) -> None:
        self.url = postgres_url(folder)
        self.prefix = self.url.partition("prefix=")[2]

    def sql(self, statement: str) -> str:
        """Run a statement, in which `T_` stands for the prefix."""
        return shared_server().sql(statement.replace("T_", f"{self.prefix}_")).strip()

    def run(self, test: Callable[[Postgres], Awaitable[None]], clock: SetClock | None = None) -> None:
        async def limited() -> None:
            async with asyncio.timeout(60), opened(self.url, clock) as engine:
                await test(engine)

        asyncio.run(limited())

    def chunks(self) -> int:
        return int(self.sql("SELECT count(*) FROM T_chunks"))

    def wait_for_a_chunk(self) -> None:
        while not self.chunks():
            time.sleep(0.02)

    def let_time_pass(self) -> None:
        """End the time of all orphans, as if the processes that use them were gone."""
        self.sql("UPDATE T_orphans SET keep_until = now() - interval '1 hour'")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.mark.parametrize("size", [ROW_LIMIT, ROW_LIMIT + 1, ROW_SIZE, ROW_SIZE + 1, LARGE])
def test_large_content_is_in_chunks_and_any_range_of_it_can_be_read(store: Store, size: int) -> None:
    data = make_data(size)

    async def test(engine: Postgres) -> None:
        await put_data(engine, "key", data)
        document = await engine.get("key")
        assert document is not None
        for start in (0, 1, ROW_SIZE - 1, ROW_SIZE, 2 * ROW_SIZE):
            for stop in (start, start + 1, start + ROW_SIZE, size):
                if start <= stop <= size:
                    assert await read_all(document.content.slice(start, stop)) == data[start:stop]

    store.run(test)
    assert store.chunks() == (0 if size <= ROW_LIMIT else -(-size // ROW_SIZE))


def test_replaced_content_is_collected_when_nobody_reads_it(store: Store) -> None:
    async def test(engine: Postgres) -> None:
        for key in ("replaced", "deleted", "expired", "kept"):
            await put_data(engine, key, make_data(LARGE, key), expires_ns=clock() + 5 if key == "expired" else None)
        await put_data(engine, "replaced", b"small")
        await engine.delete("deleted")
        clock.advance_s(1)
        assert await engine.sweep() == 1
        assert store.chunks() == 16
        store.let_time_pass()
        await engine.sweep()
        assert store.chunks() == 4
        assert await read_data(engine, "kept") == make_data(LARGE, "kept")

    clock = SetClock()
    store.run(test, clock)
    assert store.sql("SELECT count(*) FROM T_orphans") == "0"


def test_content_is_kept_as_long_as_it_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "EXTENSION_INTERVAL_S", 0.1)

    async def test(engine: Postgres) -> None:
        await put_data(engine, "key", make_data(LARGE))
        document = await engine.get("key")
        assert document is not None
        await engine.delete("key")
        store.sql("UPDATE T_orphans SET keep_until = now() + interval '1 second'")
        await asyncio.sleep(1.2)
        await engine.sweep()
        assert await read_all(document.content) == make_data(LARGE)

    store.run(test)


def test_content_that_was_collected_while_it_was_read_is_unavailable_and_not_wrong(store: Store) -> None:
    async def test(engine: Postgres) -> None:
        await put_data(engine, "key", make_data(LARGE))
        document = await engine.get("key")
        assert document is not None
        await engine.delete("key")
        store.let_time_pass()
        await engine.sweep()
        with pytest.raises(StorageUnavailable, match="removed while it was read"):
            await read_all(document.content)

    store.run(test)


@pytest.mark.parametrize("lost", ["the orphan", "a chunk"])
def test_an_upload_that_was_collected_is_refused(store: Store, lost: str) -> None:
    async def test(engine: Postgres) -> None:
        await put_data(engine, "key", b"before")
        upload = GatedUpload(make_data(LARGE))
        writing = asyncio.create_task(engine.put(PutRequest("key", upload, Fields())))
        await upload.halfway.wait()
        if lost == "the orphan":
            store.let_time_pass()
            await engine.sweep()
        else:
            await asyncio.to_thread(store.wait_for_a_chunk)
            store.sql("DELETE FROM T_chunks WHERE number = 0")
        upload.gate.set()
        with pytest.raises(StorageUnavailable):
            await writing
        assert await read_data(engine, "key") == b"before"

    store.run(test)


def test_what_waits_together_is_one_transaction(store: Store) -> None:
    async def test(engine: Postgres) -> None:
        await put_data(engine, "first", b"")
        await asyncio.gather(*(put_data(engine, f"{number}", b"data") for number in range(200)))
        assert int(store.sql("SELECT count(DISTINCT xmin::text) FROM T_documents")) < 12
        assert len(await engine.list()) == 201

    store.run(test)


def test_a_process_has_few_connections(store: Store) -> None:
    async def test(engine: Postgres) -> None:
        for number in range(30):
            await put_data(engine, f"{number}", make_data(LARGE if number % 3 == 0 else 10))
        await asyncio.gather(
            *(read_data(engine, f"{number}") for number in range(30) for _ in range(5)),
            *(put_data(engine, f"{number}", make_data(LARGE)) for number in range(30)),
            *(engine.list() for _ in range(30)),
        )
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name <> 'psql' AND query LIKE '%T_%'"
        assert int(store.sql(query)) <= 8

    store.run(test)


def test_statements_use_the_indexes(store: Store) -> None:
    async def test(engine: Postgres) -> None:
        store.sql(
            "INSERT INTO T_documents SELECT 'key-' || n, 'v', 1, '', '[]', 0, "
            "CASE WHEN n % 10 = 0 THEN n END, NULL, 'x' FROM generate_series(1, 20000) AS n"
        )
        store.sql("ANALYZE T_documents")

    store.run(test)
    statements = Statements(store.prefix)
    for statement, arguments, index in (
        (statements.read, "'{key-1,key-5}', '{key-1}'", "T_documents_pkey"),
        (statements.list, f"'key-1', '{AFTER_ALL_KEYS}', '', 5, 10", "T_documents_pkey"),
        (statements.sweep, "50, 10", "T_documents_expiring"),
        (statements.is_used, "'00000000-0000-0000-0000-000000000000'", "T_documents_content"),
    ):
        plan = store.sql(
            f"PREPARE s AS {statement}; SET plan_cache_mode = force_generic_plan; EXPLAIN EXECUTE s({arguments})"
        )
        assert index.replace("T_", f"{store.prefix}_") in plan
        assert "Seq Scan" not in plan


def test_a_check_finds_each_damage(store: Store) -> None:
    async def test(engine: Postgres) -> None:
        for key in ("a", "b", "c"):
            await put_data(engine, key, b"small")
        for key in ("d", "e", "f"):
            await put_data(engine, key, make_data(LARGE, key))

    store.run(test)
    assert command("check", store.url).status == 0
    store.sql("UPDATE T_documents SET data = 'other' WHERE key = 'a'")
    store.sql("UPDATE T_documents SET fields = 'nonsense' WHERE key = 'b'")
    store.sql("DELETE FROM T_chunks WHERE number = 1 AND content = (SELECT content FROM T_documents WHERE key = 'd')")
    store.sql("INSERT INTO T_chunks VALUES ('00000000-0000-0000-0000-000000000001', 0, 'lost')")
    store.sql("INSERT INTO T_orphans VALUES ('00000000-0000-0000-0000-000000000002', now() - interval '1 day')")
    store.sql("INSERT INTO T_orphans VALUES ('00000000-0000-0000-0000-000000000003', now())")
    ended = command("check", store.url)
    assert ended.status != 0
    assert sorted(line.partition(":")[0] for line in ended.out.splitlines()) == [
        "'a'",
        "'b'",
        "'d'",
        "postgresql",
        "postgresql",
    ]
    ended = command("check", store.url, "--repair")
    assert len([line for line in ended.out.splitlines() if line.endswith(", removed")]) == 2
    assert len(command("check", store.url).out.splitlines()) == 3


def test_an_error_of_the_reader_of_a_snapshot_is_not_changed(store: Store) -> None:
    async def test(engine: Postgres) -> None:
        await put_data(engine, "key", b"data")
        with pytest.raises(BrokenPipeError):
            async with engine.snapshot():
                raise BrokenPipeError
        assert await read_data(engine, "key") == b"data"

    store.run(test)


def test_a_damaged_row_is_reported_and_not_served(store: Store) -> None:
    async def test(engine: Postgres) -> None:
        await put_data(engine, "small", b"small")
        await put_data(engine, "large", make_data(LARGE))
        store.sql("UPDATE T_documents SET data = 'shorter' WHERE key = 'small'")
        store.sql("DELETE FROM T_chunks WHERE number = 1")
        for key in ("small", "large"):
            with pytest.raises(CorruptData):
                await read_data(engine, key)

    store.run(test)
