"""Downloads: a listing as one zip or tar, from each engine, complete or visibly broken off."""

import http.client
import io
import os
import shutil
import subprocess
import tarfile
import urllib.parse
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from docstore.export.tar import END_NAME
from tests.http_client import ask, prepare
from tests.in_process import InProcess, on_a_store
from tests.server.test_memory import ALLOWED, peak_memory, read
from tests.server_process import MOUNTS, RunningServer
from tests.stores import prepare as run_command

each_mount = pytest.mark.parametrize("mount", MOUNTS)
each_format = pytest.mark.parametrize("format", ["zip", "tar"])
KEYS = ["a", "b/1", "b/c/2", "b/c/é", "b-", "large"]
CONTENTS = {key: key.encode() for key in KEYS} | {"large": os.urandom(700_000)}


def unpacked(archive: bytes, format: str) -> dict[str, bytes]:
    """Return the files of an archive, without the end mark of a tar. Raise an error if it is incomplete."""
    if format == "zip":
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            return {name: opened.read(name) for name in opened.namelist()}
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened_tar:
        files = {}
        for member in opened_tar:
            file = opened_tar.extractfile(member)
            assert file is not None
            files[member.name] = file.read()
    assert files.pop(END_NAME) == b""
    return files


def below(prefix: str, skipped: str = "") -> dict[str, bytes]:
    return {key.removeprefix(skipped): CONTENTS[key] for key in KEYS if key.startswith(prefix)}


async def fill(store: InProcess, mount: str) -> None:
    for key, content in CONTENTS.items():
        await store.prepare("PUT", f"/{mount}/{urllib.parse.quote(key)}", content)


@each_format
@each_mount
@on_a_store(keys="path")
async def test_a_collection_a_prefix_a_folder_and_a_selection(store: InProcess, mount: str, format: str) -> None:
    if mount == "file":
        await store.prepare("DELETE", f"/{mount}/b")
    await fill(store, mount)
    selected = urllib.parse.quote("b/c/\na\nb/c/2")
    for query, expected in {
        "": CONTENTS,
        "prefix=b/": below("b/"),
        "prefix=nothing": {},
        "delimiter=/": CONTENTS,
        f"keys={selected}": {"a": b"a", **below("b/c/")},
    }.items():
        reply = await store.send("GET", f"/{mount}/?format={format}&{query}")
        assert unpacked(reply.content, format) == expected, query
        assert reply["content-disposition"] == f'attachment; filename="{mount}.{format}"'
        assert reply["content-type"] == {"zip": "application/zip", "tar": "application/x-tar"}[format]
    folder = await store.send("GET", f"/{mount}/b/c/?format={format}")
    assert unpacked(folder.content, format) == below("b/c/", "b/c/")
    assert folder["content-disposition"] == f'attachment; filename="c.{format}"'
    one = await store.send("GET", f"/{mount}/b/?format={format}&keys=c/2")
    assert unpacked(one.content, format) == {"c/2": b"b/c/2"}
    accepted = await store.send("GET", f"/{mount}/", headers={"accept": reply["content-type"]})
    assert accepted["content-type"] == reply["content-type"]
    head = await store.send("HEAD", f"/{mount}/?format={format}")
    assert (head.status, head.content, head["content-type"]) == (200, b"", reply["content-type"])


@on_a_store("docs", keys="path")
async def test_an_invalid_download_is_refused_before_it_starts(store: InProcess) -> None:
    await fill(store, "docs")
    for query, status, detail in (
        ("format=zip&limit=5", 400, "omit limit and after"),
        ("format=tar&after=a", 400, "omit limit and after"),
        ("format=zip&keys=a&prefix=b", 400, "either keys or prefix"),
        ("format=json&keys=a", 400, "keys is for format=zip"),
        ("format=zip&keys=a%0Anot-there", 404, "not-there"),
        ("format=zip&keys=nowhere/", 404, "nowhere/"),
        ("format=zip&keys=..", 404, ".."),
        ("format=zip&keys=" + "a%0A" * 1001, 400, "more than 1000"),
    ):
        reply = await store.send("GET", f"/docs/?{query}")
        assert (reply.status, detail in reply.content.decode()) == (status, True), (query[:50], reply)
    assert (await store.send("GET", "/docs/nowhere/?format=zip")).status == 404


@on_a_store("memory", keys="path")
async def test_the_file_is_named_as_the_folder(store: InProcess) -> None:
    for folder, name in (
        ("a b", 'filename="a b.zip"'),
        ("é", "filename=\"_.zip\"; filename*=UTF-8''%C3%A9.zip"),
        ('a"b\\c', "filename=\"a_b_c.zip\"; filename*=UTF-8''a%22b_c.zip"),
    ):
        await store.prepare("PUT", f"/memory/{urllib.parse.quote(folder)}/x", b"1")
        reply = await store.send("GET", f"/memory/{urllib.parse.quote(folder)}/?format=zip")
        assert reply["content-disposition"] == f"attachment; {name}"


