"""Full or removed storage of a real server, on a small separate disk where one can be mounted."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.disks import FILLER, small_disk
from tests.server_process import RunningServer
from tests.stores import run

WAITS_S = 20
"""Timeout for a line of the log, which another thread reads."""

DISK = 4 * 1024 * 1024
MOUNTS = ("file", "docs", "shelve")
DUMB = "shelve:{}/shelve?dbm=dumb"
FILLED = (("file", 400_000), ("docs", 30_000), ("docs", 5_000), ("file", 5_000), ("shelve", 5_000))
STORES = {"file": "file:{}/file", "docs": "sqlite:{}/docs.db", "shelve": "shelve:{}/shelve"}


def ask(server: RunningServer, method: str, path: str, data: bytes | None = None) -> tuple[int, bytes]:
    connection = HTTPConnection(server.host, server.port, timeout=30)
    with closing(connection):
        connection.request(method, path, data)
        answer = connection.getresponse()
        return answer.status, answer.read()


def fill(server: RunningServer, mount: str, size: int, name: str) -> dict[str, bytes]:
    stored: dict[str, bytes] = {}
    while True:
        key, data = f"{name}-{len(stored):03}", os.urandom(size)
        status, _ = ask(server, "PUT", f"/{mount}/{key}", data)
        if status == 507:
            return stored
        assert status == 201
        stored[key] = data


def served(server: RunningServer, mount: str) -> dict[str, bytes]:
    status, listing = ask(server, "GET", f"/{mount}/?format=json&limit=10000")
    assert status == 200
    keys = [entry["key"] for entry in json.loads(listing)["documents"]]
    found = {}
    for key in keys:
        assert ask(server, "HEAD", f"/{mount}/{key}")[0] == 200
        status, found[key] = ask(server, "GET", f"/{mount}/{key}")
        assert status == 200
    return found


def test_a_store_on_a_full_disk_can_be_read_emptied_and_filled_again(tmp_path: Path) -> None:
    data = tmp_path / "disk"
    with small_disk(data, DISK) as (disk, program):
        with RunningServer(data, program=program) as server:
            model = {mount: {"a": b"a", "b": bytes(30_000), "large": os.urandom(200_000)} for mount in MOUNTS}
            for mount in MOUNTS:
                for key, content in model[mount].items():
                    assert ask(server, "PUT", f"/{mount}/{key}", content)[0] == 201
            for mount, size in (
                ("file", 400_000),
                ("docs", 30_000),
                ("docs", 5_000),
                ("file", 5_000),
                ("shelve", 5_000),
            ):
                model[mount].update(fill(server, mount, size, f"fill-{size}"))
            disk.steal()
            for _ in range(2):
                for mount in MOUNTS:
                    for size in (60_000, 500_000):
                        assert ask(server, "PUT", f"/{mount}/new", bytes(size))[0] == 507
                        assert ask(server, "PUT", f"/{mount}/a", bytes(size))[0] == 507
                    assert served(server, mount) == model[mount]
                disk.steal()
                server.kill()
                server.start()
                for mount in MOUNTS:
                    key = max(model[mount])
                    status = ask(server, "DELETE", f"/{mount}/{key}")[0]
                    assert status == 200 or (mount, status) == ("shelve", 507)
                    if status == 200:
                        del model[mount][key]
                    assert served(server, mount) == model[mount]
                disk.steal()
            for mount in MOUNTS:  # shelve last: it needs the space that the others free
                for key in list(model[mount])[1:]:
                    assert ask(server, "DELETE", f"/{mount}/{key}")[0] == 200
                assert served(server, mount) == {"a": b"a"}
            # Free pages of the database were returned after the upload that found no space.
            assert ask(server, "PUT", "/docs/new", bytes(500_000))[0] in (201, 507)
            (data / FILLER).unlink()
            for mount in MOUNTS:
                assert ask(server, "PUT", f"/{mount}/new", bytes(500_000))[0] in (200, 201)
            assert ask(server, "GET", "/-/ready")[0] == 200
            assert server.stop() == 0
            server.errors.clear()  # a line for each 507
        for mount, url in STORES.items():
            checked = run("check", url.format(data))
            assert (checked.status, checked.out) == (0, ""), (mount, checked)


def _remove(path: Path) -> None:
    for found in path.parent.glob(f"{path.name}*"):
        if found.is_dir():
            shutil.rmtree(found)
        else:
            found.unlink()


def _move_away(path: Path) -> None:
    path.rename(path.with_name(f"elsewhere-{path.name}"))


def _replace(path: Path) -> None:
    other = path.with_name("other")
    if path.is_dir():
        shutil.copytree(path, other)
    else:
        shutil.copy(path, other)
    _move_away(path)
    other.rename(path)


@pytest.mark.parametrize("trouble", [_remove, _move_away, _replace])
def test_removed_storage_is_503_and_named_by_ready(tmp_path: Path, trouble: Callable[[Path], None]) -> None:
    data = tmp_path / "data"
    # Every Python has dbm.dumb, and the name of its file is known.
    mounts = [f"--mount={mount}={url.format(data)}" for mount, url in {**STORES, "shelve": DUMB}.items()]
    with RunningServer(data, *mounts) as server:
        gone: list[str] = []
        for mount, name in (("file", "file"), ("docs", "docs.db"), ("shelve", "shelve.dat")):
            path = f"/{mount}/key"
            assert ask(server, "PUT", path, b"before")[0] == 201
            trouble(data / name)
            gone.append(f"/{mount}/")
            assert ask(server, "GET", "/-/ready") == (
                503,
                f"storage unavailable: the storage of {', '.join(gone)} does not respond\n".encode(),
            )
            for method, asked in (("PUT", path), ("DELETE", path), ("GET", f"/{mount}/"), ("GET", f"/{mount}/none")):
                assert ask(server, method, asked, b"after" if method == "PUT" else None)[0] == 503, (mount, method)
            if mount == "docs":
                assert ask(server, "GET", path)[0] == 503
            if trouble is not _move_away:
                continue
            (data / f"elsewhere-{name}").rename(data / name)
            gone.clear()
            assert ask(server, "GET", "/-/ready")[0] == 200
            assert ask(server, "GET", path) == (200, b"before")
            assert ask(server, "PUT", path, b"after")[0] == 200
        assert server.stop() == 0
        errors = "".join(server.errors)
        assert all(f"{data / name} was removed or replaced" in errors for name in ("file", "docs.db", "shelve.dat"))
        server.errors.clear()


def test_a_write_to_a_removed_database_is_not_acknowledged(tmp_path: Path) -> None:
    """Without a request to /-/ready the write itself detects it, and then reads fail too."""
    with RunningServer(tmp_path, f"--mount=docs=sqlite:{tmp_path}/docs.db") as server:
        assert ask(server, "PUT", "/docs/key", b"before")[0] == 201
        (tmp_path / "docs.db-wal").unlink()
        assert ask(server, "PUT", "/docs/key", b"after")[0] == 503
        assert ask(server, "GET", "/docs/key")[0] == 503
        server.errors.clear()


def test_the_log_of_another_database_is_left_when_a_replaced_one_is_closed(tmp_path: Path) -> None:
    with RunningServer(tmp_path, f"--mount=docs=sqlite:{tmp_path}/docs.db") as server:
        assert ask(server, "PUT", "/docs/key", b"before")[0] == 201
        for name in ("docs.db", "docs.db-wal", "docs.db-shm"):
            (tmp_path / name).rename(tmp_path / f"old-{name}")
            (tmp_path / name).write_bytes(b"of another database")
        assert server.stop() == 0
        assert (tmp_path / "docs.db-wal").read_bytes() == b"of another database"
        server.errors.clear()


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Path]]:
    """A server whose storage the tests damage; each test uses another document."""
    data = tmp_path_factory.mktemp("data")
    mounts = [f"--mount=file=file:{data}/file?keys=path", f"--mount=docs=sqlite:{data}/docs.db"]
    with RunningServer(data, *mounts) as server:
        yield server, data
        assert server.stop() == 0
        server.errors.clear()


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_write_without_conditions_replaces_a_corrupt_sidecar(
    damaged: tuple[RunningServer, Path], method: str
) -> None:
    server, data = damaged
    assert ask(server, "PUT", "/file/key", b"before")[0] == 201
    (note,) = (data / "file" / ".docstore" / "meta").iterdir()
    note.write_bytes(note.read_bytes()[:30] + b"}")
    assert ask(server, "GET", "/file/key")[0] == 500
    assert ask(server, method, "/file/key", b"after" if method == "PUT" else None)[0] == 200
    assert ask(server, "GET", "/file/key") == ((200, b"after") if method == "PUT" else (404, b"not found\n"))
    assert run("check", f"file:{data}/file").status == 0
    assert ask(server, "DELETE", "/file/key")[0] == (200 if method == "PUT" else 404)


def test_a_document_without_its_blob_is_500_for_get_and_head_until_it_is_written_again(
    damaged: tuple[RunningServer, Path],
) -> None:
    server, data = damaged
    assert ask(server, "PUT", "/docs/key", bytes(100_000))[0] == 201
    (sealed,) = (path for path in (data / "docs.db.sealed").iterdir() if path.name != "lock")
    sealed.unlink()
    assert [ask(server, method, "/docs/key")[0] for method in ("GET", "HEAD")] == [500, 500]
    assert ask(server, "PUT", "/docs/key", bytes(100_000))[0] == 200
    assert [ask(server, method, "/docs/key")[0] for method in ("GET", "HEAD")] == [200, 200]
    deadline_s = time.monotonic() + WAITS_S
    while sum(f"{sealed} is missing" in line for line in server.errors) < 2:
        assert time.monotonic() < deadline_s, "".join(server.errors)
        time.sleep(0.01)


def test_a_link_in_the_place_of_a_folder_is_409(damaged: tuple[RunningServer, Path]) -> None:
    server, data = damaged
    (data / "file" / "linked").symlink_to(data)
    status, text = ask(server, "PUT", "/file/linked/key", b"x")
    assert (status, b"'linked' is neither a folder nor a document" in text) == (409, True)


def test_a_removed_blob_folder_is_detected_and_nothing_is_stored_without_it(tmp_path: Path) -> None:
    data, large = tmp_path / "data", bytes(90_000)
    with RunningServer(data) as server:
        sealed, away = data / "docs.db.sealed", data / "away"
        assert ask(server, "PUT", "/docs/large", large)[0] == 201
        sealed.rename(away)
        assert ask(server, "GET", "/-/ready")[0] == 503
        sealed.mkdir()
        for key, content in (("other", large), ("small", b"x")):
            assert ask(server, "PUT", f"/docs/{key}", content)[0] == 503
        assert list(sealed.iterdir()) == []
        sealed.rmdir()
        away.rename(sealed)
        assert ask(server, "GET", "/-/ready")[0] == 200
        assert ask(server, "GET", "/docs/large") == (200, large)
        assert ask(server, "PUT", "/docs/other", large)[0] == 201
        assert server.stop() == 0
        assert f"{sealed} was removed or replaced" in "".join(server.errors)
        server.errors.clear()
