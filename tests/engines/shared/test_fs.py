"""Durable writes, errors and locks that the engines on disk share."""

import os
from pathlib import Path

import pytest

from docstore.engines.shared.fs import make_folder, write_all


def test_all_is_written_however_little_the_system_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))
    with (tmp_path / "file").open("wb") as file:
        write_all(file.fileno(), b"eight of")
    assert (tmp_path / "file").read_bytes() == b"eight of"


def test_each_folder_is_on_the_disk_before_the_one_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize("below", ["file", "file/a", "file/a/b"])
def test_a_file_in_the_way_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught:
        make_folder(tmp_path / below)
    assert caught.value.filename == str(tmp_path / "file")
