"""Files that people put into the folder of the file engine, edit or remove, and files that are no documents."""

import asyncio
import hashlib
import os
import socket
import threading
import time
from contextlib import chdir
from datetime import UTC, datetime
from pathlib import Path

import pytest

from docstore.content import Descriptor
from docstore.engines.file import untracked
from docstore.errors import Conflict, PathConflict
from docstore.model import ABSENT, Fields
from tests.engines.file.stores import (
    LARGE,
    TEXT,
    UTF8_TEXT,
    everything,
    files,
    opened,
    put,
    read,
)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("page.html", "text/html; charset=utf-8"),
        ("sub/picture.png", "image/png"),
        ("UPPER.JSON", "application/json"),
        ("no extension", "text/plain; charset=utf-8"),
        ("what.unheardof", "text/plain; charset=utf-8"),
        ("archive.tar.gz", "application/gzip"),
        ("data:,x.html", "text/html; charset=utf-8"),
    ],
)
@pytest.mark.parametrize("size", [1, 9, LARGE])
def test_an_untracked_file_is_a_document(tmp_path: Path, name: str, media_type: str, size: int) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(data)
            meta = await engine.head(name)
            assert meta is not None
            assert (meta.digest, meta.fields) == (hashlib.sha256(data).digest(), Fields(media_type))
            assert (meta.modified_ns, meta.expires_ns) == ((tmp_path / name).stat().st_mtime_ns, None)
            assert await everything(engine) == {name: (data, Fields(media_type))}
            with pytest.raises(Conflict):
                await put(engine, name, b"new", expect=ABSENT)
            assert not (await put(engine, name, b"new", expect=meta.version)).created
            assert await everything(engine) == {name: (b"new", TEXT)}

    data = b"x" * size
    asyncio.run(look())


@pytest.mark.parametrize("edited", [b"other", b"longer than it was", b""])
@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("wrote", ["docstore", "a person"])
def test_an_edited_file_has_another_version(tmp_path: Path, edited: bytes, replace: bool, wrote: str) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            if wrote == "docstore":
                await put(engine, "a.md", b"first")
            else:
                (tmp_path / "a.md").write_bytes(b"first")
            before = await engine.head("a.md")
            if replace:
                (tmp_path / "new").write_bytes(edited)
                (tmp_path / "new").rename(tmp_path / "a.md")
            else:
                (tmp_path / "a.md").write_bytes(edited)
            after = await engine.head("a.md")
            assert before
            assert after
            assert before.version != after.version
            media_type = "text/markdown; charset=utf-8" if edited else "text/markdown"
            assert await everything(engine) == {"a.md": (edited, Fields(media_type))}
            assert await engine.delete("a.md", expect=after.version) == after
            assert await everything(engine) == {}

    asyncio.run(look())


@pytest.mark.parametrize(
    ("mtime_ns", "modified_ns"),
    [
        (-(10**20), 0),
        (-1, 0),
        (0, 0),
        (253_402_300_799 * 10**9, 253_402_300_799 * 10**9),
        (253_402_300_800 * 10**9, 253_402_300_799 * 10**9),
        (10**21, 253_402_300_799 * 10**9),
    ],
)
def test_a_modification_time_outside_the_range_of_dates_is_clamped(mtime_ns: int, modified_ns: int) -> None:
    status = os.stat_result([0] * 10, {"st_mtime_ns": mtime_ns})
    meta = untracked.untracked_meta("a", bytes(32), "text/plain", status)
    assert meta.modified_ns == modified_ns
    assert datetime.fromtimestamp(meta.modified_ns // 10**9, UTC)


def test_small_reads_do_not_wait_for_the_hashing_of_large_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waiting(file: Descriptor) -> tuple[bytes, int]:
        if os.fstat(file.number).st_size == LARGE:
            assert go_on.wait(20)
        return hash_file(file)

    async def look() -> None:
        async with opened(tmp_path) as engine:
            for number in range(40):
                (tmp_path / f"large {number}").write_bytes(bytes(LARGE))
            (tmp_path / "small").write_bytes(b"x")
            await put(engine, "written", bytes(LARGE))
            reads = [asyncio.create_task(engine.head(f"large {number}")) for number in range(40)]
            await asyncio.sleep(0)
            try:
                async with asyncio.timeout(15):
                    assert await read(engine, "small") == (b"x", UTF8_TEXT)
                    assert await read(engine, "written") == (bytes(LARGE), TEXT)
            finally:
                go_on.set()
            assert {meta and meta.digest for meta in await asyncio.gather(*reads)} == {
                hashlib.sha256(bytes(LARGE)).digest()
            }

    go_on, hash_file = threading.Event(), untracked.hash_file
    monkeypatch.setattr(untracked, "hash_file", waiting)
    asyncio.run(look())


def test_a_file_can_be_removed_and_put_back_by_hand(tmp_path: Path) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "a", b"one")
            (tmp_path / "a").rename(tmp_path / "b")
            assert await read(engine, "a") is None
            assert await engine.delete("a") is None
            (tmp_path / "b").rename(tmp_path / "a")
            assert await read(engine, "a") is not None
            (tmp_path / "a").unlink()
            assert (await put(engine, "a", b"two", expect=ABSENT)).created
            assert await everything(engine) == {"a": (b"two", TEXT)}

    asyncio.run(look())


