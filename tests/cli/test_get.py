"""`docstore get`: downloads that break off, documents that change, wrong digests, hostile keys.

How a download resumes is tested with the library (tests/client/test_download.py); here, that the command uses it.
"""

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docstore.cli import options
from docstore.cli.download import PARTS
from docstore.client import retry
from tests.cli.fake_store import FakeStore, serving, version
from tests.stores import CommandResult, run

PIECE = 256 * 1024
CONTENT = random.Random(7).randbytes(4 * PIECE + 1000)
OTHER = CONTENT[::-1]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStore]:
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.001)
    with serving(FakeStore({"big": CONTENT})) as fake:
        monkeypatch.setenv("DOCSTORE_URL", f"{fake.url}/docs/")
        yield fake


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fetch(folder: Path) -> CommandResult:
    return run("get", "big", "-o", folder / "big")


def broken(store: FakeStore, folder: Path, at: int) -> None:
    """A download that broke for good after `at` bytes."""
    store.cuts = [at, *[0] * options.TRIES]
    result = fetch(folder)
    assert (result.status, result.err.count("\n") <= 2) == (3, True), result.err
    assert sorted(files(folder).values()) == sorted([CONTENT[:at], f'"{version(CONTENT)}"\n'.encode()])
    store.asked.clear()
    store.cuts.clear()


def test_a_download_continues_where_the_connection_broke(store: FakeStore, tmp_path: Path) -> None:
    store.cuts = [PIECE + 1000, 2 * PIECE, 0]
    assert fetch(tmp_path).status == 0
    assert files(tmp_path) == {"big": CONTENT}
    ranges = [fields.get("range") for method, fields in store.asked if method == "GET"]
    assert ranges == [None, *(f"bytes={pieces * PIECE + 1000}-" for pieces in (1, 3, 3))]


def test_an_interrupted_download_is_resumed_by_the_same_command(store: FakeStore, tmp_path: Path) -> None:
    broken(store, tmp_path, 2 * PIECE + 1)
    assert fetch(tmp_path).status == 0
    assert files(tmp_path) == {"big": CONTENT}
    [asked] = [fields for method, fields in store.asked if method == "GET"]
    assert asked["range"] == f"bytes={2 * PIECE + 1}-"
    assert asked["if-range"] == f'"{version(CONTENT)}"'


def test_the_download_of_a_changed_document_starts_again(store: FakeStore, tmp_path: Path) -> None:
    broken(store, tmp_path, 2 * PIECE + 1)
    store.documents["big"] = OTHER
    assert fetch(tmp_path).status == 0
    assert files(tmp_path) == {"big": OTHER}
    assert [fields.get("range") for method, fields in store.asked if method == "GET"] == [None]


def test_a_download_starts_again_when_the_document_changes_meanwhile(store: FakeStore, tmp_path: Path) -> None:
    def change() -> None:
        if len([1 for method, _ in store.asked if method == "GET"]) == 2:
            store.documents["big"] = OTHER

    store.cuts, store.before_get = [PIECE], change
    assert fetch(tmp_path).status == 0
    assert files(tmp_path) == {"big": OTHER}


def test_a_damaged_partial_file_is_detected_by_the_digest(store: FakeStore, tmp_path: Path) -> None:
    broken(store, tmp_path, PIECE)
    [part] = tmp_path.glob(".big*.part")
    part.write_bytes(b"x" * PIECE)
    result = fetch(tmp_path)
    assert (result.status, files(tmp_path)) == (3, {})
    assert fetch(tmp_path).status == 0


def test_content_that_does_not_match_its_digest_is_not_kept(store: FakeStore, tmp_path: Path) -> None:
    store.wrong_digest = True
    (tmp_path / "big").write_bytes(b"mine")
    result = fetch(tmp_path)
    assert result.status == 3
    assert "does not match the digest" in result.err
    assert files(tmp_path) == {"big": b"mine"}
    assert run("get", "big").status == 3, "on standard output too"


def test_the_download_of_a_deleted_document_leaves_no_partial_file(store: FakeStore, tmp_path: Path) -> None:
    broken(store, tmp_path, PIECE)
    del store.documents["big"]
    assert (fetch(tmp_path).status, files(tmp_path)) == (1, {})


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/docs/big", "big", "a//b"])
def test_a_download_of_nothing_leaves_no_partial_file(store: FakeStore, tmp_path: Path, address: str) -> None:
    store.cuts = [0] * (options.TRIES + 1)
    assert run("get", address, "-o", tmp_path / "big").status in (2, 3)
    assert files(tmp_path) == {}


def test_two_downloads_do_not_write_to_one_partial_file(store: FakeStore, tmp_path: Path) -> None:
    other: list[CommandResult] = []

    def meanwhile() -> None:
        store.before_get = lambda: None
        other.append(fetch(tmp_path))

    store.before_get = meanwhile
    result = fetch(tmp_path)
    assert (result.status, files(tmp_path)) == (0, {"big": CONTENT})
    assert (other[0].status, "another download" in other[0].err) == (3, True)


