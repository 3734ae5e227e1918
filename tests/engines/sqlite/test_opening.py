"""Opening a database: what becomes a store, and what is refused in one line and not changed."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from docstore.engines.registry import EngineURL, open_engine
from docstore.engines.sqlite import open_sqlite, schema
from docstore.errors import OpenError, SetupError
from docstore.testing.clock import SetClock
from tests.engines.sqlite.stores import (
    opened,
    put,
    read,
)
from tests.leaks import no_leaks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "docs.db"


def a_folder(path: Path) -> None:
    path.mkdir()


def no_database(path: Path) -> None:
    path.write_bytes(b"something else altogether, and longer than a header of SQLite is: " * 30)


def another_programs(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE bookmarks (url); PRAGMA user_version = 1")
    connection.close()


def marked_as_another_programs(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA application_id = 252006673")
    connection.close()


def a_newer_versions(path: Path) -> None:
    asyncio.run(open_sqlite(EngineURL("sqlite", str(path)), SetClock()).close())
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    connection.close()
    shutil.rmtree(f"{path}.sealed")


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (a_folder, "is not a file"),
        (a_pipe, "is not a file"),
        (no_database, "is not an SQLite database"),
        (another_programs, "is a database of another program"),
        (marked_as_another_programs, "is a database of another program"),
        (a_newer_versions, "has schema version 2"),
    ],
)
def test_files_of_other_kinds_are_refused_and_unchanged(path: Path, made: Callable[[Path], None], message: str) -> None:
    made(path)
    before = path.read_bytes() if path.is_file() else None
    files = set(path.parent.iterdir())
    with pytest.raises(OpenError, match=message) as refused:
        open_sqlite(EngineURL("sqlite", str(path)), SetClock())
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert set(path.parent.iterdir()) == files


def test_an_invalid_path_is_refused() -> None:
    for location in ("", "a\0b"):
        with pytest.raises(OpenError):
            open_sqlite(EngineURL("sqlite", location), SetClock())


def test_unknown_options_are_refused(path: Path) -> None:
    with pytest.raises(SetupError, match="speed"):
        open_engine(EngineURL("sqlite", str(path), {"speed": "high"}))


def test_a_database_below_a_file_is_refused(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(OpenError, match=r"docs\.db"):
        open_sqlite(EngineURL("sqlite", str(path / "below" / "docs.db")), SetClock())


@pytest.mark.parametrize("location", ["docs.db", "below/docs.db"])
def test_a_read_only_folder_is_refused(location: str) -> None:
    user = os.geteuid()
    # pytest's own folders can't be entered by another user, and root may write everywhere.
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        if user == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(OpenError, match=name):
                open_sqlite(EngineURL("sqlite", f"{name}/{location}"), SetClock())
        finally:
            os.seteuid(user)
            Path(name).chmod(0o755)


def test_a_read_only_database_is_refused() -> None:
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        path = Path(name) / "docs.db"
        asyncio.run(open_sqlite(EngineURL("sqlite", str(path)), SetClock()).close())
        path.chmod(0o444)
        if user == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(OpenError, match=r"is read-only|Permission denied"):
                open_sqlite(EngineURL("sqlite", str(path)), SetClock())
        finally:
            os.seteuid(user)


def test_an_empty_file_becomes_a_store_and_folders_are_created(tmp_path: Path) -> None:
    empty = tmp_path / "empty.db"
    empty.touch()

    async def run() -> None:
        for path in (empty, tmp_path / "new" / "folder" / "docs.db"):
            async with opened(path) as engine:
                await put(engine, "key")
                assert await read(engine, "key") == b"hello"

    asyncio.run(run())


def test_a_refused_open_leaves_no_descriptor(path: Path) -> None:
    no_database(path)
    with no_leaks():
        for _ in range(3):
            with pytest.raises(OpenError):
                open_sqlite(EngineURL("sqlite", str(path)), SetClock())
        path.unlink()
        Path(f"{path}.sealed").write_bytes(b"in the way")
        with pytest.raises(OpenError, match=r"docs\.db\.sealed"):
            open_sqlite(EngineURL("sqlite", str(path)), SetClock())
