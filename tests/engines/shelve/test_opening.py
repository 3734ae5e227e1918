"""What the shelve engine opens, and what it refuses in one line: above all the files of other programs."""

import asyncio
import dbm.dumb
import importlib
import pickle
import shelve
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from docstore.engines.registry import EngineURL, open_engine
from docstore.engines.shelve import records
from docstore.engines.shelve.engine import open_shelve
from docstore.errors import OpenError, SetupError
from docstore.testing.clock import SetClock
from tests.engines.shelve.stores import (
    EACH_DBM,
    INSTALLED,
    OLD,
    contents_of,
    open_error,
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
    assert "sqlite: works on every system" in open_error(tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


@EACH_DBM
def test_a_shelve_of_another_program_is_neither_unpickled_nor_changed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    made_with = importlib.import_module(f"dbm.{name}")
    with shelve.Shelf(made_with.open(str(folder / "store"), "c")) as theirs:
        theirs["key"] = Bomb(tmp_path / "exploded")
    before = contents_of(folder)
    assert "another program" in open_error(folder / "store")
    # SQLite may leave files of its own beside.
    assert {file: data for file, data in contents_of(folder).items() if file in before} == before
    assert not (tmp_path / "exploded").exists()


def test_the_index_backup_of_another_program_stays(tmp_path: Path) -> None:
    with shelve.Shelf(dbm.dumb.open(str(tmp_path / "store"), "c")) as theirs:
        for turn in range(3):
            theirs["key"] = "x" * turn
            theirs.sync()
    before = contents_of(tmp_path)
    assert "store.bak" in before
    assert "another program" in open_error(tmp_path / "store")
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
def test_files_of_other_kinds_are_refused_in_one_line(tmp_path: Path, files: dict[str, bytes], says: str) -> None:
    for name, data in files.items():
        if name.endswith("/"):
            (tmp_path / name).mkdir()
        else:
            (tmp_path / name).write_bytes(data)
    before = sorted(tmp_path.iterdir())
    assert says in open_error(tmp_path / "store")
    assert [file for file in sorted(tmp_path.iterdir()) if file.suffix != ".lock"] == before


def test_an_unwritable_path_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OpenError, match=f"^cannot open {tmp_path / 'file'}: Not a directory$"):
        open_shelve(EngineURL("shelve", str(tmp_path / "file" / "store")), SetClock())
    assert "cannot open" in open_error(Path("/proc/store"))


def test_a_database_of_another_program_is_not_touched(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "store")) as theirs:
        theirs.execute("CREATE TABLE documents (key)")
    before = contents_of(tmp_path)
    open_error(tmp_path / "store")
    assert contents_of(tmp_path) == before


def test_a_missing_module_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tmp_path / "store", key=OLD)
    monkeypatch.setattr(records, "_importable", lambda kind: kind != "dbm.dumb")
    assert "needs the module dbm.dumb" in open_error(tmp_path / "store")


def test_a_new_store_uses_the_best_dbm_installed(tmp_path: Path) -> None:
    asyncio.run(open_and_close(tmp_path / "store"))
    assert dbm.whichdb(str(tmp_path / "store")) == f"dbm.{INSTALLED[0]}"


async def open_and_close(path: Path) -> None:
    await open_shelve(EngineURL("shelve", str(path)), SetClock()).close()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("shelve:", "needs the path"),
        ("shelve:{}?dbm=ndbm", "can't use dbm.ndbm"),
        ("shelve:{}?dbm=", "can't use dbm."),
        ("shelve:{}?kind=dumb", "no option 'kind'"),
        ("shelve:{}?dbm=gnu", "stored in dbm.dumb, not in dbm.gnu"),
    ],
)
def test_a_bad_url_is_refused(tmp_path: Path, text: str, says: str) -> None:
    store(tmp_path / "store", key=OLD)
    with pytest.raises(SetupError, match=says):
        open_engine(EngineURL.parse(text.format(tmp_path / "store")), SetClock())
    assert stored(tmp_path / "store") == {"key": OLD}


@EACH_DBM
def test_a_pickle_in_a_store_is_a_broken_record(tmp_path: Path, name: str) -> None:
    store(tmp_path / "store", name, key=OLD)
    with importlib.import_module(f"dbm.{name}").open(str(tmp_path / "store"), "w") as raw:
        raw[b"key\x000"] = pickle.dumps(Bomb(tmp_path / "exploded"))
    assert "'key' is broken" in open_error(tmp_path / "store")
    assert not (tmp_path / "exploded").exists()