def test_a_file_name_of_maximal_length_is_downloaded_and_resumed(store: FakeStore, tmp_path: Path) -> None:
    store.documents["n" * 255] = CONTENT
    store.cuts = [1000, *[0] * options.TRIES]
    for status in (3, 0):
        assert run("get", "n" * 255, "-o", tmp_path).status == status
    assert files(tmp_path) == {"n" * 255: CONTENT}


def test_a_file_of_the_users_is_never_taken_for_a_partial_file(store: FakeStore, tmp_path: Path) -> None:
    mine = dict.fromkeys(("big.part", ".big.part", "big.etag"), b"precious")
    for name, content in mine.items():
        (tmp_path / name).write_bytes(content)
    store.cuts = [PIECE]
    assert fetch(tmp_path).status == 0
    assert files(tmp_path) == {**mine, "big": CONTENT}


@pytest.mark.parametrize("recursive", [False, True])
def test_no_other_process_opens_a_partial_file_until_it_has_moved(
    store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recursive: bool
) -> None:
    arguments = ["-r", f"{store.url}/docs/", "-o", str(tmp_path)] if recursive else ["big", "-o", str(tmp_path / "big")]
    others: list[subprocess.CompletedProcess[str]] = []
    replace = os.replace

    def compete(*paths: Any, **options: Any) -> None:
        command = [sys.executable, "-m", "docstore", "get", *arguments]
        others.append(subprocess.run(command, capture_output=True, text=True, timeout=60))
        replace(*paths, **options)

    monkeypatch.setattr(os, "replace", compete)
    assert run("get", *arguments).status == 0
    assert files(tmp_path) == {"big": CONTENT}
    [other] = others
    assert (other.returncode, "another download" in other.stderr) == (3, True)


HOSTILE = ["../out", "/etc/evil", "a/../../out", "..", "b//c", "x\0y", f"{PARTS}/x", "link/out", "file/under"]


def test_hostile_keys_write_nothing_outside_and_the_others_arrive(store: FakeStore, tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    (inside / "file").write_bytes(b"mine")
    store.documents = dict.fromkeys([*HOSTILE, "good", "deep/good", "é/☃", "-rf"], b"content")
    result = run("get", "-r", f"{store.url}/docs/", "-o", inside)
    assert result.status == 1
    assert list(outside.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside", "outside"]
    names = {"file", "good", "deep/good", "é/☃", "-rf"}
    assert {name for name in files(inside) if not name.startswith("link")} == names
    for key in HOSTILE:
        assert sum(line.startswith(f"docstore: {key!r}: ") for line in result.err.splitlines()) == 1, key
    assert not (inside / PARTS).exists()


def test_an_interrupted_folder_is_resumed_and_equal_files_are_skipped(store: FakeStore, tmp_path: Path) -> None:
    store.documents = {f"k{number}": os.urandom(10) for number in range(20)} | {"big": CONTENT}
    store.cuts = [1000, *[0] * 200]
    result = run("get", "-r", f"{store.url}/docs/", "-o", tmp_path)
    assert result.status == 3
    assert len(result.err.splitlines()) <= 2, "a server that is down is reported once"
    store.cuts.clear()
    assert run("get", "-r", f"{store.url}/docs/", "-o", tmp_path).status == 0
    assert files(tmp_path) == store.documents
    store.asked.clear()
    store.documents["k1"] = b"another"
    assert run("get", "-r", f"{store.url}/docs/", "-o", tmp_path).status == 0
    assert [method for method, _ in store.asked if method == "GET"] == ["GET"]
    assert files(tmp_path) == store.documents


def test_an_empty_document_is_downloaded(store: FakeStore, tmp_path: Path) -> None:
    store.documents["big"] = b""
    assert fetch(tmp_path).status == 0
    assert hashlib.sha256((tmp_path / "big").read_bytes()).hexdigest().startswith("e3b0c442")


def test_a_document_that_another_command_downloads_is_reported_and_the_others_arrive(
    store: FakeStore, tmp_path: Path
) -> None:
    store.documents = {"k00": CONTENT}
    others = {f"k{number:02}": b"content" for number in range(1, 30)}
    second: list[CommandResult] = []

    def meanwhile() -> None:
        store.before_get = lambda: None
        store.documents |= others
        second.append(run("get", "-qr", f"{store.url}/docs/", "-o", tmp_path))

    store.before_get = meanwhile
    first = run("get", "-r", f"{store.url}/docs/", "-o", tmp_path)
    assert (first.status, files(tmp_path)) == (0, store.documents)
    [result] = second
    assert result.status == 3
    assert result.err.startswith("docstore: 'k00': ")
    assert "another download" in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("name", ["missing/file", "missing/"])
def test_a_missing_folder_is_named(store: FakeStore, tmp_path: Path, name: str) -> None:
    result = run("get", "big", "-o", f"{tmp_path}/{name}")
    assert result.status == 3
    assert result.err == f"docstore: {tmp_path}/missing: no such folder; create it, or choose another with -o\n"
    assert list(tmp_path.iterdir()) == []
