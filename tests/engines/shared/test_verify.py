"""`docstore check` names each kind of damage, and changes nothing that is sound."""

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import apsw
import pytest

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import GatedUpload
from tests.server_process import RunningServer
from tests.stores import DOCUMENTS, FIELDS, LARGE, LATE_NS, ON_DISK, on_the_disk, opened, run, store

Damage = Callable[[Path], None]
ORPHAN = "0123456789abcdef" * 2


@pytest.fixture
def url(scheme: str, tmp_path: Path) -> str:
    (tmp_path / "data").mkdir()
    return f"{scheme}:{tmp_path / 'data' / 'store'}"


def mark(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.mark.parametrize("scheme", ON_DISK)
@pytest.mark.parametrize("documents", [DOCUMENTS, {}], ids=["full", "empty"])
def test_a_sound_store_has_no_findings_and_is_not_changed(
    url: str, tmp_path: Path, documents: dict[str, bytes]
) -> None:
    store(url, documents)
    before = on_the_disk(tmp_path)
    for arguments in ([], ["--repair"]):
        ended = run("check", url, *arguments)
        assert (ended.status, ended.out) == (0, "")
        assert f"{len(documents)} sound documents" in ended.err
        after = on_the_disk(tmp_path)
        assert after.pop("data/store-wal", b"") == b""
        assert after == before


@pytest.mark.parametrize("scheme", ON_DISK)
def test_an_absent_store_is_not_created(url: str, tmp_path: Path) -> None:
    ended = run("check", url)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert str(tmp_path) in ended.err
    assert on_the_disk(tmp_path) == {}


@pytest.mark.parametrize("url", ["memory:", "sqlite:", "file:", "shelve:", "nonesuch:x", "nothing", "sqlite:x?no=1"])
def test_engines_without_a_check_are_refused_in_one_line(url: str) -> None:
    ended = run("check", url)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("docstore: ")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("scheme", ON_DISK)
def test_files_of_other_kinds_are_refused_in_one_line(url: str, tmp_path: Path) -> None:
    other = tmp_path / "data" / "store"
    if url.startswith("file:"):
        other.mkdir()
    else:
        other.write_bytes(b"something else entirely " * 100)
    ended = run("check", url)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert str(other) in ended.err


def large_file(folder: Path) -> Path:
    """Where the content of the large document lies."""
    (found,) = (path for path in folder.rglob("*") if path.is_file() and path.read_bytes() == LARGE)
    return found


def flip(path: Path, offset: int) -> None:
    """Changes one byte, as a disk does: the time of modification stays."""
    status, data = path.stat(), bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def update(key: str, setting: str) -> Damage:
    def damage(folder: Path) -> None:
        connection = apsw.Connection(str(folder / "store"))
        connection.pragma("ignore_check_constraints", 1)
        connection.execute(f"UPDATE documents SET {setting} WHERE key = '{key}'")
        connection.close()

    return damage


def without_an_entry(folder: Path) -> None:
    """Remove an entry from an index, as in a damaged database."""
    connection = apsw.Connection(str(folder / "store"))
    connection.pragma("writable_schema", 1)
    partial = "CREATE INDEX documents_expiring ON documents (expires_ns) WHERE expires_ns IS NOT NULL"
    for sql_text in (partial.replace("IS NOT NULL", "< 0"), partial):
        if "< 0" in sql_text:
            connection.execute("DROP INDEX documents_expiring")
            connection.execute(sql_text)
        else:
            connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'documents_expiring'", (sql_text,))
    connection.close()


def spoil_record(folder: Path) -> None:
    """Changes one byte of the small document, wherever the shelve has it."""
    (found,) = (path for path in folder.iterdir() if DOCUMENTS["small"] in path.read_bytes())
    flip(found, found.read_bytes().index(DOCUMENTS["small"]))


def own(folder: Path) -> Path:
    return folder / "store" / ".docstore"


def forge(key: str, of: str) -> Damage:
    """Replace the sidecar by that of another document."""
    return lambda folder: shutil.copyfile(own(folder) / "meta" / mark(of), own(folder) / "meta" / mark(key)) and None


def edit_sidecar(key: str, old: bytes, new: bytes) -> Damage:
    def damage(folder: Path) -> None:
        path = own(folder) / "meta" / mark(key)
        assert old in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(old, new))

    return damage


def unmark(folder: Path) -> None:
    (marker,) = (own(folder) / "expiring").iterdir()
    marker.unlink()


