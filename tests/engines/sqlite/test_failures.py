"""Failures of the disk, the driver and other programs under an open store."""

import asyncio
import os
import subprocess
from pathlib import Path

import apsw
import pytest

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.errors import CorruptData, EngineError, NoSpace, StorageUnavailable
from docstore.model import Fields
from tests.engines.sqlite.stores import (
    LARGE,
    PYTHON,
    file_size,
    opened,
    put,
    queued,
    read,
    sealed_files,
    seen_connections,
    settled,
    write_lock,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "docs.db"


def test_a_full_database_refuses_a_write_without_space(path: Path) -> None:
    async def run() -> None:
        with seen_connections() as connections:
            async with opened(path) as engine:
                old = await put(engine, "key", b"old")
                connections[0].execute("PRAGMA max_page_count = 30")
                with write_lock(path):
                    tasks = [asyncio.create_task(put(engine, "first", b"small"))]
                    await queued()
                    contents = [bytes(60_000), b"small", bytes(60_000), bytes(60_000)]
                    tasks += [asyncio.create_task(put(engine, f"key{n}", data)) for n, data in enumerate(contents)]
                    await queued()
                answers = await settled(*tasks)
                # A small write has space, and so have the small ones beside it.
                assert [type(answer) for answer in answers[3:]] == [NoSpace] * 2
                assert str(path) in str(answers[3])
                assert await engine.head("key") == old.meta
                assert await read(engine, "key1") == b"small"
                connections[0].execute("PRAGMA max_page_count = 1000000")
                await put(engine, "key2", bytes(60_000))

    asyncio.run(run())


FULL = """
import asyncio, resource, sys
from docstore.engines.contract import PutRequest
from docstore.content import BytesContent
from docstore.engines.registry import open_engine, EngineURL
from docstore.errors import NoSpace
from docstore.model import Fields

async def run():
    engine = open_engine(EngineURL("sqlite", sys.argv[1]))
    await engine.put(PutRequest("key", BytesContent(b"old"), Fields.make()))
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
    refused = 0
    for n in range(40):
        try:
            await engine.put(PutRequest(f"key{n}", BytesContent(bytes(int(sys.argv[2]))), Fields.make()))
        except NoSpace as error:
            assert sys.argv[1] in str(error), error
            refused += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await engine.put(PutRequest("last", BytesContent(bytes(int(sys.argv[2]))), Fields.make()))
    print(refused)
    await engine.close()

asyncio.run(run())
"""


@pytest.mark.parametrize("size", [30_000, 200_000], ids=["the log", "a sealed file"])
def test_a_file_that_cannot_grow_is_no_space_and_harms_nothing(path: Path, size: int) -> None:
    process = subprocess.run([*PYTHON, FULL, str(path), str(size)], capture_output=True, text=True, check=False)
    assert process.stderr == ""
    refused = int(process.stdout)
    assert refused > 0

    async def run() -> None:
        async with opened(path) as engine:
            page = await engine.list()
            assert len(page) == 42 - refused
            for meta in page:
                assert len(await read(engine, meta.key) or b"") == meta.size
            assert len(sealed_files(path)) == sum(meta.size > len(LARGE) for meta in page)

    asyncio.run(run())


def test_a_database_locked_by_another_program_is_unavailable(path: Path) -> None:
    async def run() -> None:
        with seen_connections() as connections:
            async with opened(path) as engine:
                await put(engine, "key", b"old")
                connections[0].set_busy_timeout(10)
                with write_lock(path):
                    with pytest.raises(StorageUnavailable, match=r"docs\.db"):
                        await put(engine, "key", LARGE)
                    with pytest.raises(StorageUnavailable):
                        await engine.delete("key")
                    assert await read(engine, "key") == b"old"
                assert sealed_files(path) == []
                await put(engine, "key", b"new")

    asyncio.run(run())


def test_every_method_reports_a_damaged_database_as_corrupt(path: Path) -> None:
    async def fill() -> None:
        async with opened(path) as engine:
            await asyncio.gather(*(put(engine, f"key{n:03}", bytes(500)) for n in range(300)))

    async def run() -> None:
        async with opened(path) as engine:
            for call in (
                engine.get("key100"),
                engine.head("key100"),
                engine.list(),
                engine.delete("key100"),
                engine.put(PutRequest("key100", BytesContent(b""), Fields.make())),
            ):
                with pytest.raises(CorruptData, match=r"docs\.db"):
                    await call

    asyncio.run(fill())
    with path.open("r+b") as file:
        # The first pages hold the schema and the roots of empty indexes.
        file.seek(3 * 4096)
        file.write(os.urandom(file_size(path) - 3 * 4096))
    asyncio.run(run())


def test_damaged_fields_and_content_are_corrupt(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "fields")
            await put(engine, "content")
            connection = apsw.Connection(str(path))
            connection.execute("UPDATE documents SET fields = '{' WHERE key = 'fields'")
            connection.execute("UPDATE documents SET data = x'00' WHERE key = 'content'")
            connection.close()
            for key in ("fields", "content"):
                with pytest.raises(CorruptData, match=rf"docs\.db: .*'?{key}'?"):
                    await engine.get(key)
            for call in (engine.head("fields"), engine.list(), engine.delete("fields")):
                with pytest.raises(CorruptData, match=r"docs\.db: 'fields': "):
                    await call

    asyncio.run(run())


def test_a_missing_table_is_an_engine_error(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            connection = apsw.Connection(str(path))
            connection.execute("DROP TABLE documents")
            connection.close()
            for call in (engine.get("key"), engine.head("key"), engine.list(), engine.sweep(), engine.delete("key")):
                with pytest.raises(EngineError, match=r"docs\.db"):
                    await call

    asyncio.run(run())
