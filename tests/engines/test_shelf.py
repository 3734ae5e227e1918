"""What the shelve engine does with its own files, its dbm, other people's shelves and a kill -9.

Every test that can runs on each dbm that this Python has; dbm.dumb is always there.
"""

import asyncio
import dbm.dumb
import importlib
import os
import pickle
import resource
import shelve
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from docstore.content import Inline, read_all
from docstore.engines import Engine, EngineURL, shelf_records
from docstore.engines.shelf import Shelf, open_shelf
from docstore.engines.shelf_records import KINDS, Records
from docstore.errors import CannotOpen, Corrupt, EngineError, NoSpace, SetupError
from docstore.model import Clock, Fields
from docstore.testing import EngineContract, SetClock


def _importable(kind: str) -> bool:
    try:
        importlib.import_module(kind)
    except ImportError:
        return False
    return True


HERE = [kind.removeprefix("dbm.") for kind in KINDS if _importable(kind)]
EACH_DBM = pytest.mark.parametrize("name", HERE)

OLD, NEW = b"the old document " * 50, b"the new document " * 70


@asynccontextmanager
async def opened(path: Path, name: str = "dumb") -> AsyncIterator[Shelf]:
    engine = open_shelf(EngineURL("shelve", str(path), {"dbm": name}), SetClock())
    try:
        yield engine
    finally:
        await engine.close()


async def put(engine: Engine, key: str, data: bytes) -> None:
    await engine.put(key, Inline(data), Fields())


async def read(engine: Engine, key: str) -> bytes | None:
    document = await engine.get(key)
    return None if document is None else await read_all(document.content)


def store(path: Path, name: str = "dumb", **documents: bytes) -> None:
    """Puts `documents` into the store, opening and closing it."""

    async def run() -> None:
        async with opened(path, name) as engine:
            for key, data in documents.items():
                await put(engine, key, data)

    asyncio.run(run())


def stored(path: Path, name: str = "dumb") -> dict[str, bytes | None]:
    async def run() -> dict[str, bytes | None]:
        async with opened(path, name) as engine:
            return {meta.key: await read(engine, meta.key) for meta in await engine.list()}

    return asyncio.run(run())


def refusal(path: Path, name: str | None = None) -> str:
    """The one line that an opening at `path` is refused with."""
    with pytest.raises(CannotOpen) as refused:
        open_shelf(EngineURL("shelve", str(path), {"dbm": name} if name else {}), SetClock())
    line = str(refused.value)
    assert str(path) in line
    assert "\n" not in line
    return line


def was_killed(path: Path) -> None:
    """Makes the store look like one that nobody closed."""
    path.with_name(path.name + ".lock").write_bytes(b"open\n")


def contents_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix != ".lock"}


def spoil(folder: Path, what: bytes) -> None:
    """Changes one byte of `what`, in whichever file of the folder holds it."""
    (found,) = (file for file in folder.iterdir() if what in file.read_bytes())
    found.write_bytes(found.read_bytes().replace(what, what[:-1] + b"\xff"))


class OnOneDbm(EngineContract):
    """The whole contract again, on a dbm that would not be preferred."""

    durable = True
    name: str

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_shelf(EngineURL("shelve", str(folder / "store"), {"dbm": self.name}), clock)


for _name in HERE[1:]:
    _title = f"TestOn{_name.title()}"
    globals()[_title] = type(_title, (OnOneDbm,), {"name": _name})


