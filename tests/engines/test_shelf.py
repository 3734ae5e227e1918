"""What the shelve engine does with its dbm while it is open: one opener, shared syncs, and the contract on each dbm."""

import asyncio
import dbm.dumb
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from docstore.engines.contract import Engine
from docstore.engines.registry import EngineURL
from docstore.engines.shelve.engine import Shelf, open_shelf
from docstore.engines.shelve.records import Record, Records
from docstore.errors import EngineError
from docstore.model import Clock
from docstore.testing.clock import SetClock
from docstore.testing.contract import EngineContract
from tests.engines.shelf_stores import (
    EACH_DBM,
    HERE,
    NEW,
    OLD,
    opened,
    put,
    read,
    refusal,
    store,
    stored,
    writing_process,
)


class OnOneDbm(EngineContract):
    """The whole contract again, on a dbm that would not be preferred."""

    durable = True
    name: str

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_shelf(EngineURL("shelve", str(folder / "store"), {"dbm": self.name}), clock)


for _name in HERE[1:]:
    _title = f"TestOn{_name.title()}"
    globals()[_title] = type(_title, (OnOneDbm,), {"name": _name})


@EACH_DBM
def test_a_store_is_opened_by_what_it_was_made_with(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a store, 100%?"
    store(path, name, key=OLD)

    async def run() -> None:
        engine = open_shelf(EngineURL("shelve", str(path)), SetClock())
        assert await read(engine, "key") == OLD
        await engine.close()

    asyncio.run(run())
    assert dbm.whichdb(str(path)) == f"dbm.{name}"


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    store(tmp_path / "some" / "folder" / "store", key=OLD)
    assert stored(tmp_path / "some" / "folder" / "store") == {"key": OLD}


@EACH_DBM
def test_a_store_is_open_once_in_a_process(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store", name) as engine:
            assert "open already" in refusal(tmp_path / "store")
            await put(engine, "key", OLD)

    asyncio.run(run())
    assert stored(tmp_path / "store", name) == {"key": OLD}


@EACH_DBM
def test_a_store_is_open_in_one_process(tmp_path: Path, name: str) -> None:
    with writing_process(tmp_path / "store", name) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert "open already" in refusal(tmp_path / "store")


@EACH_DBM
def test_a_closed_engine_says_so(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store", name) as engine:
            await engine.close()
            with pytest.raises(EngineError, match="is closed"):
                await engine.head("key")
            with pytest.raises(EngineError, match="is closed"):
                await put(engine, "key", OLD)

    asyncio.run(run())


async def waiting(engine: Shelf, writes: list[Coroutine[Any, Any, None]]) -> list[asyncio.Task[None]]:
    """The writes as tasks, once all of them wait for the thread."""
    tasks = [asyncio.create_task(write) for write in writes]
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(engine._waiting) == len(tasks)
    return tasks


@EACH_DBM
def test_writes_that_wait_share_a_sync(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    sync = Records.sync

    def counted(records: Records) -> None:
        syncs.append(1)
        sync(records)

    async def run() -> None:
        async with opened(tmp_path / "store", name) as engine:
            go_on = threading.Event()
            engine._thread.submit(go_on.wait)
            monkeypatch.setattr(Records, "sync", counted)
            writes = await waiting(engine, [put(engine, f"key-{number}", OLD) for number in range(50)])
            go_on.set()
            await asyncio.gather(*writes)
            assert len(syncs) == 1

    asyncio.run(run())
    assert len(stored(tmp_path / "store", name)) == 50


def test_a_read_has_its_turn_between_two_groups_of_writes(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store") as engine:
            go_on = threading.Event()
            engine._thread.submit(go_on.wait)
            first = await waiting(engine, [put(engine, "key", OLD)])
            seen = asyncio.create_task(read(engine, "key"))
            for _ in range(100):
                await asyncio.sleep(0)
            # A second write of one key is a second group.
            second = asyncio.create_task(put(engine, "key", NEW))
            for _ in range(100):
                await asyncio.sleep(0)
            assert len(engine._waiting) == 2
            go_on.set()
            assert await seen == OLD
            await asyncio.gather(*first, second)
            assert await read(engine, "key") == NEW

    asyncio.run(run())


def test_a_write_that_comes_during_a_group_waits_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, write = threading.Event(), threading.Event(), Records.write

    def slow(records: Records, number: int, record: Record) -> None:
        begun.set()
        assert go_on.wait(20)
        write(records, number, record)

    async def run() -> None:
        async with opened(tmp_path / "store") as engine:
            first = asyncio.create_task(put(engine, "first", OLD))
            await asyncio.to_thread(begun.wait, 20)
            seen = asyncio.create_task(read(engine, "second"))
            for _ in range(100):
                await asyncio.sleep(0)
            (second,) = await waiting(engine, [put(engine, "second", NEW)])
            go_on.set()
            assert await seen is None
            await asyncio.gather(first, second)

    monkeypatch.setattr(Records, "write", slow)
    asyncio.run(run())


def test_closing_finishes_all_groups_that_wait(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store") as engine:
            go_on = threading.Event()
            engine._thread.submit(go_on.wait)
            writes = await waiting(engine, [put(engine, "key", NEW + b"%d" % number) for number in range(3)])
            go_on.set()
        await asyncio.gather(*writes)

    asyncio.run(run())
    assert stored(tmp_path / "store") == {"key": NEW + b"2"}


def test_waiting_writes_of_one_key_never_overwrite_what_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store") as engine:
            await put(engine, "key", OLD)
            go_on = threading.Event()
            engine._thread.submit(go_on.wait)
            writes = await waiting(engine, [put(engine, "key", NEW + b"%d" % number) for number in range(2)])
            at_each_sync: list[bool] = []
            sync = Records.sync

            def watched(records: Records) -> None:
                at_each_sync.append(OLD in (tmp_path / "store.dat").read_bytes())
                sync(records)

            monkeypatch.setattr(Records, "sync", watched)
            go_on.set()
            await asyncio.gather(*writes)
            assert at_each_sync == [True, False]

    asyncio.run(run())
