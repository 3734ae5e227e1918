"""Snapshots of a database: their cost for writers, and leftovers of one that fails."""

import asyncio
import errno
import os
import shutil
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from docstore.content import read_all
from docstore.engines.sqlite import snapshot
from docstore.errors import CorruptData, EngineError, NoSpace
from tests.engines.sqlite.stores import LARGE, file_size, opened, put, read, sealed_files

MIB = 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "docs.db"


def folder_of(path: Path) -> Path:
    return Path(f"{path}.sealed")


def test_a_snapshot_does_not_prevent_checkpoints(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine, engine.snapshot() as held:
            for _ in range(40):
                await asyncio.gather(*(put(engine, f"{number}", os.urandom(60_000)) for number in range(20)))
            assert file_size(Path(f"{path}-wal")) < 24 * MIB, "48 MB were written"
            assert await held.list() == []

    asyncio.run(run())


def test_a_snapshot_is_consistent_while_another_process_commits(path: Path) -> None:
    """Each engine has its own writer, so only the transaction orders the writes."""

    async def run() -> None:
        async with opened(path) as engine, opened(path) as other:
            await put(engine, "key", LARGE)
            async with other.snapshot() as held:
                await asyncio.gather(*(put(engine, "key", LARGE + b"%d" % number) for number in range(30)))
                document = await held.get("key")
                assert document is not None
                assert await read_all(document.content) == LARGE
            assert len(sealed_files(path)) == 1

    asyncio.run(run())


def test_a_document_replaced_during_the_linking_is_the_newer_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the first link is already removed, and the snapshot has the version that replaced it."""

    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", LARGE)
            loop, link = asyncio.get_running_loop(), os.link

            def replaced_first(source: Path, target: Path) -> None:
                monkeypatch.setattr(os, "link", link)
                asyncio.run_coroutine_threadsafe(put(engine, "key", LARGE + b"new"), loop).result()
                link(source, target)

            monkeypatch.setattr(os, "link", replaced_first)
            async with engine.snapshot() as held:
                document = await held.get("key")
                assert document is not None
                assert await read_all(document.content) == LARGE + b"new"

    asyncio.run(run())


def test_blobs_are_copied_where_links_are_not_supported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", LARGE)
            monkeypatch.setattr(os, "link", refuse)
            async with engine.snapshot() as held:
                await engine.delete("key")
                document = await held.get("key")
                assert document is not None
                assert await read_all(document.content) == LARGE

    asyncio.run(run())


@pytest.mark.parametrize("step", ["link", "backup"])
def test_a_snapshot_on_a_full_disk_is_refused_and_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", LARGE)
            if step == "link":
                monkeypatch.setattr(os, "link", refuse)
            else:
                monkeypatch.setattr(snapshot.SqliteSnapshot, "copy", _full(snapshot.SqliteSnapshot.copy))
            with pytest.raises(NoSpace):
                async with engine.snapshot():
                    raise AssertionError
            monkeypatch.undo()
            assert len(sealed_files(path)) == 1
            assert await read(engine, "key") == LARGE
            async with engine.snapshot() as held:
                assert len(await held.list()) == 1

    asyncio.run(run())


def _full(copy: Any) -> Any:
    """`copy` onto a disk on which nothing can grow."""

    def step(taking: Any) -> Any:
        target = taking._path / "rows"
        target.symlink_to("/dev/full")
        try:
            return copy(taking)
        finally:
            target.unlink()

    return step


def test_a_missing_blob_is_corrupt_in_the_snapshot_too(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", LARGE)
            await put(engine, "sound", b"hello")
            (file,) = sealed_files(path)
            (folder_of(path) / file).unlink()
            async with engine.snapshot() as held:
                with pytest.raises(CorruptData, match=file):
                    await held.get("key")
                assert await held.get("sound") is not None

    asyncio.run(run())


def test_cancelling_a_snapshot_leaves_nothing(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", LARGE)

            async def take() -> None:
                async with engine.snapshot():
                    await asyncio.Event().wait()

            for turns in range(12):
                task = asyncio.create_task(take())
                for _ in range(turns):
                    await asyncio.sleep(0.001)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                assert len(sealed_files(path)) == 1

    asyncio.run(run())


@pytest.mark.parametrize("alone", [True, False])
def test_leftovers_of_a_killed_export_are_removed_at_the_next_start(path: Path, alone: bool) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", LARGE)
        (file,) = sealed_files(path)
        left = folder_of(path) / "snapshot-0123456789abcdef"
        left.mkdir()
        os.link(folder_of(path) / file, left / file)
        shutil.copyfile(path, left / "rows")
        async with AsyncExitStack() as others:
            if not alone:
                left.rename(left.with_name("aside"))
                await others.enter_async_context(opened(path))
                left.with_name("aside").rename(left)
            async with opened(path) as engine:
                assert left.exists() is not alone
                assert await read(engine, "key") == LARGE

    asyncio.run(run())


def test_cancelling_the_listing_of_a_snapshot_leaves_nothing(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await asyncio.gather(*(put(engine, f"{number}", b"x" * 100) for number in range(3000)))
            for pause_s in (0, 0.001, 0.002, 0.005):
                async with engine.snapshot() as held:
                    listing = asyncio.create_task(held.list(limit=3000))
                    await asyncio.sleep(pause_s)
                with suppress(EngineError):  # it was discarded before it was listed
                    await listing
            assert list(folder_of(path).glob("snapshot-*")) == []

    asyncio.run(run())


def test_a_step_after_the_snapshot_was_discarded_creates_nothing(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            taking = snapshot.SqliteSnapshot(path, engine._folder)
            taking.discard()
            taking.link()
            assert not taking._path.exists()

    asyncio.run(run())