@on_a_store("docs", keys="path")
async def test_names_cannot_leave_the_folder_and_a_tar_keeps_the_keys(store: InProcess) -> None:
    keys = ["..\\..\\evil", "C:/evil", "\\\\host\\evil", "a\\b", "a%5Cb", f"{END_NAME}/x"]
    for key in keys:
        await store.prepare("PUT", f"/docs/{urllib.parse.quote(key)}", key.encode())
    for format in ("zip", "tar"):
        content = (await store.send("GET", f"/docs/?format={format}")).content
        if format == "zip":
            names = list(unpacked(content, "zip"))
        else:
            with tarfile.open(fileobj=io.BytesIO(content)) as opened:
                names = opened.getnames()[:-1]
        assert len(set(names)) == len(keys)
        assert not [name for name in names if "\\" in name or ":" in name or name.startswith("/")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("downloads")
    with RunningServer(
        folder / "data", "--mount", f"site=file:{folder}/site", "--mount", f"docs=sqlite:{folder}/docs.db"
    ) as running:
        for mount in ("docs", "site"):
            for key, content in CONTENTS.items():
                if (mount, key) != ("site", "b"):
                    prepare(running, "PUT", f"/{mount}/{urllib.parse.quote(key)}", content)
        yield running


@each_format
@pytest.mark.parametrize("mount", ["docs", "site"])
def test_programs_unpack_a_download(server: RunningServer, tmp_path: Path, mount: str, format: str) -> None:
    answer = ask(server, "GET", f"/{mount}/b/?format={format}")
    assert (answer.status, answer["transfer-encoding"]) == (200, "chunked")
    (tmp_path / "b").write_bytes(answer.content)
    (tmp_path / "out").mkdir()
    command = {"zip": ["unzip", "-q", "../b"], "tar": ["tar", "xf", "../b"]}[format]
    if shutil.which(command[0]) is None:
        assert unpacked(answer.content, format) == below("b/", "b/")
        return
    subprocess.run(command, cwd=tmp_path / "out", check=True, capture_output=True)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != END_NAME]
    found = {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in files}
    assert found == below("b/", "b/")


def test_a_tar_can_be_imported(server: RunningServer, tmp_path: Path) -> None:
    prepare(server, "PUT", "/docs/b/typed", b"1", {"content-type": "text/x-own", "meta-author": "Ann"})
    (tmp_path / "b.tar").write_bytes(ask(server, "GET", "/docs/b/?format=tar").content)
    assert ask(server, "DELETE", "/docs/b/typed").status == 200
    run_command("import", f"sqlite:{tmp_path}/copy.db", tmp_path / "b.tar")
    copied = run_command("info", f"sqlite:{tmp_path}/copy.db#b/typed")
    assert "text/x-own" in copied.out
    assert "Ann" in copied.out


@each_format
def test_a_failure_in_the_middle_does_not_look_complete(tmp_path: Path, format: str) -> None:
    """A content file is damaged behind the server's back; the documents before it are complete."""
    with RunningServer(tmp_path / "data", "--mount", f"site=file:{tmp_path}/site") as server:
        for key in ("a", "b", "c"):
            prepare(server, "PUT", f"/site/{key}", os.urandom(600_000))
        stamps = (tmp_path / "site" / "b").stat()
        (tmp_path / "site" / "b").write_bytes(bytes(600_000))
        os.utime(tmp_path / "site" / "b", ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
        connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        connection.request("GET", f"/site/?format={format}")
        response = connection.getresponse()
        assert response.status == 200
        with pytest.raises(http.client.IncompleteRead) as raised:
            response.read()
        connection.close()
        with pytest.raises((zipfile.BadZipFile, KeyError, tarfile.ReadError)):
            unpacked(raised.value.partial, format)
        assert ask(server, "GET", "/site/a").status == 200


@each_format
def test_a_download_takes_constant_memory(tmp_path: Path, format: str) -> None:
    with RunningServer(tmp_path / "data", "--mount", f"docs=sqlite:{tmp_path}/docs.db") as server:
        piece = os.urandom(1024 * 1024)
        prepare(server, "PUT", "/docs/small", piece)
        read(server, f"/docs/?format={format}")
        before = peak_memory(server)
        for number in range(2):
            prepare(
                server, "PUT", f"/docs/large-{number}", (piece for _ in range(80)), {"content-length": str(80 << 20)}
            )
        size, _ = read(server, f"/docs/?format={format}")
        assert size > 160 << 20
        assert peak_memory(server) - before < ALLOWED