DAMAGES: list[tuple[str, str, Damage, tuple[str, ...]]] = [
    ("sqlite", "a flipped byte in a sealed file", lambda f: flip(large_file(f), 70_000), ("'large'", "digest")),
    ("sqlite", "a truncated sealed file", lambda f: os.truncate(large_file(f), 10), ("'large'", "10 bytes of 256000")),
    ("sqlite", "a removed sealed file", lambda f: large_file(f).unlink(), ("'large'", "missing")),
    ("sqlite", "an edited content", update("small", "data = x'00'"), ("'small'", "1 bytes")),
    ("sqlite", "an edited digest", update("small", "digest = x'00'"), ("'small'", "digest")),
    ("sqlite", "an edited version", update("small", "version = 'v'"), ("'small'", "version")),
    ("sqlite", "edited fields", update("small", "fields = '{'"), ("'small'", "unreadable")),
    ("sqlite", "other fields", update("a", "fields = '[\"a/b\"]'"), ("'a'", "version")),
    ("sqlite", "an impossible key", update("small", "key = '../x'"), ("'../x'", "not valid")),
    ("sqlite", "no content", update("small", "data = NULL"), ("'small'", "neither")),
    ("sqlite", "an index without an entry", without_an_entry, ("documents_expiring",)),
    ("file", "a flipped byte", lambda f: flip(large_file(f), 70_000), ("store/large", "digest")),
    ("file", "a truncated file", lambda f: os.truncate(large_file(f), 10), ("store/large", "changed after")),
    ("file", "a sidecar of another document", forge("a", of="a/b"), (mark("a"), "'a/b'")),
    ("file", "an edited digest", edit_sidecar("a", b'"sha256":"', b'"sha256":"00'), ("store/a", "version")),
    ("file", "an unreadable sidecar", edit_sidecar("a", b" {", b" ["), ("store/a", "unreadable")),
    ("file", "an empty sidecar", lambda f: os.truncate(own(f) / "meta" / mark("a"), 0), (mark("a"), "empty")),
    ("file", "a missing marker", unmark, ("store/small", "never be swept")),
    ("file", "a bad marker", lambda f: (own(f) / "expiring" / "soon").touch(), ("expiring/soon", "expiry marker")),
    ("file", "a name of no key", lambda f: (f / "store" / "%41").touch(), ("store/%41", "not a document")),
    ("file", "a folder of no key", lambda f: (f / "store" / "a" / "%41").mkdir(), ("a/%41", "not a document")),
    ("file", "a hidden file", lambda f: (f / "store" / "small%").touch(), ("store/small%", "hidden")),
    ("shelve", "a flipped byte", spoil_record, ("'small'", "broken")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("scheme", "damage", "named"),
    [(scheme, damage, named) for scheme, _, damage, named in DAMAGES],
    ids=[f"{scheme}: {what}" for scheme, what, _, _ in DAMAGES],
)
def test_damage_is_named_and_not_repaired(url: str, tmp_path: Path, damage: Damage, named: tuple[str, ...]) -> None:
    store(url)
    damage(tmp_path / "data")
    before = on_the_disk(tmp_path)
    for arguments in ([], ["--repair"]):
        ended = run("check", url, *arguments)
        assert ended.status == 1
        assert any(all(part in line for part in named) for line in ended.out.splitlines()), ended.out
        assert "1 finding" in ended.err or len(ended.out.splitlines()) > 1
        after = on_the_disk(tmp_path)
        assert after.pop("data/store-wal", b"") == b""
        assert after == before


def left_snapshot(folder: Path) -> None:
    (folder / "store.sealed" / "snapshot-0123456789abcdef").mkdir()
    (folder / "store.sealed" / "snapshot-0123456789abcdef" / "rows").write_bytes(b"x")


def lone_sidecar(folder: Path) -> None:
    (folder / "store" / "small").unlink()


ORPHANS: list[tuple[str, str, Damage, tuple[str, ...]]] = [
    ("sqlite", "a sealed file", lambda f: (f / "store.sealed" / ORPHAN).write_bytes(b"x") and None, (ORPHAN,)),
    ("sqlite", "a snapshot", left_snapshot, ("snapshot-0123456789abcdef",)),
    ("file", "a temporary file", lambda f: (own(f) / "tmp" / ORPHAN).write_bytes(b"x") and None, (ORPHAN,)),
    ("file", "a sidecar and a marker", lone_sidecar, (f"meta/{mark('small')}", f"{LATE_NS:020d}-{mark('small')}")),
    ("file", "a marker", lambda f: (own(f) / "expiring" / f"{5:020d}-{mark('a')}").touch(), (f"{5:020d}-",)),
]  # fmt: skip
EACH_ORPHAN = pytest.mark.parametrize(
    ("scheme", "leave", "named"),
    [(scheme, leave, named) for scheme, _, leave, named in ORPHANS],
    ids=[f"{scheme}: {what}" for scheme, what, _, _ in ORPHANS],
)


@EACH_ORPHAN
def test_orphans_are_named_and_removed_on_request(
    url: str, tmp_path: Path, leave: Damage, named: tuple[str, ...]
) -> None:
    store(url)
    leave(tmp_path / "data")
    before = on_the_disk(tmp_path)
    ended = run("check", url)
    lines = ended.out.splitlines()
    assert (ended.status, len(lines)) == (1, len(named))
    assert all(any(name in line for line in lines) for name in named)
    assert all(": an orphan that no document refers to (" in line for line in lines)
    assert all(line.endswith("; --repair removes it") for line in lines)
    assert before.keys() <= on_the_disk(tmp_path).keys()
    ended = run("check", url, "--repair")
    assert ended.status == 0
    assert all(line.endswith("removed") for line in ended.out.splitlines())
    ended = run("check", url)
    assert (ended.status, ended.out) == (0, "")
    gone = before.keys() - on_the_disk(tmp_path).keys() - {"data/store-wal"}
    assert len(gone) == len(named)


@pytest.mark.parametrize("scheme", ["file", "sqlite"])
def test_an_upload_in_progress_is_not_an_orphan(url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def check_in_the_middle() -> None:
        async with opened(url) as engine:
            upload = GatedUpload(LARGE * 20)
            writing = asyncio.create_task(engine.put(PutRequest("new", upload, FIELDS)))
            await upload.halfway.wait()
            # A thread creates the file, without a signal to wait for.
            while not any(re.search("/tmp/|/store.sealed/[0-9a-f]", name) for name in on_the_disk(tmp_path)):  # noqa: ASYNC110
                await asyncio.sleep(0)
            ended = await asyncio.to_thread(run, "check", url, "--repair")
            assert (ended.status, ended.out) == (0, "")
            upload.gate.set()
            await writing

    asyncio.run(check_in_the_middle())
    ended = run("check", url)
    assert (ended.status, ended.out) == (0, "")
    assert "1 sound document" in ended.err


@EACH_ORPHAN
def test_orphans_are_not_reported_while_the_store_is_open(
    url: str, tmp_path: Path, leave: Damage, named: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    store(url)

    async def check_beside() -> None:
        async with opened(url):
            leave(tmp_path / "data")
            ended = await asyncio.to_thread(run, "check", url, "--repair")
            assert (ended.status, ended.out) == (0, "")
            assert all(any(name in path for path in on_the_disk(tmp_path)) for name in named)

    asyncio.run(check_beside())
    what = "1 file is an orphan or an upload" if len(named) == 1 else f"{len(named)} files are orphans or uploads"
    assert f"is in use: {what} in progress" in caplog.text


def test_a_check_runs_beside_a_server_but_not_on_shelve(data: Path) -> None:
    with RunningServer(data):
        for url in (f"sqlite:{data / 'docs.db'}", f"file:{data / 'file'}"):
            assert run("check", url).status == 0
        ended = run("check", f"shelve:{data / 'shelve'}")
        assert ended.status == 2
        assert "open in another process" in ended.err


def test_documents_created_and_deleted_during_a_check_are_not_findings(tmp_path: Path) -> None:
    async def rewrite(url: str) -> None:
        async with opened(url) as engine:
            checks = [partial(run, "check", url)] * 3
            checking = asyncio.get_running_loop().run_in_executor(None, lambda: [check() for check in checks])
            turn = 0
            while not checking.done():
                turn += 1
                for key in ("large", f"new {turn % 7}"):
                    await engine.put(
                        PutRequest(key, BytesContent(LARGE + b"%d" % turn), FIELDS, expires_ns=LATE_NS + turn)
                    )
                await engine.delete(f"new {(turn + 3) % 7}")
            assert [(ended.status, ended.out) for ended in await checking] == [(0, "")] * 3

    for scheme in ("file", "sqlite"):
        url = f"{scheme}:{tmp_path / scheme}"
        store(url)
        asyncio.run(rewrite(url))


def test_files_added_by_hand_and_expired_documents_are_sound(tmp_path: Path) -> None:
    async def put() -> None:
        clock = SetClock(5)
        engine = open_engine(EngineURL("file", str(tmp_path / "store")), clock)
        await engine.put(PutRequest("gone", BytesContent(b"x"), FIELDS, expires_ns=6))
        await engine.close()

    asyncio.run(put())
    (tmp_path / "store" / "by-hand.txt").write_text("hello")
    (tmp_path / "store" / ".hidden").write_text("not ours")
    (tmp_path / "store" / "link").symlink_to("elsewhere")
    ended = run("check", f"file:{tmp_path / 'store'}")
    assert (ended.status, ended.out) == (0, "")
    assert "2 sound documents" in ended.err


def test_the_remains_of_an_interrupted_write_are_not_a_finding_in_a_shelve(tmp_path: Path) -> None:
    url = f"shelve:{tmp_path / 'store'}?dbm=dumb"
    for data in (b"the old one", b"the new one"):
        store(url, {"key": data})
    data = tmp_path / "store.dat"
    flip(data, data.read_bytes().index(b"the new one"))
    assert run("check", url).status == 1
    (tmp_path / "store.lock").write_bytes(b"open\n")
    ended = run("check", url)
    assert (ended.status, ended.out) == (0, "")
