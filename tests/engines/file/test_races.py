"""Concurrent use of one folder: tasks, processes, readers during writes, and tasks that are cancelled."""

import asyncio
import fcntl
import subprocess
import threading
from pathlib import Path

import pytest

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.file import File
from docstore.engines.file.metadata import fingerprint
from docstore.errors import Conflict
from docstore.model import ABSENT, Fields
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import GatedUpload
from tests.engines.file.stores import (
    LARGE,
    PYTHON,
    ROOT,
    TEXT,
    everything,
    opened,
    own_files,
    put,
    read,
    seen,
    without_waiting_for_the_disk,
)

RACING = """
import asyncio, sys
from pathlib import Path
from docstore.errors import Conflict
from docstore.model import ABSENT
from tests.engines.file.stores import opened, put, read

async def race(folder):
    won = 0
    async with opened(folder) as engine:
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(20):
            try:
                await put(engine, f"new/{number}", b"x", expect=ABSENT)
                won += 1
            except Conflict:
                pass
        for _ in range(20):
            while True:
                document = await engine.get("counter")
                count = int(document.content.data)
                try:
                    await put(engine, "counter", f"{count + 1}".encode(), expect=document.meta.version)
                    break
                except Conflict:
                    pass
    print(won)

asyncio.run(race(Path(sys.argv[1])))
"""


def test_exactly_one_of_two_racing_processes_succeeds(tmp_path: Path) -> None:
    async def set_up() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "counter", b"0")

    async def look() -> None:
        async with opened(tmp_path) as engine:
            assert await read(engine, "counter") == (b"40", TEXT)
            assert len(await everything(engine)) == 21

    asyncio.run(set_up())
    pipe = subprocess.PIPE
    racers = [
        subprocess.Popen([*PYTHON, RACING, tmp_path], cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for _ in range(2)
    ]
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [int(racer.communicate(timeout=120)[0]) for racer in racers]
    assert sum(won) == 20
    asyncio.run(look())


def test_exactly_one_of_many_creations_succeeds(tmp_path: Path) -> None:
    async def race() -> None:
        async def create(number: int, key: str) -> int:
            try:
                await put(engines[number % 2], key, f"{number}".encode(), expect=ABSENT)
            except Conflict:
                return -1
            return number

        async with opened(tmp_path) as one, opened(tmp_path) as two:
            engines = (one, two)
            for key in ("a", "deep/er/b", "deep"):
                outcomes = await asyncio.gather(*(create(number, key) for number in range(32)))
                winners = [number for number in outcomes if number >= 0]
                assert len(winners) == 1
                assert await read(one, key) == (f"{winners[0]}".encode(), TEXT)

    asyncio.run(race())


@pytest.mark.parametrize("size", [9, LARGE])
def test_a_reader_never_sees_parts_of_two_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """All versions have the same time and size, so only the engine keeps them apart."""

    async def replace(engine: File) -> None:
        for number in range(300):
            await put(engine, "a", f"{number:0{size}}".encode(), Fields(f"x/{number}"))
            if number % 7 == 0:
                await put(engine, "a/b", b"moves it aside")
            if number % 11 == 0:
                await engine.delete("a/b")
                await engine.delete("a")
        done.set()

    async def watch(engine: File) -> int:
        looks = 0
        while not done.is_set():
            found = await read(engine, "a")
            if found is not None:
                assert found[1] == Fields(f"x/{int(found[0][-9:])}")
            await engine.head("a")
            await engine.list()
            looks += 1
        return looks

    async def race() -> None:
        async with opened(tmp_path, clock) as one, opened(tmp_path, clock) as two:
            async with asyncio.TaskGroup() as group:
                group.create_task(replace(one))
                watchers = [group.create_task(watch(engine)) for engine in (one, two, two)]
            assert sum(watcher.result() for watcher in watchers) > 100

    clock, done = SetClock(), asyncio.Event()
    without_waiting_for_the_disk(monkeypatch)
    asyncio.run(race())


def test_concurrent_writers_create_and_remove_the_same_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def churn(engine: File, key: str) -> None:
        for number in range(40):
            data = f"{key} {number}".encode()
            await put(engine, key, data, expect=ABSENT)
            assert await read(engine, key) == (data, TEXT)
            assert await engine.delete(key) is not None

    async def race() -> None:
        async with opened(tmp_path) as one, opened(tmp_path) as two:
            keys = ("d", "d/1", "d/2", "d/e", "d/e/1", "d/e/2", "d/e/f/1", "x" * 255, "x" * 255 + "/y")
            await asyncio.gather(*(churn((one, two)[number % 2], key) for number, key in enumerate(keys)))
            assert await everything(one) == {}
            assert own_files(tmp_path, "meta") == own_files(tmp_path, "tmp") == []

    without_waiting_for_the_disk(monkeypatch)
    asyncio.run(race())
    assert seen(tmp_path) == {tmp_path / ".docstore"}


@pytest.mark.parametrize("size", [9, 1000 * LARGE])
def test_a_cancelled_upload_leaves_nothing(tmp_path: Path, size: int) -> None:
    async def cancel() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "a", b"old")
            upload = GatedUpload(bytes(size))
            task = asyncio.create_task(engine.put(PutRequest("a", upload, TEXT)))
            await upload.halfway.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert own_files(tmp_path, "tmp") == []
            assert await everything(engine) == {"a": (b"old", TEXT)}

    asyncio.run(cancel())


@pytest.mark.parametrize("change", ["put", "put large", "delete"])
def test_a_change_that_is_cancelled_during_its_commit_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    def locking(descriptor: int, kind: int) -> None:
        waits.set()
        flock(descriptor, kind)

    async def cancel() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "a", b"old")
            new = bytes(LARGE if change == "put large" else 3)
            with (tmp_path / ".docstore" / "locks" / fingerprint("a")[:2]).open() as lock:
                flock(lock, fcntl.LOCK_EX)
                monkeypatch.setattr(fcntl, "flock", locking)
                work = (
                    engine.delete("a")
                    if change == "delete"
                    else engine.put(PutRequest("a", BytesContent(new), Fields()))
                )
                task = asyncio.create_task(work)
                await asyncio.to_thread(waits.wait)
                for _ in range(3):
                    task.cancel()
                    await asyncio.sleep(0)
                assert await read(engine, "a") == (b"old", TEXT)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert own_files(tmp_path, "tmp") == []
            assert await everything(engine) == ({} if change == "delete" else {"a": (new, Fields())})

    waits, flock = threading.Event(), fcntl.flock
    asyncio.run(cancel())
