"""Writes that arrive at once are one group: its fsyncs are shared, its failures are not."""

import asyncio
import errno
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.file import write_groups
from docstore.engines.file.metadata import fingerprint
from docstore.errors import Conflict, EngineError, NoSpace, PathConflict, StorageUnavailable
from docstore.model import ABSENT, ANY, Expectation, WriteResult
from tests.engines.file.stores import LARGE, TEXT, everything, opened, own_files, put, read

KEYS = ["a", "b/c", "b/d", "e", "x" * 255]


def results_of(outcomes: list[WriteResult | BaseException]) -> list[object]:
    return [outcome.created if isinstance(outcome, WriteResult) else type(outcome) for outcome in outcomes]


def test_a_group_fsyncs_each_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def counting(descriptor: int) -> None:
        counted[os.fstat(descriptor).st_ino] += 1

    async def write() -> None:
        async with opened(tmp_path) as engine:
            for _ in range(2):
                counted.clear()
                await asyncio.gather(*(put(engine, key, b"x") for key in KEYS))
            assert await everything(engine) == dict.fromkeys(KEYS, (b"x", TEXT))

    counted: Counter[int] = Counter()
    monkeypatch.setattr(os, "fsync", counting)
    asyncio.run(write())
    for folder in (tmp_path, tmp_path / "b", tmp_path / ".docstore" / "meta"):
        assert counted[folder.stat().st_ino] == 1
    assert len(counted) == 3 + 2 * len(KEYS)


@pytest.mark.parametrize("size", [9, LARGE])
def test_a_write_that_fails_does_not_fail_its_group(tmp_path: Path, size: int) -> None:
    async def write() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "a", b"old")
            (tmp_path / "link").symlink_to("elsewhere")
            outcomes = await asyncio.gather(
                put(engine, "a", b"1" * size, expect=ABSENT),
                put(engine, "b", b"2" * size, expect=ABSENT),
                put(engine, "link/below", b"3" * size),
                put(engine, "c", b"4" * size, expect="another version"),
                put(engine, "d/e", b"5" * size),
                return_exceptions=True,
            )
            assert results_of(outcomes) == [Conflict, True, PathConflict, Conflict, True]
            assert await everything(engine) == {
                "a": (b"old", TEXT),
                "b": (b"2" * size, TEXT),
                "d/e": (b"5" * size, TEXT),
            }
            assert own_files(tmp_path, "tmp") == []
            assert set(own_files(tmp_path, "meta")) == {fingerprint(key) for key in ("a", "b", "d/e")}

    asyncio.run(write())


@pytest.mark.parametrize("failing", range(1, 4))
def test_an_fsync_that_fails_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """The first fsyncs are those of the files, then that of the sidecars' folder, then that of the folder."""

    def fail(descriptor: int) -> None:
        status = os.fstat(descriptor)
        folder = {(tmp_path / ".docstore" / "meta").stat().st_ino: 2, tmp_path.stat().st_ino: 3}.get(status.st_ino, 1)
        if folder == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    async def write() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "a", b"old")
            monkeypatch.setattr(os, "fsync", fail)
            outcomes = await asyncio.gather(*(put(engine, key, b"new") for key in "abc"), return_exceptions=True)
            assert results_of(outcomes) == [EngineError] * 3
            monkeypatch.undo()
            old, new = {"a": (b"old", TEXT)}, dict.fromkeys("abc", (b"new", TEXT))
            assert await everything(engine) == (new if failing == 3 else old)
            assert own_files(tmp_path, "tmp") == []
            assert len(own_files(tmp_path, "meta")) == (3 if failing == 3 else 1)
            await put(engine, "b", b"again")

    asyncio.run(write())


def test_writes_of_one_key_at_once_follow_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def write() -> None:
        async with opened(tmp_path) as engine:
            outcomes = await asyncio.gather(
                *(put(engine, key, f"{number}".encode()) for number in range(7) for key in ("a", "b", "c")),
            )
            assert results_of(list(outcomes)) == [True] * 3 + [False] * 18
            assert await everything(engine) == dict.fromkeys("abc", (b"6", TEXT))

    monkeypatch.setattr(write_groups, "GROUP_SIZE", 2)
    asyncio.run(write())


def test_a_group_without_space_for_its_locks_is_written_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_CREAT and len(path) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opens(path, flags, *args, **kwargs)

    async def write() -> None:
        async with opened(tmp_path) as engine, opened(tmp_path) as another:
            monkeypatch.setattr(os, "open", full)
            puts = [put((engine, another)[number % 2], f"{number}", b"x") for number in range(40)]
            assert results_of(list(await asyncio.gather(*puts))) == [True] * 40
            assert own_files(tmp_path, "locks") == ["opening"]
            assert len(await everything(engine)) == 40

    opens = os.open
    asyncio.run(write())


