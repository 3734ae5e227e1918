"""Opening a folder of the file engine: errors, the choice of the scheme, and leftovers of a crash."""

import asyncio
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from docstore.engines.file import File, open_file, opening
from docstore.engines.registry import EngineURL, open_engine
from docstore.errors import OpenError, SetupError
from tests.engines.file.stores import everything, files, fold, opened, own_files, put
from tests.leaks import no_leaks


def open_at(folder: Path) -> File:
    return open_file(EngineURL("file", str(folder)), time.time_ns)


def says(line: bytes) -> Callable[[Path], None]:
    """Make a store whose format file holds `line`."""

    def make(folder: Path) -> None:
        fold(folder / "store")
        (folder / "store" / ".docstore" / "format").write_bytes(line)

    return make


def takes(name: str) -> Callable[[Path], None]:
    """Make a file where a folder is needed."""

    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()

    return make


@pytest.mark.parametrize(
    ("make", "location", "message"),
    [
        (takes("store"), "store", "store: Not a directory"),
        (takes("file"), "file/store", "file: Not a directory"),
        (takes("store/.docstore"), "store", ".docstore: Not a directory"),
        (takes("other"), "/proc/store", "/proc/store: No such file"),
        (says(b"docstore file 2 plain\n"), "store", "format: written by a newer Docstore in format 2"),
        (says(b"docstore file 1 loud\n"), "store", "format: not written by Docstore"),
        (says(b"\xff\x00"), "store", "format: not written by Docstore"),
        (says(b""), "store", "format: not written by Docstore"),
    ],
)
def test_an_open_error_is_one_line(tmp_path: Path, make: Callable[[Path], None], location: str, message: str) -> None:
    make(tmp_path)
    with pytest.raises(OpenError, match=message) as caught:
        open_at(tmp_path / location)
    assert "\n" not in str(caught.value)


def test_a_path_is_required() -> None:
    with pytest.raises(OpenError, match="needs the path of a folder"):
        open_file(EngineURL.parse("file:"), time.time_ns)


def test_a_folder_without_write_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The superuser may write anywhere, so the test sets the system's answer.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(OpenError, match=f"{tmp_path}: Permission denied"):
        open_at(tmp_path)


def test_a_system_without_openat_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "supports_dir_fd", set())
    with pytest.raises(OpenError, match="sqlite: works on every system"):
        open_at(tmp_path)


def test_a_failed_open_leaves_no_open_descriptors(tmp_path: Path) -> None:
    says(b"docstore file 2 plain\n")(tmp_path)
    with no_leaks(), pytest.raises(OpenError):
        open_at(tmp_path / "store")


def test_a_relative_path_does_not_follow_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def store() -> None:
        async with opened(Path("deep/store")) as engine:
            monkeypatch.chdir("/")
            for size in (9, 100_000):
                await put(engine, f"{size}", bytes(size))
            assert len(await everything(engine)) == 2

    monkeypatch.chdir(tmp_path)
    asyncio.run(store())
    assert list(files(tmp_path / "deep/store")) == ["100000", "9"]


def test_leftovers_of_a_crash_are_removed_when_the_folder_is_opened_alone(tmp_path: Path) -> None:
    async def open_twice() -> None:
        async with opened(tmp_path):
            (tmp_path / ".docstore" / "tmp" / "in progress").touch()
            async with opened(tmp_path):
                assert own_files(tmp_path, "tmp") == ["in progress"]

    asyncio.run(open_twice())
    open_again = open_at(tmp_path)
    assert own_files(tmp_path, "tmp") == []
    asyncio.run(open_again.close())


def test_an_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no option 'x'"):
        open_engine(EngineURL("file", str(tmp_path), {"x": "y"}))
    assert list(tmp_path.iterdir()) == []


def test_names_are_folded_where_the_file_system_folds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def store() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "README", b"one")
            await put(engine, "readme", b"two")
            assert len(await everything(engine)) == 2

    monkeypatch.setattr(opening, "_keeps_names", lambda folder: False)
    asyncio.run(store())
    monkeypatch.undo()
    asyncio.run(store())  # the scheme stays, though this file system keeps names
    assert files(tmp_path) == {"%52%45%41%44%4d%45": b"one", "readme": b"two"}


@pytest.mark.parametrize("refusal", [errno.EINVAL, errno.EILSEQ])
def test_a_file_system_that_refuses_names_gets_folded_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    def touch(path: Path, **_: object) -> None:
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(Path, "touch", touch)
    asyncio.run(open_at(tmp_path).close())
    assert (tmp_path / ".docstore" / "format").read_text() == "docstore file 1 folded\n"


def test_plain_names_moved_to_a_file_system_that_folds_them_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(open_at(tmp_path).close())
    monkeypatch.setattr(Path, "exists", lambda path: True)
    with pytest.raises(OpenError, match="distinguishes all names"):
        open_at(tmp_path)
