"""Durable writes, errors and locks that the engines on disk share."""

import os
from pathlib import Path

import pytest

from docstore.engines.shared.fs import make_folder, write_all


def test_partial_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))
    with (tmp_path / "file").open("wb") as file:
        write_all(file.fileno(), b"eight of")
    assert (tmp_path / "file").read_bytes() == b"eight of"


def test_each_folder_is_synced_before_its_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def traced(descriptor: int) -> None:
        (synced,) = (path for path in standing() if os.path.samestat(path.stat(), os.fstat(descriptor)))
        trace.append((synced.name, standing()[-1].name))

    def standing() -> list[Path]:
        return [tmp_path, *sorted(tmp_path.rglob("*"))]

    trace: list[tuple[str, str]] = []
    monkeypatch.setattr(os, "fsync", traced)
    make_folder(tmp_path / "a" / "b" / "c")
    assert trace == [(tmp_path.name, "a"), ("a", "b"), ("b", "c")]
    make_folder(tmp_path / "a" / "b" / "c")
    assert len(trace) == 3


def test_others_may_make_and_remove_a_folder_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, is_dir, mkdir = tmp_path / "a", Path.is_dir, Path.mkdir
    attempts: list[str] = []

    def another_makes_it_after_this_look(path: Path) -> bool:
        found = is_dir(path)
        if path == folder and not found and not attempts:
            mkdir(path)
        return found

    def another_removes_it_after_this_attempt(path: Path) -> None:
        attempts.append(path.name)
        try:
            mkdir(path)
        except FileExistsError:
            path.rmdir()
            raise

    monkeypatch.setattr(Path, "is_dir", another_makes_it_after_this_look)
    monkeypatch.setattr(Path, "mkdir", another_removes_it_after_this_attempt)
    make_folder(folder / "b")
    assert is_dir(folder / "b")
    assert attempts == ["a", "a", "b"]


def test_a_link_to_nothing_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nothing")
    with pytest.raises(NotADirectoryError):
        make_folder(tmp_path / "link" / "a")


@pytest.mark.parametrize("below", ["file", "file/a", "file/a/b"])
def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught:
        make_folder(tmp_path / below)
    assert caught.value.filename == str(tmp_path / "file")
