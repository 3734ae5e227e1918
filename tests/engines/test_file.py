"""The file engine: a folder that a person can read, write to and spoil, and what it takes for documents."""

import asyncio
import hashlib
import itertools
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from docstore.content import Descriptor
from docstore.engines.file import byhand, listing
from docstore.engines.file.control import fingerprint
from docstore.engines.filenames import Place
from docstore.errors import Conflict, Corrupt, EngineError
from docstore.model import ABSENT, DEFAULT_MEDIA_TYPE, Fields
from docstore.testing.clock import SetClock
from tests.engines.file_stores import (
    LARGE,
    PYTHON,
    ROOT,
    TEXT,
    everything,
    files,
    fold,
    left,
    opened,
    put,
    read,
    seen,
    without_waiting_for_the_disk,
)


def test_a_person_finds_one_plain_file_a_document(tmp_path: Path) -> None:
    async def store() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "notes.txt", b"one")
            await put(engine, "Letters/2026/may day.md", b"two")
            await put(engine, "empty", b"")

    asyncio.run(store())
    assert files(tmp_path) == {"notes.txt": b"one", "Letters/2026/may day.md": b"two", "empty": b""}


def test_a_file_carries_the_time_of_its_write(tmp_path: Path) -> None:
    async def store() -> None:
        async with opened(tmp_path, clock) as engine:
            await put(engine, "a", b"one")

    clock = SetClock()
    asyncio.run(store())
    assert (tmp_path / "a").stat().st_mtime_ns == clock()


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("page.html", "text/html"),
        ("sub/picture.png", "image/png"),
        ("UPPER.JSON", "application/json"),
        ("no extension", DEFAULT_MEDIA_TYPE),
        ("what.unheardof", DEFAULT_MEDIA_TYPE),
        ("archive.tar.gz", DEFAULT_MEDIA_TYPE),
        ("data:,x.html", "text/html"),
    ],
)
@pytest.mark.parametrize("size", [0, 9, LARGE])
def test_a_file_put_there_by_hand_is_a_document(tmp_path: Path, name: str, media_type: str, size: int) -> None:
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
@pytest.mark.parametrize("wrote", ["the service", "a person"])
def test_an_edit_by_hand_makes_another_version(tmp_path: Path, edited: bytes, replace: bool, wrote: str) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            if wrote == "the service":
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
            assert await everything(engine) == {"a.md": (edited, Fields("text/markdown"))}
            assert await engine.delete("a.md", expect=after.version) == after
            assert await everything(engine) == {}

    asyncio.run(look())


def test_a_file_removed_by_hand_is_gone_and_may_come_back(tmp_path: Path) -> None:
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


def test_a_copy_of_the_folder_is_the_same_store(tmp_path: Path) -> None:
    async def copy() -> None:
        async with opened(tmp_path / "one") as engine:
            metas = [(await put(engine, key, b"x")).meta for key in ("a", "a/b", "c")]
        shutil.copytree(tmp_path / "one", tmp_path / "two")
        async with opened(tmp_path / "two") as engine:
            assert await engine.list() == metas

    asyncio.run(copy())


def test_what_is_not_a_plain_file_is_no_document(tmp_path: Path) -> None:
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
            with pytest.raises(EngineError, match="linked: in the way"):
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
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(store / "socket"))
    asyncio.run(look())
    assert files(outside) == {"secret": b"secret"}


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
def test_the_services_own_files_are_out_of_reach(tmp_path: Path, key: str, folded: bool) -> None:
    async def reach() -> None:
        async with opened(tmp_path) as engine:
            own = (tmp_path / ".docstore" / "format").read_bytes()
            assert await engine.get(key) is None
            await put(engine, key, b"mine")
            assert await everything(engine) == {key: (b"mine", TEXT)}
            assert (tmp_path / ".docstore" / "format").read_bytes() == own
            assert left(tmp_path, "meta") == [fingerprint(key)]
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
def test_a_document_and_those_below_it_come_and_go_in_any_order(
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
                assert left(tmp_path, "meta") == left(tmp_path, "tmp") == []

    without_waiting_for_the_disk(monkeypatch)
    if folded:
        fold(tmp_path)
    asyncio.run(come_and_go())


def test_a_file_put_both_in_the_place_and_aside_is_one_document(tmp_path: Path) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            (tmp_path / "a").write_bytes(b"in the place")
            (tmp_path / "a%").write_bytes(b"aside")
            assert await everything(engine) == {"a": (b"in the place", Fields())}
            await engine.delete("a")
            assert await everything(engine) == {}

    asyncio.run(look())


@pytest.mark.parametrize("folded", [False, True])
def test_a_page_is_what_sorting_all_keys_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folded: bool) -> None:
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