@EACH_DBM
def test_a_store_is_opened_by_what_it_was_made_with(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a store, 100%?"
    store(path, name, key=OLD)

    async def run() -> None:
        engine = open_shelf(EngineURL("shelve", str(path)), SetClock())
        assert await read(engine, "key") == OLD
        await engine.close()

    asyncio.run(run())
    assert dbm.whichdb(str(path)) == f"dbm.{name}"


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    store(tmp_path / "some" / "folder" / "store", key=OLD)
    assert stored(tmp_path / "some" / "folder" / "store") == {"key": OLD}


@EACH_DBM
def test_a_store_is_open_once_in_a_process(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store", name) as engine:
            assert "open already" in refusal(tmp_path / "store")
            await put(engine, "key", OLD)

    asyncio.run(run())
    assert stored(tmp_path / "store", name) == {"key": OLD}


@EACH_DBM
def test_a_store_is_open_in_one_process(tmp_path: Path, name: str) -> None:
    with writing_process(tmp_path / "store", name) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert "open already" in refusal(tmp_path / "store")


WRITER = """
import asyncio, sys
from docstore.content import Inline
from docstore.engines import EngineURL
from docstore.engines.shelf import open_shelf
from docstore.model import Fields

async def run():
    engine = open_shelf(EngineURL("shelve", sys.argv[1], {"dbm": sys.argv[2]}), lambda: 1)
    async def write(task):
        for turn in range(100_000):
            for key in (f"{task} new {turn}", f"{task} replaced"):
                await engine.put(key, Inline(f"{key} {turn} ".encode() * (turn * 37 % 400 + 1)), Fields())
                print(key, turn, sep="\\t", flush=True)
            if turn % 5 == 4:
                await engine.delete(f"{task} new {turn - 2}")
                print(f"{task} new {turn - 2}", "deleted", sep="\\t", flush=True)
    await asyncio.gather(*(write(task) for task in range(4)))

asyncio.run(run())
"""


@contextmanager
def writing_process(path: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes to the store and says what was answered, until it is killed."""
    command = [sys.executable, "-c", WRITER, str(path), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("answers", [1, 150, 400])
@EACH_DBM
def test_what_was_answered_survives_a_kill(tmp_path: Path, name: str, answers: int) -> None:
    with writing_process(tmp_path / "store", name) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(answers)]
        process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
    last = dict(line.rstrip("\n").split("\t") for line in said if line.endswith("\n"))
    found = stored(tmp_path / "store", name)
    for key, turn in last.items():
        if turn == "deleted":
            assert key not in found
        elif key.endswith("replaced") or key in found:
            data = found[key]
            assert data is not None
            # One more write may have been done without its answer.
            seen = int(data.removeprefix(f"{key} ".encode()).split(b" ")[0])
            assert seen in (int(turn), int(turn) + 1)
            assert data == f"{key} {seen} ".encode() * (seen * 37 % 400 + 1)
        else:
            # A delete may have been done without its answer, of the document that comes next.
            task = key.split(" ")[0]
            assert int(turn) + 2 == int(last[f"{task} replaced"])


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


@EACH_DBM
def test_a_shelve_of_another_program_is_neither_unpickled_nor_changed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    made_with = importlib.import_module(f"dbm.{name}")
    with shelve.Shelf(made_with.open(str(folder / "store"), "c")) as theirs:
        theirs["key"] = Bomb(tmp_path / "exploded")
    before = contents_of(folder)
    assert "another program" in refusal(folder / "store")
    # SQLite may leave files of its own beside.
    assert {file: data for file, data in contents_of(folder).items() if file in before} == before
    assert not (tmp_path / "exploded").exists()


def test_the_backup_of_another_programs_shelve_stays(tmp_path: Path) -> None:
    with shelve.Shelf(dbm.dumb.open(str(tmp_path / "store"), "c")) as theirs:
        for turn in range(3):
            theirs["key"] = "x" * turn
            theirs.sync()
    before = contents_of(tmp_path)
    assert "store.bak" in before
    assert "another program" in refusal(tmp_path / "store")
    assert contents_of(tmp_path) == before


@EACH_DBM
def test_a_pickle_in_a_store_of_ours_is_a_broken_record(tmp_path: Path, name: str) -> None:
    store(tmp_path / "store", name, key=OLD)
    with importlib.import_module(f"dbm.{name}").open(str(tmp_path / "store"), "w") as raw:
        raw[b"key\x000"] = pickle.dumps(Bomb(tmp_path / "exploded"))
    assert "'key' is broken" in refusal(tmp_path / "store")
    assert not (tmp_path / "exploded").exists()


@EACH_DBM
@pytest.mark.parametrize("what", [OLD[-20:], b'"size"', b"DSR1"], ids=["content", "meta", "magic"])
def test_a_broken_record_is_named_when_the_store_is_opened(tmp_path: Path, name: str, what: bytes) -> None:
    store(tmp_path / "store", name, key=OLD)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes().replace(what, what[:-1] + b"\xff"))
    for _ in range(2):
        assert "'key' is broken" in refusal(tmp_path / "store")


@EACH_DBM
def test_a_broken_current_version_is_not_passed_over_for_an_older_one(tmp_path: Path, name: str) -> None:
    store(tmp_path / "store", name, key=OLD)
    store(tmp_path / "store", name, key=NEW)
    spoil(tmp_path, NEW)
    assert "'key' is broken" in refusal(tmp_path / "store")


@EACH_DBM
def test_a_write_that_a_kill_cut_off_leaves_the_version_before(tmp_path: Path, name: str) -> None:
    store(tmp_path / "store", name, key=OLD, other=OLD)
    store(tmp_path / "store", name, key=NEW)
    spoil(tmp_path, NEW)
    was_killed(tmp_path / "store")
    for _ in range(2):
        assert stored(tmp_path / "store", name) == {"key": OLD, "other": OLD}
    store(tmp_path / "store", name, key=NEW)
    assert stored(tmp_path / "store", name) == {"key": NEW, "other": OLD}


def test_a_record_that_breaks_while_the_store_is_open_is_corrupt(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store") as engine:
            await put(engine, "key", OLD)
            await put(engine, "other", NEW)
            spoil(tmp_path, OLD)
            with pytest.raises(Corrupt, match="'key' is broken"):
                await engine.get("key")
            assert await read(engine, "other") == NEW

    asyncio.run(run())


def test_a_record_of_another_version_than_was_written_is_corrupt(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store") as engine:
            await put(engine, "key", OLD)
            before = (tmp_path / "store.dat").read_bytes()
            await engine.delete("key")
            await put(engine, "key", OLD[::-1])
            (tmp_path / "store.dat").write_bytes(before[:512] + before[512:].ljust(2048, b"\0") * 2)
            with pytest.raises(Corrupt, match="'key'"):
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
def test_an_index_that_was_being_written_is_put_right(tmp_path: Path, interrupt: Any) -> None:
    path = tmp_path / "store"
    documents = {f"key-{number}": OLD + b"%d" % number for number in range(9)}
    store(path, **documents)
    interrupt(path)
    was_killed(path)
    assert stored(path) == documents
    store(path, more=NEW)
    assert stored(path) == {**documents, "more": NEW}
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".dat", ".dir", ".lock"]


def test_a_lost_index_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    store(tmp_path / "store", key=OLD)
    (tmp_path / "store.dir").write_bytes(b"")
    assert "has lost what it held" in refusal(tmp_path / "store")
    (tmp_path / "store.dir").unlink()
    assert "is missing" in refusal(tmp_path / "store")
    assert OLD in (tmp_path / "store.dat").read_bytes()


def test_a_store_killed_before_its_first_document_opens(tmp_path: Path) -> None:
    for left in ({".dat": b""}, {".dat": b"", ".dir": b""}, {".dat": b"docstore shelve 1\n", ".dir": b"'\\x0"}):
        for suffix, data in left.items():
            (tmp_path / "store").with_suffix(suffix).write_bytes(data)
        store(tmp_path / "store", key=OLD)
        assert stored(tmp_path / "store") == {"key": OLD}
        for file in tmp_path.iterdir():
            file.unlink()


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"store/": b""}, "is a folder"),
        ({"store": b"no dbm at all, but a letter"}, "is not a shelve"),
        ({"store.pag": b"x", "store.dir": b"x"}, "dbm.ndbm, which loses large documents"),
        ({"store.dat": b"docstore shelve 1\n", "store.dir": b"not an index\n"}, "SyntaxError"),
        ({"store.dat": b"docstore shelve 2\n", "store.dir": b"'\\x00docstore', (0, 18)\n"}, "another version"),
    ],
    ids=["folder", "letter", "ndbm", "index", "version"],
)
def test_what_is_no_store_is_refused_in_one_line(tmp_path: Path, files: dict[str, bytes], says: str) -> None:
    for name, data in files.items():
        if name.endswith("/"):
            (tmp_path / name).mkdir()
        else:
            (tmp_path / name).write_bytes(data)
    before = sorted(tmp_path.iterdir())
    assert says in refusal(tmp_path / "store")
    assert [file for file in sorted(tmp_path.iterdir()) if file.suffix != ".lock"] == before


def test_a_place_where_nothing_can_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "exists" in refusal(tmp_path / "file" / "store") or "directory" in refusal(tmp_path / "file" / "store")
    assert "can't open" in refusal(Path("/proc/store"))


def test_a_database_of_another_program_is_not_touched(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "store")) as theirs:
        theirs.execute("CREATE TABLE documents (key)")
    before = contents_of(tmp_path)
    refusal(tmp_path / "store")
    assert contents_of(tmp_path) == before


def test_a_missing_module_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tmp_path / "store", key=OLD)
    monkeypatch.setattr(shelf_records, "_importable", lambda kind: kind != "dbm.dumb")
    assert "needs the module dbm.dumb" in refusal(tmp_path / "store")


def test_the_first_dbm_that_there_is_keeps_a_new_store(tmp_path: Path) -> None:
    asyncio.run(open_and_close(tmp_path / "store"))
    assert dbm.whichdb(str(tmp_path / "store")) == f"dbm.{HERE[0]}"


async def open_and_close(path: Path) -> None:
    await open_shelf(EngineURL("shelve", str(path)), SetClock()).close()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("shelve:", "takes the path"),
        ("shelve:{}?dbm=ndbm", "no store in dbm.ndbm"),
        ("shelve:{}?dbm=", "no store in dbm."),
        ("shelve:{}?kind=dumb", "no option 'kind'"),
        ("shelve:{}?dbm=gnu", "kept in dbm.dumb, not in dbm.gnu"),
    ],
)
def test_an_url_that_makes_no_sense_is_refused(tmp_path: Path, text: str, says: str) -> None:
    store(tmp_path / "store", key=OLD)
    with pytest.raises(SetupError, match=says):
        open_shelf(EngineURL.parse(text.format(tmp_path / "store")), SetClock())
    assert stored(tmp_path / "store") == {"key": OLD}


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """As on a full disk: no file grows beyond `size` bytes."""
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
    """Takes the place of dumb's `io`: whole files can be read, a new index only be begun."""

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


def test_a_store_that_can_not_be_read_again_after_a_failure_stops(tmp_path: Path) -> None:
    async def run() -> None:
        engine = open_shelf(EngineURL("shelve", str(tmp_path / "store"), {"dbm": "dumb"}), SetClock())
        await put(engine, "key", OLD)
        data = (tmp_path / "store.dat").rename(tmp_path / "elsewhere")
        for _ in range(2):
            with pytest.raises(EngineError):
                await put(engine, "key", NEW)
        with pytest.raises(EngineError, match="opened anew"):
            await engine.head("key")
        data.rename(tmp_path / "store.dat")
        await engine.close()

    asyncio.run(run())
    assert stored(tmp_path / "store") == {"key": OLD}


@EACH_DBM
def test_a_closed_engine_says_so(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store", name) as engine:
            await engine.close()
            with pytest.raises(EngineError, match="is closed"):
                await engine.head("key")
            with pytest.raises(EngineError, match="is closed"):
                await put(engine, "key", OLD)

    asyncio.run(run())


async def waiting(engine: Shelf, writes: list[Coroutine[Any, Any, None]]) -> list[asyncio.Task[None]]:
    """The writes as tasks, once all of them wait for the thread."""
    tasks = [asyncio.create_task(write) for write in writes]
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(engine._waiting) == len(tasks)
    return tasks


@EACH_DBM
def test_writes_that_wait_share_a_sync(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    sync = Records.sync

    def counted(records: Records) -> None:
        syncs.append(1)
        sync(records)

    async def run() -> None:
        async with opened(tmp_path / "store", name) as engine:
            go_on = threading.Event()
            engine._thread.submit(go_on.wait)
            monkeypatch.setattr(Records, "sync", counted)
            writes = await waiting(engine, [put(engine, f"key-{number}", OLD) for number in range(50)])
            go_on.set()
            await asyncio.gather(*writes)
            assert len(syncs) == 1

    asyncio.run(run())
    assert len(stored(tmp_path / "store", name)) == 50


def test_waiting_writes_of_one_key_never_overwrite_what_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with opened(tmp_path / "store") as engine:
            await put(engine, "key", OLD)
            go_on = threading.Event()
            engine._thread.submit(go_on.wait)
            writes = await waiting(engine, [put(engine, "key", NEW + b"%d" % number) for number in range(2)])
            at_each_sync: list[bool] = []
            sync = Records.sync

            def watched(records: Records) -> None:
                at_each_sync.append(OLD in (tmp_path / "store.dat").read_bytes())
                sync(records)

            monkeypatch.setattr(Records, "sync", watched)
            go_on.set()
            await asyncio.gather(*writes)
            assert at_each_sync == [True, False]

    asyncio.run(run())
