"""Documents in memory are those of the folder: whatever changes there, a read finds what a new process finds."""

import asyncio
import mmap
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from docstore.content import Descriptor, FileContent, read_all
from docstore.engines.file import File, file_cache
from docstore.engines.file.file_cache import FileCache
from docstore.engines.file.metadata import fingerprint
from docstore.errors import CorruptData
from docstore.http.message import Headers, Request
from docstore.model import Clock, Fields, Meta
from docstore.testing.clock import SetClock
from tests.both_ways import answer_fast
from tests.engines.file.stores import LARGE, TEXT, UTF8_TEXT, opened, put, read
from tests.in_process import InProcess, on_a_store

KEY = "f/g/a"

is_local = file_cache._is_local

Change = Callable[[Path], None]


def wait_for_the_next_time(folder: Path) -> None:
    """Wait until the file system gives changes another time."""
    probe = folder.parent / f"{folder.name} probe"
    probe.touch()
    start_ns = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == start_ns:
        probe.write_bytes(b"")


@pytest.fixture(autouse=True)
def _always_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep documents that changed a moment ago; the tests wait for the next time before they change one again.

    The file system of the tests is local, whatever its name.
    """
    monkeypatch.setattr(file_cache, "_is_local", lambda folder: True)
    monkeypatch.setattr(file_cache, "COARSE_CLOCK_NS", -(10**11))
    monkeypatch.setattr(file_cache, "OPEN_FILE_S", 60)


@asynccontextmanager
async def recalling(folder: Path, key: str = KEY, clock: Clock = time.time_ns) -> AsyncIterator[File]:
    """Open a store that has the document `key` in memory."""
    async with opened(folder, clock) as engine:
        wait_for_the_next_time(folder)
        assert await engine.get(key) is not None
        assert engine.recall(key) is not None
        wait_for_the_next_time(folder)
        yield engine


def sidecar(folder: Path, key: str = KEY) -> Path:
    return folder / ".docstore" / "meta" / fingerprint(key)


async def store(folder: Path, size: int = 5, fields: Fields = TEXT) -> None:
    async with opened(folder) as engine:
        await put(engine, KEY, b"first" * (size // 5), fields)


def times_kept(change: Change) -> Change:
    def changed(folder: Path) -> None:
        status = (folder / KEY).stat()
        change(folder)
        os.utime(folder / KEY, ns=(status.st_atime_ns, status.st_mtime_ns))

    return changed


def edit(folder: Path) -> None:
    with (folder / KEY).open("r+b") as file:
        file.write(b"other")


def truncate(folder: Path) -> None:
    os.truncate(folder / KEY, 3)


def replace(folder: Path) -> None:
    (folder / "new").write_bytes(b"other" * ((folder / KEY).stat().st_size // 5))
    (folder / "new").rename(folder / KEY)


def remove(folder: Path) -> None:
    (folder / KEY).unlink()


def make_a_sidecar(folder: Path) -> None:
    sidecar(folder).write_bytes(b"not one")


def remove_the_sidecar(folder: Path) -> None:
    sidecar(folder).unlink()


def change_the_sidecar(folder: Path) -> None:
    sidecar(folder).write_bytes(sidecar(folder).read_bytes().replace(b"text/plain", b"text/other"))


def replace_by_a_link(folder: Path) -> None:
    (folder / KEY).rename(folder / "b")
    (folder / KEY).symlink_to(folder / "b")


def replace_a_folder_by_a_link(folder: Path) -> None:
    (folder / "f").rename(folder / "moved")
    (folder / "f").symlink_to("moved")


def replace_a_folder(folder: Path) -> None:
    (folder / "f").rename(folder / "moved")
    (folder / "f" / "g").mkdir(parents=True)
    (folder / KEY).write_bytes(b"other")


def put_by_another_process(folder: Path) -> None:
    asyncio.run(store(folder, fields=Fields("text/html")))


def delete_by_another_process(folder: Path) -> None:
    async def delete() -> None:
        async with opened(folder) as engine:
            await engine.delete(KEY)

    asyncio.run(delete())


CHANGES: dict[str, Change] = {
    "an edit": edit,
    "an edit of the same time and size": times_kept(edit),
    "truncated": truncate,
    "truncated with the same time": times_kept(truncate),
    "replaced": replace,
    "replaced with the same time and size": times_kept(replace),
    "removed": remove,
    "a link": replace_by_a_link,
    "a folder that became a link": replace_a_folder_by_a_link,
    "a folder that was replaced": replace_a_folder,
    "put by another process": put_by_another_process,
    "deleted by another process": delete_by_another_process,
}
OF_TRACKED = {"without its sidecar": remove_the_sidecar, "another sidecar": change_the_sidecar}
OF_UNTRACKED = {"with a sidecar": make_a_sidecar}


async def state(engine: File) -> tuple[Meta, bytes] | str | None:
    try:
        document = await engine.get(KEY)
    except CorruptData as error:
        return str(error)
    return document and (document.meta, await read_all(document.content))


@pytest.mark.parametrize("size", [5, LARGE])
@pytest.mark.parametrize(
    ("tracked", "name"),
    [*((True, name) for name in {**CHANGES, **OF_TRACKED}), *((False, name) for name in {**CHANGES, **OF_UNTRACKED})],
)
def test_a_change_by_others_is_seen_at_once(tmp_path: Path, name: str, tracked: bool, size: int) -> None:
    async def look() -> None:
        async with recalling(folder) as engine:
            before = await state(engine)
            await asyncio.to_thread({**CHANGES, **OF_TRACKED, **OF_UNTRACKED}[name], folder)
            assert engine.recall(KEY) is None
            found = await state(engine)
            assert found != before
            async with opened(folder) as another:
                assert found == await state(another)

    folder = tmp_path / "store"
    asyncio.run(store(folder, size))
    if not tracked:
        sidecar(folder).unlink()
    asyncio.run(look())


def test_rights_that_change_are_noticed(tmp_path: Path) -> None:
    async def look() -> None:
        for path in (folder / "f", folder / "f" / "g", folder / KEY):
            async with recalling(folder) as engine:
                path.chmod(0o500)
                assert engine.recall(KEY) is None

    folder = tmp_path / "store"
    asyncio.run(store(folder))
    asyncio.run(look())


def test_a_write_through_a_memory_map_is_seen_in_an_untracked_document(tmp_path: Path) -> None:
    async def look() -> None:
        with (folder / KEY).open("r+b") as file, mmap.mmap(file.fileno(), 5) as mapped:
            mapped[:] = b"older"
            async with recalling(folder) as engine:
                mapped[:] = b"other"  # the times may stay the same, because the page is already dirty
                found = await state(engine)
                assert isinstance(found, tuple)
                assert found[1] == b"other"

    folder = tmp_path / "store"
    asyncio.run(store(folder))
    sidecar(folder).unlink()
    asyncio.run(look())


@pytest.mark.parametrize("size", [5, LARGE])
def test_a_change_of_this_process_is_seen_and_closes_the_file(tmp_path: Path, size: int) -> None:
    def open_files() -> list[str]:
        links = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        return [str(link) for link in links if str(link).startswith(str(folder / KEY))]

    async def look() -> None:
        async with recalling(folder) as engine:
            await put(engine, KEY, b"other" * (size // 5))
            assert await read(engine, KEY) == (b"other" * (size // 5), TEXT)
            assert engine.recall(KEY) is not None
            await engine.delete(KEY)
            assert open_files() == []
            assert await engine.get(KEY) is None

    folder = tmp_path / "store"
    asyncio.run(store(folder, size))
    asyncio.run(look())


@pytest.mark.parametrize("kept", [True, False])
def test_only_a_file_that_changed_two_seconds_ago_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    async def look() -> None:
        async with opened(folder) as engine:
            for last, other in [(folder / KEY, sidecar(folder)), (sidecar(folder), folder / KEY)]:
                other.chmod(0o600)
                wait_for_the_next_time(folder)
                last.chmod(0o600)
                now_ns = last.stat().st_ctime_ns + 2 * 10**9 + (1 if kept else 0)
                monkeypatch.setattr(time, "time_ns", partial(int, now_ns))
                await engine.get(KEY)
                assert (engine.recall(KEY) is not None) == kept

    folder = tmp_path / "store"
    asyncio.run(store(folder))
    monkeypatch.setattr(file_cache, "COARSE_CLOCK_NS", 2 * 10**9)
    asyncio.run(look())


def test_a_file_on_a_network_file_system_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, KEY, b"first")
            assert await read(engine, KEY) == (b"first", TEXT)
            assert engine.recall(KEY) is None

    monkeypatch.setattr(file_cache, "_is_local", is_local)
    monkeypatch.setattr(file_cache, "_LOCAL", {"nfs4"})
    asyncio.run(look())


def test_the_kind_of_a_file_system_is_that_of_its_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    kinds = {line.partition(" - ")[2].split()[0] for line in mounts}
    folder = Descriptor(os.open(tmp_path, os.O_RDONLY))
    found = set[str]()
    for kind in kinds:
        monkeypatch.setattr(file_cache, "_LOCAL", {kind})
        if is_local(folder.number):
            found.add(kind)
    assert len(found) == 1
    assert not is_local(-1)


def test_a_file_that_was_replaced_while_it_was_read_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced_first(self: FileCache, *args: Any) -> None:
        replace(folder)
        add(self, *args)

    async def look() -> None:
        async with opened(folder) as engine:
            assert await read(engine, KEY) == (b"first", TEXT)
            assert engine.recall(KEY) is None
            assert await read(engine, KEY) == (b"other", UTF8_TEXT)

    folder, add = tmp_path / "store", FileCache.add
    asyncio.run(store(folder))
    monkeypatch.setattr(FileCache, "add", replaced_first)
    asyncio.run(look())


def test_a_document_aside_is_not_kept(tmp_path: Path) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "a", b"first")
            await put(engine, "a/b", b"moves it aside")
            assert await read(engine, "a") == (b"first", TEXT)
            assert engine.recall("a") is None

    asyncio.run(look())


def test_an_expired_document_is_not_recalled(tmp_path: Path) -> None:
    async def look() -> None:
        async with opened(tmp_path, clock) as engine:
            await put(engine, KEY, b"first", expires_ns=clock() + 1)
            assert await read(engine, KEY) == (b"first", TEXT)
            assert engine.recall(KEY) is not None
            clock.set_ns(clock() + 1)
            assert engine.recall(KEY) is await engine.get(KEY) is None

    clock = SetClock()
    asyncio.run(look())


def test_the_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            for number in range(20):
                await put(engine, f"{number}", b"x" * 1000)
                await engine.get(f"{number}")
                assert engine.recall("0") is not None  # what is used stays
            recalled = [number for number in range(20) if engine.recall(f"{number}") is not None]
            assert recalled == [0, 11, 12, 13, 14, 15, 16, 17, 18, 19]

    monkeypatch.setattr(file_cache, "FILE_CACHE_SIZE", 10 * (1000 + 1024))
    asyncio.run(look())


def test_a_file_is_kept_open_for_a_short_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look() -> None:
        async with opened(folder) as engine:
            document = await engine.get(KEY)
            again = engine.recall(KEY)
            assert document
            assert again
            assert isinstance(document.content, FileContent)
            assert again.content == document.content
            await asyncio.sleep(0.02)
            assert engine.recall(KEY) is None
            assert await read_all(document.content) == b"first" * (LARGE // 5)

    folder = tmp_path / "store"
    asyncio.run(store(folder, LARGE))
    monkeypatch.setattr(file_cache, "OPEN_FILE_S", 0.01)
    asyncio.run(look())


@pytest.mark.parametrize("size", [5, LARGE])
def test_a_file_is_not_kept_open_when_descriptors_are_scarce(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    async def look() -> None:
        async with opened(folder) as engine:
            assert await engine.get(KEY) is not None
            # A tracked small document needs no open file.
            assert (engine.recall(KEY) is not None) == (size == 5)

    folder = tmp_path / "store"
    asyncio.run(store(folder, size))
    monkeypatch.setattr(file_cache, "getrlimit", lambda kind: (6, 4096))
    asyncio.run(look())


@on_a_store("file")
async def test_recalled_documents_are_answered_by_the_fast_path(store: InProcess) -> None:
    for size in (5, LARGE):
        path = f"/file/f/{size}"
        etag = (await store.prepare("PUT", path, b"x" * size))["etag"]
        assert (await store.send("GET", path)).content == b"x" * size
        for _ in range(2):
            request = Request("GET", path, "", Headers([(b"host", b"localhost")]))
            assert answer_fast(store.store, request) is not None
            assert (await store.send("GET", path)).content == b"x" * size  # compares both
            assert (await store.send("HEAD", path)).status == 200
            assert (await store.send("GET", path, headers={"if-none-match": etag})).status == 304
