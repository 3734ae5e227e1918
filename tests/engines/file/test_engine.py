"""The file engine: the files in its folder for every kind of key, listings, corrupt sidecars and full disks."""

import asyncio
import errno
import itertools
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from docstore.content import Descriptor
from docstore.engines.file import listing
from docstore.engines.file.filenames import NamePath
from docstore.engines.file.metadata import MetadataFolder, fingerprint
from docstore.errors import CorruptData
from docstore.testing.clock import SetClock
from tests.disks import steps
from tests.engines.file.stores import (
    PYTHON,
    ROOT,
    TEXT,
    UTF8_TEXT,
    everything,
    files,
    fold,
    opened,
    own_files,
    put,
    read,
    seen,
    without_waiting_for_the_disk,
)


def test_each_document_is_one_plain_file(tmp_path: Path) -> None:
    async def store() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "notes.txt", b"one")
            await put(engine, "Letters/2026/may day.md", b"two")
            await put(engine, "empty", b"")

    asyncio.run(store())
    assert files(tmp_path) == {"notes.txt": b"one", "Letters/2026/may day.md": b"two", "empty": b""}


def test_a_file_has_the_modification_time_of_its_document(tmp_path: Path) -> None:
    async def store() -> None:
        async with opened(tmp_path, clock) as engine:
            await put(engine, "a", b"one")

    clock = SetClock()
    asyncio.run(store())
    assert (tmp_path / "a").stat().st_mtime_ns == clock()


def test_a_copy_of_the_folder_is_the_same_store(tmp_path: Path) -> None:
    async def copy() -> None:
        async with opened(tmp_path / "one") as engine:
            metas = [(await put(engine, key, b"x")).meta for key in ("a", "a/b", "c")]
        shutil.copytree(tmp_path / "one", tmp_path / "two")
        async with opened(tmp_path / "two") as engine:
            assert await engine.list() == metas

    asyncio.run(copy())


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize(
    "key",
    [
        ".docstore",
        ".docstore/format",
        ".docstore/meta/x",
        ".DOCSTORE/format",
        "%2edocstore/format",
        "%2Edocstore/format",
        ".docstore%/format",
        "\uff0edocstore/format",
        "a/.docstore/format",
    ],
)
def test_no_key_reaches_the_metadata_folder(tmp_path: Path, key: str, folded: bool) -> None:
    async def reach() -> None:
        async with opened(tmp_path) as engine:
            own = (tmp_path / ".docstore" / "format").read_bytes()
            assert await engine.get(key) is None
            await put(engine, key, b"mine")
            assert await everything(engine) == {key: (b"mine", TEXT)}
            assert (tmp_path / ".docstore" / "format").read_bytes() == own
            assert own_files(tmp_path, "meta") == [fingerprint(key)]
            await engine.delete(key)
            assert await everything(engine) == {}

    if folded:
        fold(tmp_path)
    asyncio.run(reach())


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize(
    "keys",
    [
        ("a", "a/b", "a-b"),
        ("a", "a/b", "a/b/c"),
        ("%", "%/%", "%+"),
        ("x" * 255, "x" * 255 + "/y", "x" * 200 + "-"),
        ("%" * 255, "%" * 255 + "/y", "%" * 254),
    ],
    ids=lambda keys: keys[0][:1] + keys[1][-1:] + keys[2][-2:],
)
def test_a_document_and_documents_below_it_can_be_created_and_deleted_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...], folded: bool
) -> None:
    async def come_and_go() -> None:
        async with opened(tmp_path) as engine:
            for coming, going in itertools.product(itertools.permutations(keys), repeat=2):
                expected = {}
                for count, key in enumerate((*coming, coming[0])):
                    data = f"{count}".encode()
                    assert (await put(engine, key, data)).created == (key not in expected)
                    expected[key] = (data, TEXT)
                    assert await everything(engine) == expected
                for key in going:
                    assert await engine.delete(key) is not None
                    del expected[key]
                    assert await everything(engine) == expected
                assert seen(tmp_path) == {tmp_path / ".docstore"}
                assert own_files(tmp_path, "meta") == own_files(tmp_path, "tmp") == []

    without_waiting_for_the_disk(monkeypatch)
    if folded:
        fold(tmp_path)
    asyncio.run(come_and_go())


