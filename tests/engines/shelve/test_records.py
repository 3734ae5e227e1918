"""A shelve after kill -9, on a full disk, and with damaged bytes."""

import asyncio
import dbm.dumb
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from docstore.engines.registry import EngineURL
from docstore.engines.shelve.engine import open_shelve
from docstore.engines.shelve.records import Record, Records
from docstore.errors import CorruptData, EngineError, NoSpace
from docstore.model import Fields, Meta
from docstore.testing.clock import SetClock
from tests.engines.shelve.stores import (
    EACH_DBM,
    NEW,
    OLD,
    damage,
    mark_unclean,
    open_error,
    opened,
    put,
    read,
    store,
    stored,
    writing_process,
)


@pytest.mark.parametrize("answers", [1, 150, 400])
@EACH_DBM
def test_acknowledged_writes_survive_a_kill(tmp_path: Path, name: str, answers: int) -> None:
    with writing_process(tmp_path / "store", name) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(answers)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    last = dict(line.rstrip("\n").split("\t") for line in lines if line.endswith("\n"))
    found = stored(tmp_path / "store", name)
    for key, turn in last.items():
        if turn == "deleted":
            assert key not in found
        elif key.endswith("replaced") or key in found:
            data = found[key]
            assert data is not None
            # One more write may have been done and not answered.
            seen = int(data.removeprefix(f"{key} ".encode()).split(b" ")[0])
            assert seen in (int(turn), int(turn) + 1)
            assert data == f"{key} {seen} ".encode() * (seen * 37 % 400 + 1)
        else:
            # The next delete may have been done and not answered.
            task = key.split(" ")[0]
            assert int(turn) + 2 == int(last[f"{task} replaced"])


@EACH_DBM
@pytest.mark.parametrize("what", [OLD[-20:], b'"size"', b"DSR1"], ids=["content", "meta", "magic"])
def test_a_broken_record_is_named_when_the_store_is_opened(tmp_path: Path, name: str, what: bytes) -> None:
    store(tmp_path / "store", name, key=OLD)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes().replace(what, what[:-1] + b"\xff"))
    for _ in range(2):
        assert "'key' is broken" in open_error(tmp_path / "store")


@EACH_DBM
def test_a_broken_current_version_does_not_fall_back_to_an_older_one(tmp_path: Path, name: str) -> None:
    store(tmp_path / "store", name, key=OLD)
    store(tmp_path / "store", name, key=NEW)
    damage(tmp_path, NEW)
    assert "'key' is broken" in open_error(tmp_path / "store")


@EACH_DBM
def test_a_write_interrupted_by_a_kill_leaves_the_previous_version(tmp_path: Path, name: str) -> None:
    store(tmp_path / "store", name, key=OLD, other=OLD)
    store(tmp_path / "store", name, key=NEW)
    damage(tmp_path, NEW)
    mark_unclean(tmp_path / "store")
    for _ in range(2):
        assert stored(tmp_path / "store", name) == {"key": OLD, "other": OLD}
    store(tmp_path / "store", name, key=NEW)
    assert stored(tmp_path / "store", name) == {"key": NEW, "other": OLD}


