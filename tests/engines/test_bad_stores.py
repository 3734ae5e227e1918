"""Files that are not a store, and damaged stores, opened by an engine, `docstore check` and `docstore serve`.

Each is refused in one line that names the file, and nothing in it is changed.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from docstore.engines.registry import EngineURL, open_engine
from docstore.errors import SetupError
from tests.server.test_run import refused
from tests.stores import files_in, run, store

Damage = Callable[[Path], None]


def cut(name: str, size: int) -> Damage:
    return lambda folder: os.truncate(folder / name, size)


def gone(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def a_folder(name: str) -> Damage:
    """A folder that is not empty where a file should be."""

    def damage(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name / "below").mkdir(parents=True)

    return damage


def a_file(name: str) -> Damage:
    """A file where a folder should be."""

    def damage(folder: Path) -> None:
        shutil.rmtree(folder / name)
        (folder / name).write_text("not a folder")

    return damage


def a_loop(name: str) -> Damage:
    """A link to itself."""

    def damage(folder: Path) -> None:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(folder / name)

    return damage


def only_the_log(folder: Path) -> None:
    """A store whose database was removed after a kill had left changes in its log."""
    connection = apsw.Connection(str(folder / "store"))
    connection.execute("DELETE FROM documents WHERE file IS NOT NULL")
    for name in ("store", "store-wal"):
        shutil.copyfile(folder / name, folder / f"{name}.kept")
    connection.close()
    shutil.rmtree(folder / "store.sealed")
    (folder / "store").unlink()
    (folder / "store-wal.kept").rename(folder / "store-wal")


def a_line_cut_off(folder: Path) -> None:
    os.truncate(folder / "store.dir", (folder / "store.dir").stat().st_size - 5)


REFUSED: list[tuple[str, str, Damage, str]] = [
    ("sqlite", "an emptied database", cut("store", 0), "missing or empty"),
    ("sqlite", "a database that is gone", gone("store"), "missing or empty"),
    ("sqlite", "a log without its database", only_the_log, "missing or empty"),
    ("sqlite", "one byte", cut("store", 1), "not an SQLite database"),
    ("sqlite", "half a header", cut("store", 50), "not an SQLite database"),
    ("sqlite", "a folder for a database", a_folder("store"), "not a file"),
    ("sqlite", "a loop for a database", a_loop("store"), "store"),
    ("sqlite", "a file for the sealed files", a_file("store.sealed"), "store.sealed"),
    ("sqlite", "a folder for the lock", a_folder("store.sealed/lock"), "lock"),
    ("file", "a file for the store", a_file("store"), "Not a directory"),
    ("file", "a loop for the store", a_loop("store"), "store"),
    ("file", "a file for the service's folder", a_file("store/.docstore"), ".docstore"),
    ("file", "a file for the records", a_file("store/.docstore/meta"), "meta"),
    ("file", "a loop for the records", a_loop("store/.docstore/meta"), "meta"),
    ("file", "a folder for the format", a_folder("store/.docstore/format"), "format"),
    ("file", "an empty format", cut("store/.docstore/format", 0), "format"),
    ("file", "a folder for the lock", a_folder("store/.docstore/lock"), "lock"),
    ("shelve", "an index cut off in a line", a_line_cut_off, "store"),
    ("shelve", "a mark cut off", cut("store.dat", 9), "store"),
    ("shelve", "no index", gone("store.dir"), "store.dir is missing"),
    ("shelve", "a folder for the data", a_folder("store.dat"), "store.dat is a folder"),
    ("shelve", "a folder for the index", a_folder("store.dir"), "store.dir is a folder"),
    ("shelve", "a folder for the lock", a_folder("store.lock"), "store.lock"),
    ("shelve", "a loop for the data", a_loop("store.dat"), "store"),
]
EACH_REFUSED = pytest.mark.parametrize(
    ("scheme", "damage", "said"),
    [(scheme, damage, said) for scheme, _, damage, said in REFUSED],
    ids=[f"{scheme}: {what}" for scheme, what, _, _ in REFUSED],
)


@pytest.fixture
def url(scheme: str, tmp_path: Path) -> str:
    url = f"{scheme}:{tmp_path / 'store'}" + ("?dbm=dumb" if scheme == "shelve" else "")
    store(url)
    return url


@EACH_REFUSED
def test_files_that_are_not_a_store_are_refused_in_one_line_and_not_changed(
    tmp_path: Path, url: str, damage: Damage, said: str
) -> None:
    damage(tmp_path)
    before = files_in(tmp_path)
    with pytest.raises(SetupError) as caught:
        open_engine(EngineURL.parse(url))
    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    ended = run("check", url)
    # If only a lock file is damaged, the documents are unchanged.
    assert ended.status in ((0,) if "lock" in said else (1, 2))
    for line in [*ended.out.splitlines(), *ended.err.splitlines()][:1]:
        assert ended.status == 0 or str(tmp_path) in line
    assert len(ended.err.splitlines()) == 1
    assert files_in(tmp_path) == before


@pytest.mark.parametrize(
    ("scheme", "damage"),
    [("sqlite", gone("store")), ("file", a_file("store/.docstore")), ("shelve", a_line_cut_off)],
)
def test_a_server_does_not_start_on_a_bad_store(tmp_path: Path, url: str, damage: Damage) -> None:
    damage(tmp_path)
    before = files_in(tmp_path)
    assert str(tmp_path / "store") in refused("--mount", f"a={url}", cwd=tmp_path)
    assert files_in(tmp_path) == before


@contextmanager
def nobody() -> Iterator[None]:
    """As a user without permissions; the superuser may do everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("scheme", ["file", "shelve", "sqlite"])
@pytest.mark.parametrize("mode", [0o000, 0o444, 0o555])
def test_a_store_without_permission_is_refused_and_kept(scheme: str, mode: int) -> None:
    # pytest's own folders can't be entered by another user.
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        folder = Path(name, "data")
        folder.mkdir()
        url = f"{scheme}:{folder / 'store'}" + ("?dbm=dumb" if scheme == "shelve" else "")
        store(url)
        before = files_in(folder)
        closed = folder / "store" if scheme == "file" else folder
        closed.chmod(mode)
        try:
            with nobody():
                if not os.access(name, os.X_OK, effective_ids=True):
                    pytest.skip(f"another user can't come as far as {name}, so nothing is told of a store in it")
                with pytest.raises(SetupError, match=str(folder)) as caught:
                    open_engine(EngineURL.parse(url))
                assert "\n" not in str(caught.value)
                ended = run("check", url)
                assert ended.status in (0, 1, 2) if mode == 0o555 else ended.status == 2
                assert len(ended.err.splitlines()) == 1
        finally:
            closed.chmod(0o755)
        assert files_in(folder) == before
