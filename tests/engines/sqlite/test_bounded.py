"""Databases that are opened with a quota for the first time, or with a lower one."""

import asyncio
from pathlib import Path

import apsw
import pytest

from docstore.engines.contract import Engine
from docstore.engines.registry import EngineURL, open_engine
from docstore.errors import NoSpace, OpenError
from docstore.testing.clock import SetClock
from tests.disks import BLOCK, Budget
from tests.engines.bounded_stores import KIB, counted, keys, opened, put, url_of

MIB = 1024 * KIB


async def fill(engine: Engine, size: int) -> None:
    """Write documents of `size` bytes until there is no space for fifty more."""
    full = False
    while not full:
        first = len(await keys(engine))
        written = (put(engine, f"key-{first + number:06}", size) for number in range(50))
        full = any(isinstance(one, NoSpace) for one in await asyncio.gather(*written, return_exceptions=True))


def test_a_file_outside_the_store_that_a_damaged_row_names_is_not_removed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")

    async def run() -> None:
        engine = open_engine(EngineURL("sqlite", str(tmp_path / "store")), SetClock())
        for key in "abc":
            await put(engine, key, 100_000)
        await engine.close()
        connection = apsw.Connection(str(tmp_path / "store"))
        connection.execute("UPDATE documents SET file = ? WHERE key = 'a'", (str(precious),))
        connection.close()
        async with opened(url_of("sqlite", tmp_path, 128 * KIB)) as bounded:
            assert await keys(bounded) == ["c"]

    asyncio.run(run())
    assert precious.read_text() == "kept"
    assert len(list((tmp_path / "store.sealed").glob("?" * 32))) == 1


def test_a_full_disk_can_be_emptied_after_a_failed_open_with_a_quota(tmp_path: Path) -> None:
    plain, bounded = EngineURL("sqlite", str(tmp_path / "store")), url_of("sqlite", tmp_path, 64 * MIB)
    disk = Budget(tmp_path, 4 * MIB)

    async def run() -> None:
        engine = open_engine(plain, SetClock())
        await fill(engine, 1_000)
        documents = len(await keys(engine))
        await engine.close()
        disk.steal()
        for _ in range(2):
            with pytest.raises(OpenError, match="open it without max_bytes and delete something first") as refused:
                open_engine(bounded, SetClock())
            assert "\n" not in str(refused.value)
        engine = open_engine(plain, SetClock())
        assert len(await keys(engine)) == documents
        for key in await keys(engine):
            await engine.delete(key)
        await engine.close()
        async with opened(bounded) as again:
            await put(again, "new", 300)
            assert (await counted(again, "sqlite")).documents == 1

    with disk.installed():
        asyncio.run(run())


def test_on_a_full_disk_a_lower_quota_frees_space(tmp_path: Path) -> None:
    disk = Budget(tmp_path, 6 * MIB)

    async def run() -> None:
        async with opened(url_of("sqlite", tmp_path, 64 * MIB)) as engine:
            await fill(engine, 4_000)
        disk.steal()
        async with opened(url_of("sqlite", tmp_path, 256 * KIB)) as engine:
            assert (await counted(engine, "sqlite")).documents > 10
            await put(engine, "new", 300)
        assert disk.free() > BLOCK

    with disk.installed():
        asyncio.run(run())