def test_groups_of_two_engines_do_not_wait_for_each_other_for_ever(tmp_path: Path) -> None:
    async def write() -> None:
        async with opened(tmp_path) as one, opened(tmp_path) as two:
            for number in range(10):
                keys = [f"{key}" for key in range(60)]
                data = f"{number}".encode()
                puts = [put(engine, key, data) for engine, order in ((one, 1), (two, -1)) for key in keys[::order]]
                await asyncio.gather(*puts)
                assert await read(one, "7") == (data, TEXT)

    asyncio.run(write())


def test_a_folder_that_is_gone_fails_all_and_closes(tmp_path: Path) -> None:
    async def write() -> None:
        async with opened(tmp_path / "store") as engine:
            (tmp_path / "store").rename(tmp_path / "moved")
            outcomes = await asyncio.gather(*(put(engine, key, b"x") for key in "abc"), return_exceptions=True)
            assert not any(isinstance(outcome, WriteResult) for outcome in outcomes)
            assert all(isinstance(outcome, EngineError) and not isinstance(outcome, NoSpace) for outcome in outcomes)

    asyncio.run(write())


def test_a_small_write_can_be_submitted(tmp_path: Path) -> None:
    async def write() -> None:
        def submit(key: str, size: int, expect: Expectation = ANY) -> bool:
            ended = asyncio.get_running_loop().create_future()
            outcomes.append(ended)
            request = PutRequest(key, BytesContent(bytes(size)), TEXT, expect=expect)
            return engine.submit(request, ended.set_result)

        outcomes: list[asyncio.Future[Any]] = []
        async with opened(tmp_path) as engine:
            assert not submit("large", LARGE)
            outcomes.clear()
            (tmp_path / "link").symlink_to("elsewhere")
            assert submit("a", 9)
            assert submit("a", 9, ABSENT)
            assert submit("link/below", 9)
            assert not any(outcome.done() for outcome in outcomes)
            assert results_of(await asyncio.gather(*outcomes)) == [True, Conflict, PathConflict]
            assert submit("b", 9)
        # Closing has waited for the last.
        assert results_of([outcomes[-1].result()]) == [True]

    asyncio.run(write())


@pytest.mark.parametrize("size", [9, LARGE])
def test_a_write_after_the_close_fails(tmp_path: Path, size: int) -> None:
    async def write() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "a", b"x")
        for _ in range(2):
            with pytest.raises(StorageUnavailable):
                await asyncio.wait_for(put(engine, "b", b"x" * size), 10)
        assert own_files(tmp_path, "tmp") == []
        async with opened(tmp_path) as engine:
            assert await everything(engine) == {"a": (b"x", TEXT)}

    asyncio.run(write())


def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)


def test_a_write_that_got_no_thread_fails_and_stays_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def write() -> None:
        async with opened(tmp_path) as engine:
            without_threads(monkeypatch)
            outcomes = await asyncio.gather(*(put(engine, key, b"x") for key in "aab"), return_exceptions=True)
            assert results_of(outcomes) == [StorageUnavailable] * 3
            monkeypatch.undo()
            await put(engine, "c", b"x")
            assert await everything(engine) == {"c": (b"x", TEXT)}

    asyncio.run(write())


def test_a_group_without_threads_for_its_fsyncs_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def write() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "a", b"old")
            without_threads(monkeypatch)
            outcomes = await asyncio.gather(*(put(engine, key, b"new") for key in "abc"), return_exceptions=True)
            monkeypatch.undo()
            assert results_of(outcomes) == [False, True, True]
            assert await everything(engine) == dict.fromkeys("abc", (b"new", TEXT))

    asyncio.run(write())


def test_an_outcome_that_cannot_be_reported_leaves_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(outcome: WriteResult | Exception) -> None:
        raise RuntimeError("no report")

    async def write() -> None:
        async with opened(tmp_path) as engine:
            assert engine.submit(PutRequest("a", BytesContent(b"x"), TEXT), fail)
            ended = asyncio.get_running_loop().create_future()
            assert engine.submit(PutRequest("b", BytesContent(b"x"), TEXT), ended.set_result)
            assert isinstance(await asyncio.wait_for(ended, 10), WriteResult)
            assert await everything(engine) == dict.fromkeys("ab", (b"x", TEXT))
        assert "no report" in caplog.text

    asyncio.run(write())