def test_only_regular_files_are_documents(tmp_path: Path) -> None:
    async def look() -> None:
        async with opened(store) as engine:
            for key in (
                "link",
                "dangling",
                "pipe",
                "socket",
                "folder",
                "linked/secret",
                "linked",
                ".hidden",
                "%41",
                "A",
            ):
                assert await engine.get(key) is None
                assert await engine.head(key) is None
                assert await engine.delete(key) is None
            assert await engine.list() == []
            with pytest.raises(PathConflict, match="linked"):
                await put(engine, "linked/new", b"x")
            await put(engine, "link", b"in place of the link")
            assert await everything(engine) == {"link": (b"in place of the link", TEXT)}

    outside, store = tmp_path / "outside", tmp_path / "store"
    for folder in (outside, store, store / "folder"):
        folder.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (store / "link").symlink_to(outside / "secret")
    (store / "linked").symlink_to(outside)
    (store / "dangling").symlink_to("nowhere")
    (store / ".hidden").write_bytes(b"not spelled as a key is")
    (store / "%41").write_bytes(b"not spelled as a key is")
    os.mkfifo(store / "pipe")
    with socket.socket(socket.AF_UNIX) as listener, chdir(store):  # a longer path could not be bound
        listener.bind("socket")
    asyncio.run(look())
    assert files(outside) == {"secret": b"secret"}


def test_a_file_in_its_place_and_one_aside_are_one_document(tmp_path: Path) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            (tmp_path / "a").write_bytes(b"in the place")
            (tmp_path / "a%").write_bytes(b"aside")
            assert await everything(engine) == {"a": (b"in the place", UTF8_TEXT)}
            await engine.delete("a")
            assert await everything(engine) == {}

    asyncio.run(look())


def changes(folder: Path) -> dict[Path, int]:
    """The last change of each file and folder."""
    return {path: path.stat().st_ctime_ns for path in folder.rglob("*")}


def test_reading_writes_nothing(tmp_path: Path) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "a/b", b"one")
            (tmp_path / "by hand").write_bytes(b"two")
            before = changes(tmp_path)
            for key in ("a", "a/b", "by hand", "absent", "absent/too"):
                await engine.get(key)
                await engine.head(key)
            await engine.list()
            assert changes(tmp_path) == before

    asyncio.run(look())


@pytest.mark.parametrize("count", range(1, 6))
@pytest.mark.parametrize("wrote", ["docstore", "a person"])
def test_a_read_never_mixes_in_an_edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrote: str, count: int) -> None:
    def editing(descriptor: int, size: int, position: int) -> bytes:
        if edits and os.path.samestat(os.fstat(descriptor), (tmp_path / "a").stat()):
            (tmp_path / "a").write_bytes(edits.pop())
        return pread(descriptor, size, position)

    async def look() -> None:
        async with opened(tmp_path) as engine:
            if wrote == "docstore":
                await put(engine, "a", b"first")
            else:
                (tmp_path / "a").write_bytes(b"first")
            edits.extend([b"other", b"longer than it was"][number % 2] for number in range(count))
            meta = await engine.head("a")
            assert meta
            assert meta.modified_ns == (tmp_path / "a").stat().st_mtime_ns or wrote == "docstore"
            assert await read(engine, "a") == (b"other", UTF8_TEXT)
            assert edits == []

    pread, edits = os.pread, list[bytes]()
    monkeypatch.setattr(os, "pread", editing)
    asyncio.run(look())


def test_a_path_longer_than_a_key_is_not_a_document(tmp_path: Path) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            assert [len(meta.key) for meta in await engine.list()] == [1024]

    folder = tmp_path
    for _ in range(4):
        folder = folder / ("x" * 254)
        folder.mkdir()
    for name in ("1234", "12345"):
        (folder / name).touch()
    (folder / "123").mkdir()
    (folder / "123" / "4").touch()
    asyncio.run(look())


def test_the_digest_of_an_unchanged_file_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            for name in ("a", "b", "c"):
                (tmp_path / name).write_bytes(name.encode())
            for _ in range(3):
                await engine.head("a")
            assert computed == [b"a"] * 3  # another edit could leave its times unchanged
            monkeypatch.setattr(time, "time_ns", lambda: (tmp_path / "c").stat().st_ctime_ns + 3 * 10**9)
            computed.clear()
            for name in ("a", "a", "b", "a", "b", "c", "a", "c", "b"):
                await engine.head(name)
            assert computed == [b"a", b"b", b"c", b"a", b"b"]  # two are kept, then none

    computed: list[bytes] = []
    sha256 = hashlib.sha256

    class Counting:
        def __init__(self) -> None:
            self.state = sha256()

        def update(self, data: bytes) -> None:
            computed.append(data)
            self.state.update(data)

        def digest(self) -> bytes:
            return self.state.digest()

    monkeypatch.setattr(hashlib, "sha256", lambda data=None: Counting() if data is None else sha256(data))
    monkeypatch.setattr(untracked, "_CACHE_SIZE", 2)
    asyncio.run(look())
