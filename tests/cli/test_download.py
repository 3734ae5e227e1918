"""A folder of downloads with hostile keys: nothing outside it is ever written."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from docstore import Client, Info
from docstore.cli import download
from docstore.cli.download import PARTS, Folder, UnsafeKey, check_segments


class FakeClient:
    """Writes `content` where a client would download it."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def download(
        self, key: str, path: str, *, info: Info, progress: Callable[[int], None], dir_fd: int, partial_dir_fd: int
    ) -> None:
        with os.fdopen(os.open("part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, dir_fd=partial_dir_fd), "wb") as file:
            file.write(self.content)
        os.replace("part", path, src_dir_fd=partial_dir_fd, dst_dir_fd=dir_fd)


def write(folder: Folder, key: str, content: bytes = b"x") -> None:
    info = Info(key, "version", len(content))
    folder.download(cast(Client, FakeClient(content)), info, key, lambda _: None)


@pytest.mark.parametrize(
    "key",
    ["..", ".", "", "/etc/passwd", "a/../../b", "a//b", "a/", "a/.", "a\0b", f"{PARTS}/x", f"{PARTS.upper()}/x", PARTS],
)
def test_a_key_that_is_not_a_file_path_is_rejected(key: str) -> None:
    with pytest.raises(UnsafeKey):
        check_segments(key)


@pytest.mark.parametrize(
    "key",
    [
        "CON",
        "a/nul.txt",
        "com1",
        "LPT9.log",
        "aux .x",
        "C:",
        "C:/x",
        "a\\..\\b",
        "a:stream",
        "x.",
        "x ",
        "a?",
        "CONIN$",
    ],
)
def test_names_that_are_special_on_windows_are_rejected_there(key: str) -> None:
    with pytest.raises(UnsafeKey):
        check_segments(key, windows=True)
    assert check_segments(key, windows=False) == key.split("/")


@pytest.mark.parametrize("key", ["a/b/c", "...", "-rf", "a b", "é/☃", "~", "x" * 255, "$HOME", ".hidden"])
def test_any_other_key_is_a_file_of_that_name(tmp_path: Path, key: str) -> None:
    with Folder(tmp_path / "to") as folder:
        write(folder, key, b"content")
    assert (tmp_path / "to" / key).read_bytes() == b"content"
    assert not (tmp_path / "to" / PARTS).exists()


@pytest.mark.parametrize("there", ["a link to a folder", "a link to nowhere", "a file"])
def test_an_obstacle_in_the_place_of_a_folder_is_not_followed(tmp_path: Path, there: str) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "to"
    outside.mkdir()
    inside.mkdir()
    if there == "a file":
        (inside / "a").write_bytes(b"mine")
    else:
        (inside / "a").symlink_to(outside if "folder" in there else outside / "nowhere")
    with Folder(inside) as folder, pytest.raises(UnsafeKey, match="in the way"):
        write(folder, "a/b")
    assert list(outside.iterdir()) == []


def test_a_link_in_the_place_of_the_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, inside = tmp_path / "victim", tmp_path / "to"
    victim.write_bytes(b"precious")
    inside.mkdir()
    (inside / "a").symlink_to(victim)
    with Folder(inside) as folder:
        write(folder, "a")
    assert (victim.read_bytes(), (inside / "a").read_bytes()) == (b"precious", b"x")


def test_a_folder_in_the_place_of_the_file_stays(tmp_path: Path) -> None:
    with Folder(tmp_path) as folder:
        write(folder, "a/b")
        with pytest.raises(UnsafeKey, match="in the way"):
            write(folder, "a")
        assert (tmp_path / "a" / "b").read_bytes() == b"x"


def test_a_link_in_the_place_of_the_partial_files_is_not_followed(tmp_path: Path) -> None:
    inside = tmp_path / "to"
    inside.mkdir()
    (inside / PARTS).symlink_to(tmp_path)
    with pytest.raises(OSError, match=PARTS):
        Folder(inside)


def test_keys_that_the_disk_takes_for_one_file_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_ignores_case", lambda _: True)
    with Folder(tmp_path) as folder:
        for key in ("Readme", "e\u0301", "a/B", "ß"):
            folder.claim(key)
            folder.claim(key)
        for key in ("README", "\u00e9", "A/b", "SS"):
            with pytest.raises(UnsafeKey, match="the same file"):
                folder.claim(key)


def test_a_disk_that_distinguishes_case_is_detected(tmp_path: Path) -> None:
    with Folder(tmp_path) as folder:
        write(folder, "a", b"1")
        write(folder, "A", b"2")
        assert sorted(path.name for path in tmp_path.iterdir() if path.name != PARTS) == ["A", "a"]
        assert list((tmp_path / PARTS).iterdir()) == []


def test_a_file_is_removed_with_the_folders_that_it_leaves_empty(tmp_path: Path) -> None:
    with Folder(tmp_path / "to") as folder:
        write(folder, "a/b/c")
        write(folder, "a/d")
        folder.delete("a/b/c")
        assert sorted(path.name for path in (tmp_path / "to" / "a").iterdir()) == ["d"]
        with pytest.raises(UnsafeKey):
            folder.delete("../x")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "x").write_bytes(b"mine")
        (tmp_path / "to" / "link").symlink_to(tmp_path / "out")
        with pytest.raises(OSError, match=r"link|directory"):
            folder.delete("link/x")
        assert (tmp_path / "out" / "x").exists()
