"""`docstore://` for fsspec: paths with host and collection, or keys in the collection of `url`."""

import gzip
import io
import pickle
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from fsspec.callbacks import Callback
from upath import UPath

from docstore import Client, InvalidKey, OpenError
from docstore.client.filesystem import DocstoreFileSystem
from tests.server_process import RunningServer

FILES = {"a": b"0123456789", "folder/b": b"b", "folder/c/d e?é": b"d", "folderx": b""}
Join = Callable[[str], str]


@pytest.fixture(params=["host", "url", "engine"])
def opened(
    request: pytest.FixtureRequest, server: RunningServer, tmp_path: Path
) -> tuple[DocstoreFileSystem, Join, Client]:
    """A file system with FILES, a function that makes the path of a key, and the collection."""
    if request.param == "engine":
        url = f"sqlite:{tmp_path}/docs.db?keys=path"
        fs, base = DocstoreFileSystem(url, create=True, skip_instance_cache=True), ""
    else:
        url = f"{server.url}/docs/"
        base = url.removeprefix("http://") if request.param == "host" else ""
        fs = DocstoreFileSystem(*([] if base else [url]), skip_instance_cache=True)
    docs = Client(url, create=True)
    docs.clear()
    docs.put_many(FILES)
    return fs, lambda key: (base + key).rstrip("/"), docs


def test_folders_are_listed(opened: tuple[DocstoreFileSystem, Join, Client]) -> None:
    fs, path, docs = opened
    assert fs.ls(path(""), detail=False) == [path("folder"), path("a"), path("folderx")]
    assert fs.ls(path("folder/"), detail=False) == [path("folder/c"), path("folder/b")]
    assert fs.ls(path("a"))[0]["size"] == 10
    assert fs.find(path("")) == [path(key) for key in FILES]
    assert fs.find(path("folder")) == [path("folder/b"), path("folder/c/d e?é")]
    assert fs.find(path("a")) == [path("a")]
    assert fs.find(path(""), withdirs=True, maxdepth=1) == sorted(
        path(key) for key in ("", "a", "folder", "folderx") if path(key)
    )
    assert fs.glob(path("folder/*")) == [path("folder/b"), path("folder/c")]
    assert fs.glob(path("**/d*")) == [path("folder/c/d e?é")]
    assert fs.du(path("")) == 12
    assert [len(files) for _, _, files in fs.walk(path(""))] == [2, 1, 1]
    for missing in ("folde", "missing/", "a/b"):
        with pytest.raises(FileNotFoundError):
            fs.ls(path(missing))
    assert fs.ls(path("a"))[0]["ETag"] == docs.info("a").etag


def test_what_a_path_is(opened: tuple[DocstoreFileSystem, Join, Client]) -> None:
    fs, path, docs = opened
    info = fs.info(path("folder/b"))
    assert (info["name"], info["size"], info["type"]) == (path("folder/b"), 1, "file")
    assert fs.info(path("folder"))["type"] == "directory"
    assert (fs.isfile(path("a")), fs.isdir(path("a")), fs.isdir(path("folder")), fs.isdir(path(""))) == (
        *(True, False, True, True),
    )
    assert fs.exists(path("folder/c")) is True
    assert fs.exists(path("folder/z")) is False
    assert fs.exists(path("..")) is False
    assert fs.modified(path("a")) == docs.info("a").modified
    assert fs.size(path("a")) == 10


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (None, None),
        (0, 3),
        (2, None),
        (None, 4),
        (-3, None),
        (-3, -1),
        (2, -2),
        (5, 2),
        (8, 99),
        (10, None),
        (99, None),
    ],
)
def test_parts_are_slices(opened: tuple[DocstoreFileSystem, Join, Client], start: int | None, end: int | None) -> None:
    fs, path, _ = opened
    assert fs.cat_file(path("a"), start, end) == FILES["a"][start:end]
    assert fs.cat_ranges([path("a")], [start], [end], on_error="raise") == [FILES["a"][start:end]]
    if (start, end) != (5, 2):
        with pytest.raises(FileNotFoundError):
            fs.cat_file(path("missing"), start, end)


