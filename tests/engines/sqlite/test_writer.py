"""The writer's thread: shared transactions, and the answers when one of them fails."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from docstore.engines.sqlite import writer
from docstore.engines.sqlite.blobs import BlobFolder
from docstore.errors import Conflict, EngineError, NoSpace, StorageUnavailable
from docstore.model import ABSENT, WriteResult
from tests.engines.sqlite.stores import (
    LARGE,
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


def test_concurrent_writes_share_transactions(path: Path) -> None:
    async def run() -> int:
        commits = 0

        def committed() -> bool:
            nonlocal commits
            commits += 1
            return False

        with seen_connections() as connections:
            async with opened(path) as engine:
                connections[0].set_commit_hook(committed)
                with write_lock(path):
                    tasks = [asyncio.create_task(put(engine, f"key{n}")) for n in range(400)]
                    await queued()
                await asyncio.gather(*tasks)
                assert len(await engine.list()) == 400
                connections[0].set_commit_hook(None)
        return commits

    # The first transaction has the writes that were there when the thread woke up; all others share the second.
    assert asyncio.run(run()) <= 2


def test_a_write_is_not_acknowledged_before_its_commit(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            with write_lock(path):
                task = asyncio.create_task(put(engine, "key"))
                done, _ = await asyncio.wait([task], timeout=0.05)
                assert not done
                assert await engine.get("key") is None
            await task
            assert await read(engine, "key") == b"hello"

    asyncio.run(run())


def test_a_refused_operation_does_not_affect_its_batch(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "stands", b"old")
            with write_lock(path):
                writes = [("before", ABSENT), ("stands", ABSENT), ("before", ABSENT), ("after", ABSENT)]
                tasks = [asyncio.create_task(put(engine, key, b"new", expect)) for key, expect in writes]
                await queued()
            before, stands, again, after = await settled(*tasks)
            assert isinstance(before, WriteResult)
            assert isinstance(after, WriteResult)
            assert isinstance(stands, Conflict)
            assert stands.current == await engine.head("stands")
            assert isinstance(again, Conflict)
            assert again.current == before.meta
            assert await read(engine, "stands") == b"old"

    asyncio.run(run())


def test_an_operation_that_breaks_the_transaction_fails_alone(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            with write_lock(path):
                # A lone surrogate is not a valid key; the driver can't bind it.
                keys = ["first", "a", "\ud800", "b"]
                tasks = [asyncio.create_task(put(engine, key, LARGE)) for key in keys]
                await asyncio.wait(tasks, timeout=0.2)
            _, a, broken, b = await settled(*tasks)
            assert isinstance(a, WriteResult)
            assert isinstance(broken, EngineError)
            assert isinstance(b, WriteResult)
            assert [meta.key for meta in await engine.list()] == ["a", "b", "first"]
            assert len(sealed_files(path)) == 3

    asyncio.run(run())


def test_a_failed_commit_fails_the_whole_batch_and_changes_nothing(path: Path) -> None:
    async def run() -> None:
        with seen_connections() as connections:
            async with opened(path) as engine:
                await put(engine, "stands", b"old")
                with write_lock(path):
                    connections[0].set_commit_hook(lambda: True)
                    writes = [("stands", b"new"), ("key", LARGE), ("key", b"")]
                    tasks = [asyncio.create_task(put(engine, *write)) for write in writes]
                    refused = asyncio.create_task(put(engine, "stands", b"", ABSENT))
                    await asyncio.wait([*tasks, refused], timeout=0.2)
                answers = await settled(*tasks, refused)
                connections[0].set_commit_hook(None)
                assert [type(answer) for answer in answers[:3]] == [EngineError] * 3
                assert isinstance(answers[3], EngineError | Conflict)
                assert await read(engine, "stands") == b"old"
                assert [meta.key for meta in await engine.list()] == ["stands"]
                assert sealed_files(path) == []
                await put(engine, "stands", b"new")

    asyncio.run(run())


def test_a_conflict_with_an_uncommitted_write_is_not_reported(path: Path) -> None:
    async def run() -> None:
        with seen_connections() as connections:
            async with opened(path) as engine:
                connections[0].set_commit_hook(lambda: True)
                with write_lock(path):
                    first = asyncio.create_task(put(engine, "first"))
                    await queued()
                    tasks = [asyncio.create_task(put(engine, "key", b"", ABSENT)) for _ in range(2)]
                    await queued()
                answers = await settled(first, *tasks)
                connections[0].set_commit_hook(None)
                assert [type(answer) for answer in answers] == [EngineError] * 3

    asyncio.run(run())


def test_a_cancelled_caller_does_not_disturb_the_batch(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            with write_lock(path):
                tasks = [asyncio.create_task(put(engine, f"key{n}")) for n in range(10)]
                await queued()
                tasks[4].cancel()
                await queued()
            answers = await settled(*tasks)
            assert [n for n, answer in enumerate(answers) if not isinstance(answer, WriteResult)] == [4]
            assert isinstance(answers[4], asyncio.CancelledError)
            assert len(await engine.list()) == 10

    asyncio.run(run())


def test_writes_beyond_the_limit_of_the_queue_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "QUEUE_LIMIT", 5)

    async def run() -> None:
        async with opened(path) as engine:
            with write_lock(path):
                first = asyncio.create_task(put(engine, "first"))
                await asyncio.wait([first], timeout=0.2)
                tasks = [asyncio.create_task(put(engine, f"key{n}")) for n in range(6)]
                await queued()
            answers = await settled(*tasks)
            assert Counter(type(answer) for answer in answers) == {WriteResult: 5, StorageUnavailable: 1}

    asyncio.run(run())


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["inline", "sealed"])
def test_a_write_after_the_close_is_refused_and_leaves_nothing(path: Path, data: bytes) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await engine.close()
            with pytest.raises(StorageUnavailable, match="closed"):
                await put(engine, "key", data)
            with pytest.raises(EngineError):
                await engine.get("key")

    asyncio.run(run())
    assert sealed_files(path) == []


def test_a_close_finishes_the_waiting_writes(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            tasks = [asyncio.create_task(put(engine, f"key{n}")) for n in range(50)]
            await queued()
            await engine.close()
            assert all(isinstance(answer, WriteResult) for answer in await settled(*tasks))
        async with opened(path) as engine:
            assert len(await engine.list()) == 50

    asyncio.run(run())


def test_the_names_of_files_are_durable_before_the_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    sync = BlobFolder.sync

    def synced(folder: BlobFolder) -> None:
        sync(folder)
        happened.append("sync")

    def committed() -> bool:
        happened.append("commit")
        return False

    async def run() -> None:
        monkeypatch.setattr(BlobFolder, "sync", synced)
        with seen_connections() as connections:
            async with opened(path) as engine:
                connections[0].set_commit_hook(committed)
                await put(engine, "small")
                await put(engine, "large", LARGE)

    asyncio.run(run())
    assert happened == ["commit", "sync", "commit"]


def test_a_folder_that_cannot_be_synced_fails_the_batch(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsynced(folder: BlobFolder) -> None:
        raise NoSpace("the folder is full")

    async def run() -> None:
        async with opened(path) as engine:
            monkeypatch.setattr(BlobFolder, "sync", unsynced)
            with pytest.raises(NoSpace, match="the folder is full"):
                await put(engine, "large", LARGE)
            assert await engine.get("large") is None
            assert sealed_files(path) == []
            await put(engine, "small")

    asyncio.run(run())
