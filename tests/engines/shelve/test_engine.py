"""The shelve engine while it is open: one process, one thread, and the contract on each dbm."""

import asyncio
import dbm
import threading
from pathlib import Path

import pytest

from docstore.engines.contract import Engine
from docstore.engines.registry import EngineURL
from docstore.engines.shelve.engine import open_shelve
from docstore.engines.shelve.records import Records
from docstore.errors import EngineError
from docstore.model import Clock
from docstore.testing.clock import SetClock
from docstore.testing.contract import EngineContract
from tests.engines.shelve.stores import (
    EACH_DBM,
    INSTALLED,
    NEW,
    OLD,
    open_error,
    opened,
    put,
    read,
    store,
    stored,
    writing_process,
)


class OnOneDbm(EngineContract):
    """The contract on a dbm that is not the default."""

    durable = True
    name: str

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_shelve(EngineURL("shelve", str(folder / "store"), {"dbm": self.name}), clock)


for _name in INSTALLED[1:]:
    _title = f"TestOn{_name.title()}"
    globals()[_title] = type(_title, (OnOneDbm,), {"name": _name})


@EACH_DBM
def test_a_store_is_opened_with_the_dbm_that_created_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a store, 100%?"
    store(path, name, key=OLD)

    async def run() -> None:
        engine = open_shelve(EngineURL("shelve", str(path)), SetClock())
        assert await read(engine, "key") == OLD
        await engine.close()

    asyncio.run(run())
    assert dbm.whichdb(str(path)) == f"dbm.{name}"


def test_parent_folders_are_created(tmp_path: Path) -> None:
    store(tmp_path / "some" / "folder" / "store", key=OLD)
    assert stored(tmp_path / "some" / "folder" / "store") == {"key": OLD}


@EACH_DBM
def test_a_store_is_open_once_in_a_process(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store", name) as engine:
            assert "open already" in open_error(tmp_path / "store")
            await put(engine, "key", OLD)

    asyncio.run(run())
    assert stored(tmp_path / "store", name) == {"key": OLD}


@EACH_DBM
def test_a_store_is_open_in_one_process(tmp_path: Path, name: str) -> None:
    with writing_process(tmp_path / "store", name) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert "open already" in open_error(tmp_path / "store")


@EACH_DBM
def test_using_a_closed_engine_is_an_error(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store", name) as engine:
            await engine.close()
            with pytest.raises(EngineError, match="is closed"):
                await engine.head("key")
            with pytest.raises(EngineError, match="is closed"):
                await put(engine, "key", OLD)

    asyncio.run(run())


def test_closing_finishes_the_waiting_writes(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store") as engine:
            resume = threading.Event()
            engine._thread.submit(resume.wait)
            writes = [asyncio.create_task(put(engine, "key", NEW + b"%d" % number)) for number in range(3)]
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_later(0.05, resume.set)
        await asyncio.gather(*writes)

    asyncio.run(run())
    assert stored(tmp_path / "store") == {"key": NEW + b"2"}


def test_a_write_keeps_the_acknowledged_version_until_it_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = Records.sync
    at_sync: list[bool] = []

    def watched(records: Records) -> None:
        at_sync.append(OLD in (tmp_path / "store.dat").read_bytes())
        sync(records)

    async def run() -> None:
        async with opened(tmp_path / "store") as engine:
            await put(engine, "key", OLD)
            monkeypatch.setattr(Records, "sync", watched)
            await put(engine, "key", NEW)
            await put(engine, "key", NEW)
            assert at_sync == [True, False]

    asyncio.run(run())
