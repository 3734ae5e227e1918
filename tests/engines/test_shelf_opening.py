"""What the shelve engine opens and what it refuses, in one line: other programs' files above all."""

import asyncio
import dbm.dumb
import importlib
import importlib.util
import pickle
import shelve
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from docstore.engines.registry import EngineURL
from docstore.engines.shelve import lock, records
from docstore.engines.shelve.engine import open_shelf
from docstore.errors import OpenError, SetupError
from docstore.testing.clock import SetClock
from tests.engines.shelf_stores import (
    EACH_DBM,
    HERE,
    OLD,
    contents_of,
    refusal,
    store,
    stored,
)


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def test_a_system_without_locks_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "fcntl", None)
    spec = importlib.util.spec_from_file_location("shelf_lock_elsewhere", lock.__file__)
    assert spec
    assert spec.loader
    elsewhere = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(elsewhere)
    with pytest.raises(OpenError, match="sqlite: works on every system") as refused:
        elsewhere.Lock(tmp_path / "store")
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


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
    monkeypatch.setattr(records, "_importable", lambda kind: kind != "dbm.dumb")
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


@EACH_DBM
def test_a_pickle_in_a_store_of_ours_is_a_broken_record(tmp_path: Path, name: str) -> None:
    store(tmp_path / "store", name, key=OLD)
    with importlib.import_module(f"dbm.{name}").open(str(tmp_path / "store"), "w") as raw:
        raw[b"key\x000"] = pickle.dumps(Bomb(tmp_path / "exploded"))
    assert "'key' is broken" in refusal(tmp_path / "store")
    assert not (tmp_path / "exploded").exists()