@pytest.mark.parametrize("folded", [False, True])
def test_a_page_has_the_keys_in_sorted_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folded: bool) -> None:
    async def compare() -> None:
        async with opened(tmp_path) as engine:
            for key in keys:
                await put(engine, key, b"")
            assert [meta.key for meta in await engine.list()] == keys
            for _ in range(300):
                near = chance.choice(keys)
                prefix = near[: chance.randrange(4)] if chance.random() < 0.7 else ""
                after = chance.choice([chance.choice(keys), near[: chance.randrange(len(near) + 1)], near + "/", ""])
                limit = chance.choice([0, 1, 2, 7, 1000])
                page = [meta.key for meta in await engine.list(prefix=prefix, after=after, limit=limit)]
                assert page == [key for key in keys if key.startswith(prefix) and key > after][:limit]

    without_waiting_for_the_disk(monkeypatch)
    if folded:
        fold(tmp_path)
    chance = random.Random(7)
    segments = ["a", "A", "a-", "a.", "a0", "b", "%", "é", "e\u0301", "😀", "\uffff", "x" * 255, "x" * 254, "é" * 120]
    several = ["/".join(chance.choices(segments, k=chance.choice([1, 1, 2, 3]))) for _ in range(150)]
    keys = sorted({key for key in several if len(key.encode()) <= 1024})
    asyncio.run(compare())


def test_a_document_that_moves_aside_during_a_scan_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(folder: Descriptor, above: NamePath) -> Iterator[tuple[NamePath, bool]]:
        return (entry for entry in scan(folder, above) if entry[0] != (b"a%",))

    async def look() -> None:
        async with opened(tmp_path) as engine:
            for key in ("a", "a/b", "c/d"):
                await put(engine, key, b"x")
            monkeypatch.setattr(listing, "_scan", missing)
            assert [meta.key for meta in await engine.list()] == ["a", "a/b", "c/d"]

    scan = listing._scan
    asyncio.run(look())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "no time " + text,
        lambda text: text.replace("text/plain", "text/html"),
        lambda text: text.replace('"key":"a"', '"key":"b"'),
        lambda text: text[:60],
    ],
)
def test_a_corrupt_sidecar_is_reported_and_not_served(tmp_path: Path, spoil: Callable[[str], str]) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "a", b"one")
            sidecar = tmp_path / ".docstore" / "meta" / fingerprint("a")
            sidecar.write_text(spoil(sidecar.read_text()))
            with pytest.raises(CorruptData, match=f"{fingerprint('a')}: not the sidecar of 'a'"):
                await engine.get("a")
            sidecar.unlink()
            assert await read(engine, "a") == (b"one", UTF8_TEXT)

    asyncio.run(look())


FULL = """
import asyncio, resource, sys
from pathlib import Path
from docstore.errors import NoSpace
from tests.engines.file.stores import everything, own_files, opened, put

async def fill(folder):
    async with opened(folder) as engine:
        await put(engine, "a", b"old")
        for size in (40_000, 1_000_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
            for key in ("a", "new", "new/below"):
                try:
                    await put(engine, key, bytes(size))
                except NoSpace:
                    print("full")
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            assert own_files(folder, "tmp") == []
            assert {key: data for key, (data, _) in (await everything(engine)).items()} == {"a": b"old"}
        await put(engine, "a", bytes(1_000_000))

asyncio.run(fill(Path(sys.argv[1])))
"""


def test_a_full_disk_is_reported_and_harms_nothing(tmp_path: Path) -> None:
    ran = subprocess.run([*PYTHON, FULL, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.stderr, ran.stdout) == ("", "full\n" * 6)
    assert list(files(tmp_path)) == ["a"]


def test_a_delete_succeeds_when_its_metadata_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refusing(metadata: MetadataFolder, kind: str, name: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    async def run() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "key", b"old")
            with monkeypatch.context() as patched:
                patched.setattr(MetadataFolder, "remove", refusing)
                assert await engine.delete("key") is not None
            assert await engine.head("key") is None
            assert "key: cannot remove the metadata of a removed document" in caplog.text
            await put(engine, "key", b"new")
            assert await read(engine, "key") == (b"new", TEXT)

    asyncio.run(run())


def test_writers_exclude_each_other_without_space_for_lock_files(tmp_path: Path) -> None:
    """On a disk without a free inode deletes work, one at a time, also beside one that has a lock file."""

    def step(what: str, path: str, size: int) -> None:
        if what == "open" and "/locks/" in path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def run() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "key", b"old")
            for lock in (tmp_path / ".docstore" / "locks").iterdir():
                lock.unlink()
            with steps(step):
                answers = await asyncio.gather(*(engine.delete("key") for _ in range(8)))
            assert sum(answer is not None for answer in answers) == 1

    asyncio.run(run())