def test_a_record_damaged_while_the_store_is_open_is_corrupt(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store") as engine:
            await put(engine, "key", OLD)
            await put(engine, "other", NEW)
            damage(tmp_path, OLD)
            with pytest.raises(CorruptData, match="'key' is broken"):
                await engine.get("key")
            assert await read(engine, "other") == NEW

    asyncio.run(run())


def test_a_record_with_a_version_that_was_not_written_is_corrupt(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store") as engine:
            await put(engine, "key", OLD)
            before = (tmp_path / "store.dat").read_bytes()
            await engine.delete("key")
            await put(engine, "key", OLD[::-1])
            (tmp_path / "store.dat").write_bytes(before[:512] + before[512:].ljust(2048, b"\0") * 2)
            with pytest.raises(CorruptData, match="'key'"):
                await engine.get("key")

    asyncio.run(run())


def _no_index(path: Path) -> None:
    path.with_suffix(".dir").rename(path.with_suffix(".bak"))


def _half_an_index(path: Path) -> None:
    lines = path.with_suffix(".dir").read_bytes()
    _no_index(path)
    path.with_suffix(".dir").write_bytes(lines[: len(lines) // 2])


def _an_empty_index(path: Path) -> None:
    _no_index(path)
    path.with_suffix(".dir").touch()


def _half_a_line(path: Path) -> None:
    with path.with_suffix(".dir").open("ab") as file:
        file.write(b"'half a li")


@pytest.mark.parametrize("interrupt", [_no_index, _half_an_index, _an_empty_index, _half_a_line])
def test_an_incompletely_written_index_is_restored(tmp_path: Path, interrupt: Any) -> None:
    path = tmp_path / "store"
    documents = {f"key-{number}": OLD + b"%d" % number for number in range(9)}
    store(path, **documents)
    interrupt(path)
    mark_unclean(path)
    assert stored(path) == documents
    store(path, more=NEW)
    assert stored(path) == {**documents, "more": NEW}
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".dat", ".dir", ".lock"]


def test_a_lost_index_is_refused(tmp_path: Path) -> None:
    store(tmp_path / "store", key=OLD)
    (tmp_path / "store.dir").write_bytes(b"")
    assert "has lost its content" in open_error(tmp_path / "store")
    (tmp_path / "store.dir").unlink()
    assert "is missing" in open_error(tmp_path / "store")
    assert OLD in (tmp_path / "store.dat").read_bytes()


def test_a_store_killed_before_its_first_document_opens(tmp_path: Path) -> None:
    for left in ({".dat": b""}, {".dat": b"", ".dir": b""}, {".dat": b"docstore shelve 1\n", ".dir": b"'\\x0"}):
        for suffix, data in left.items():
            (tmp_path / "store").with_suffix(suffix).write_bytes(data)
        mark_unclean(tmp_path / "store")
        store(tmp_path / "store", key=OLD)
        assert stored(tmp_path / "store") == {"key": OLD}
        for file in tmp_path.iterdir():
            file.unlink()


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@EACH_DBM
def test_a_full_disk_changes_nothing(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store", name) as engine:
            await put(engine, "key", OLD)
            await put(engine, "key", OLD)
            await put(engine, "other", OLD)
            with files_at_most(200_000):
                for key in ("key", "new"):
                    with pytest.raises(NoSpace if name == "dumb" else EngineError):
                        await put(engine, key, bytes(1_000_000))
                    assert await read(engine, key) == (OLD if key == "key" else None)
            await put(engine, "other", NEW)
            await put(engine, "after", NEW)

    asyncio.run(run())
    assert stored(tmp_path / "store", name) == {"key": OLD, "other": NEW, "after": NEW}


class NoRoomForAnIndex:
    """Replaces the `io` of dbm.dumb: an index is written completely `room` times, then only in part."""

    def __init__(self) -> None:
        self.room = 0

    def open(self, path: bytes, mode: str, encoding: str) -> Any:
        if self.room > 0:
            self.room -= 1
            return Path(os.fsdecode(path)).open(mode, encoding=encoding)
        Path(os.fsdecode(path)).write_bytes(b"'key")
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("room", [0, 1, 2, 3, 100])
def test_a_sync_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store") as engine:
            for data in (b"older", OLD):
                await put(engine, "key", data)
            with monkeypatch.context() as patched:
                disk = NoRoomForAnIndex()
                patched.setattr(dbm.dumb._Database, "_io", disk)  # type: ignore[attr-defined]
                with pytest.raises(NoSpace):
                    await put(engine, "key", NEW)
                assert await read(engine, "key") == OLD
                with pytest.raises(NoSpace):
                    await engine.delete("key")
                assert await read(engine, "key") == OLD
                disk.room = room
                outcome = (await asyncio.gather(put(engine, "key", NEW), return_exceptions=True))[0]
                assert (outcome is None) == (room > 0)
                assert await read(engine, "key") == (NEW if room > 0 else OLD)
            await put(engine, "after", NEW)

    asyncio.run(run())
    assert stored(tmp_path / "store") == {"key": NEW if room > 0 else OLD, "after": NEW}


def test_a_write_whose_sync_fails_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(records: Records) -> None:
        raise NoSpace(f"{records.path}: full")

    async def run() -> None:
        async with opened(tmp_path / "store") as engine:
            with monkeypatch.context() as patched:
                patched.setattr(Records, "sync", failing)
                with pytest.raises(NoSpace):
                    await put(engine, "key", OLD)
            assert await read(engine, "key") is None

    asyncio.run(run())
    assert stored(tmp_path / "store") == {}


def test_a_record_with_unreadable_metadata_is_named(tmp_path: Path) -> None:
    records = Records(tmp_path / "store", "dbm.dumb", clean=True)
    meta = Meta("key", "not the version of that", 0, bytes(32), Fields(), 0)
    records.write(0, Record(1, meta, b""))
    with pytest.raises(CorruptData, match=f"{tmp_path / 'store'}: the record of 'key'"):
        records.read("key", 0)
    records.close()


def test_a_store_that_cannot_be_read_again_after_a_failure_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(records: Records, *_: object) -> None:
        raise EngineError(f"{records.path}: an I/O error")

    async def run() -> None:
        engine = open_shelve(EngineURL("shelve", str(tmp_path / "store"), {"dbm": "dumb"}), SetClock())
        await put(engine, "key", OLD)
        with monkeypatch.context() as patched:
            for method in ("write", "reopen"):
                patched.setattr(Records, method, failing)
            with pytest.raises(EngineError):
                await put(engine, "key", NEW)
        calls = [engine.head("key"), engine.get("key"), put(engine, "key", NEW), engine.delete("key")]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, EngineError) and "must be opened again" in str(answer) for answer in answers)
        # An exception that is raised again collects a traceback each time.
        assert len({id(answer) for answer in answers}) == len(calls)
        await engine.close()

    asyncio.run(run())
    assert stored(tmp_path / "store") == {"key": OLD}