def changes(folder: Path) -> dict[Path, int]:
    """When each file and folder there changed last."""
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
@pytest.mark.parametrize("wrote", ["the service", "a person"])
def test_an_edit_in_place_during_a_read_is_not_mixed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrote: str, count: int
) -> None:
    def editing(descriptor: int, size: int, position: int) -> bytes:
        if edits and os.path.samestat(os.fstat(descriptor), (tmp_path / "a").stat()):
            (tmp_path / "a").write_bytes(edits.pop())
        return pread(descriptor, size, position)

    async def look() -> None:
        async with opened(tmp_path) as engine:
            if wrote == "the service":
                await put(engine, "a", b"first")
            else:
                (tmp_path / "a").write_bytes(b"first")
            edits.extend([b"other", b"longer than it was"][number % 2] for number in range(count))
            meta = await engine.head("a")
            assert meta
            assert meta.modified_ns == (tmp_path / "a").stat().st_mtime_ns or wrote == "the service"
            assert await read(engine, "a") == (b"other", Fields())
            assert edits == []

    pread, edits = os.pread, list[bytes]()
    monkeypatch.setattr(os, "pread", editing)
    asyncio.run(look())


def test_a_document_that_moves_aside_during_a_scan_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(folder: Descriptor, above: Place) -> Iterator[tuple[Place, bool]]:
        return (entry for entry in scan(folder, above) if entry[0] != (b"a%",))

    async def look() -> None:
        async with opened(tmp_path) as engine:
            for key in ("a", "a/b", "c/d"):
                await put(engine, key, b"x")
            monkeypatch.setattr(listing, "_scan", missing)
            assert [meta.key for meta in await engine.list()] == ["a", "a/b", "c/d"]

    scan = listing._scan
    asyncio.run(look())


def test_what_is_too_deep_for_a_key_is_no_document(tmp_path: Path) -> None:
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


def test_the_digest_of_a_settled_file_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            for name in ("a", "b", "c"):
                (tmp_path / name).write_bytes(name.encode())
            for _ in range(3):
                await engine.head("a")
            assert computed == [b"a"] * 3  # its times could still stay the same through another edit
            monkeypatch.setattr(time, "time_ns", lambda: (tmp_path / "c").stat().st_ctime_ns + 3 * 10**9)
            computed.clear()
            for name in ("a", "a", "b", "a", "b", "c", "a", "c", "b"):
                await engine.head(name)
            assert computed == [b"a", b"b", b"c", b"a", b"b"]  # two are kept

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
    monkeypatch.setattr(byhand, "_KEPT", 2)
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
def test_a_spoiled_sidecar_is_told_not_served(tmp_path: Path, spoil) -> None:  # type: ignore[no-untyped-def]
    async def look() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "a", b"one")
            sidecar = tmp_path / ".docstore" / "meta" / fingerprint("a")
            sidecar.write_text(spoil(sidecar.read_text()))
            with pytest.raises(Corrupt, match="stored meta of"):
                await engine.get("a")
            sidecar.unlink()
            assert await read(engine, "a") == (b"one", Fields())

    asyncio.run(look())


def test_a_spoiled_sidecar_does_not_keep_others_from_being_swept(tmp_path: Path) -> None:
    async def sweep() -> None:
        async with opened(tmp_path, clock) as engine:
            await put(engine, "spoiled", b"x", expires_ns=clock() + 1)
            await put(engine, "due", b"x", expires_ns=clock() + 2)
            (tmp_path / ".docstore" / "meta" / fingerprint("spoiled")).write_text("spoiled")
            clock.advance_s(1)
            with pytest.raises(Corrupt, match=fingerprint("spoiled")):
                await engine.sweep()
            assert await engine.sweep() == 1
            assert list(files(tmp_path)) == ["spoiled"]

    clock = SetClock()
    asyncio.run(sweep())


def test_sweeping_looks_only_at_what_is_due(tmp_path: Path) -> None:
    async def sweep() -> None:
        async with opened(tmp_path, clock) as engine:
            for number in range(5):
                await put(engine, f"due/{number}", b"x", expires_ns=clock() + 1_000)
            await put(engine, "renewed", b"x", expires_ns=clock() + 1_000)
            await put(engine, "renewed", b"y", expires_ns=clock() + 10**12)
            await put(engine, "kept", b"x", expires_ns=clock() + 1_000)
            await put(engine, "kept", b"y")
            await put(engine, "deleted", b"x", expires_ns=clock() + 1_000)
            await engine.delete("deleted")
            (tmp_path / ".docstore" / "expiring" / f"{1:020d}-{fingerprint('kept')}").touch()  # as a crash leaves it
            (tmp_path / ".docstore" / "expiring" / f"{1:020d}-{fingerprint('never')}").touch()
            assert len(left(tmp_path, "expiring")) == 8
            clock.advance_s(1)
            assert [await engine.sweep(limit=3) for _ in range(3)] == [3, 2, 0]
            assert files(tmp_path) == {"renewed": b"y", "kept": b"y"}
            assert len(left(tmp_path, "expiring")) == 1
            assert not (tmp_path / "due").exists()

    clock = SetClock()
    asyncio.run(sweep())


FULL = """
import asyncio, resource, sys
from pathlib import Path
from docstore.errors import NoSpace
from tests.engines.file_stores import everything, left, opened, put

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
            assert left(folder, "tmp") == []
            assert {key: data for key, (data, _) in (await everything(engine)).items()} == {"a": b"old"}
        await put(engine, "a", bytes(1_000_000))

asyncio.run(fill(Path(sys.argv[1])))
"""


def test_a_full_disk_is_told_and_harms_nothing(tmp_path: Path) -> None:
    ran = subprocess.run([*PYTHON, FULL, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.stderr, ran.stdout) == ("", "full\n" * 6)
    assert list(files(tmp_path)) == ["a"]