def test_documents_are_written_copied_and_removed(
    opened: tuple[DocstoreFileSystem, Join, Client], tmp_path: Path
) -> None:
    fs, path, docs = opened
    with fs.open(path("new/a"), "wb", type="text/x") as file:
        file.write(b"1")
    assert (docs["new/a"], docs.info("new/a").type) == (b"1", "text/x")
    with pytest.raises(ZeroDivisionError), fs.open(path("new/b"), "wb") as file:
        file.write(b"%d" % (1 // 0))
    assert "new/b" not in docs
    with fs.open(path("text"), "w", encoding="utf-8") as text:
        text.write("é")
    with fs.open(path("text"), "rt", encoding="utf-8") as text:
        assert text.read() == "é"
    with pytest.raises(ZeroDivisionError), fs.open(path("new/b"), "w") as text:
        text.write("x" * (text.write("half") // 0))
    assert "new/b" not in docs
    with pytest.raises(io.UnsupportedOperation, match="closes both"):
        fs.open(path("gz"), "wb", compression="gzip")
    docs["gz"] = gzip.compress(b"small")
    with fs.open(path("gz"), compression="gzip") as file:
        assert file.read() == b"small"
    fs.pipe({path("p1"): b"1", path("p2"): b"2"})
    assert fs.cat([path("p1"), path("p2")]) == {path("p1"): b"1", path("p2"): b"2"}
    with pytest.raises(FileExistsError):
        fs.pipe_file(path("p1"), b"2", mode="create")
    fs.touch(path("p1"), truncate=False)
    assert docs["p1"] == b"1"
    fs.cp(path("p1"), path("p3"))
    fs.mv(path("p3"), path("p2"))
    assert (docs["p2"], "p3" in docs) == (b"1", False)
    fs.cp(path("folder"), path("copied"), recursive=True)
    assert [*docs.items()][1:3] == [("copied/b", b"b"), ("copied/c/d e?é", b"d")]
    fs.rm(path("p1"))
    fs.rm([path("folder"), path("copied")], recursive=True)
    fs.rm(path("gz"), recursive=True)
    assert [*docs] == ["a", "folderx", "new/a", "p2", "text"]
    for refused in (
        lambda: fs.rm(path("missing")),
        lambda: fs.rm_file(path("new")),
        lambda: fs.cp_file(path("x"), path("y")),
    ):
        with pytest.raises(FileNotFoundError):
            refused()
    with pytest.raises(InvalidKey):
        fs.pipe_file(path("a/../../b"), b"")
    with pytest.raises(io.UnsupportedOperation), fs.transaction:
        fs.open(path("a"), "wb")


def test_folders_are_uploaded_and_downloaded(opened: tuple[DocstoreFileSystem, Join, Client], tmp_path: Path) -> None:
    fs, path, docs = opened
    fs.get(path("folder"), str(tmp_path / "down"), recursive=True)
    assert (tmp_path / "down/c/d e?é").read_bytes() == b"d"
    callback = Callback()
    fs.put_file(str(tmp_path / "down/b"), path("up/b"), callback)
    assert (callback.size, callback.value, docs["up/b"]) == (1, 1, b"b")
    callback = Callback()
    fs.get_file(path("a"), str(tmp_path / "more/a"), callback)
    assert (callback.size, callback.value, (tmp_path / "more/a").read_bytes()) == (10, 10, FILES["a"])
    fs.put(str(tmp_path / "down"), path("up2"), recursive=True)
    assert docs["up2/c/d e?é"] == b"d"
    received = io.BytesIO()
    fs.get_file(path("a"), received)
    assert received.getvalue() == FILES["a"]


def test_a_file_system_is_found_by_its_protocol_and_pickles(server: RunningServer) -> None:
    base = f"docstore://{server.url.removeprefix('http://')}/docs"
    with fsspec.open(f"{base}/x/a", "wb") as file:
        file.write(b"content")
    with fsspec.open(f"{base}/x/b.gz", "wt", compression="infer") as text:
        text.write("packed")
    with fsspec.open(f"{base}/x/b.gz", "rt", compression="infer") as text:
        assert text.read() == "packed"
    with fsspec.open(f"{base}/x/a") as file:
        assert file.read() == b"content"
    fs, path = fsspec.url_to_fs("docstore://x/a", collection=f"{server.url}/docs/", timeout_s=9)
    assert (path, fs.cat("docstore://x/a"), fs._find("")[0]._options) == ("x/a", b"content", {"timeout_s": 9})
    assert pickle.loads(pickle.dumps(fs)).cat(path) == b"content"
    assert DocstoreFileSystem(https=True)._find("h/docs/a/b")[0]._url == "https://h/docs/"
    with pytest.raises(ValueError, match="names no collection"):
        DocstoreFileSystem().ls("127.0.0.1:8080")


def test_an_engine_is_only_created_on_demand(tmp_path: Path) -> None:
    with pytest.raises(OpenError, match="no such store"):
        DocstoreFileSystem(f"sqlite:{tmp_path}/none.db").ls("")


def test_paths_of_universal_pathlib(server: RunningServer) -> None:
    path = UPath(f"docstore://{server.url.removeprefix('http://')}/docs/upath") / "folder" / "a.txt"
    path.write_text("hello")
    assert path.read_text() == "hello"
    assert [each.name for each in path.parent.iterdir()] == ["a.txt"]
    assert (path.exists(), path.is_file(), path.parent.is_dir(), path.suffix) == (True, True, True, ".txt")
    assert path.stat().st_size == 5
    path.unlink()
    assert not path.exists()
