"""The media type of documents that are stored without one, by every way into a store."""

import asyncio
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import docstore
from docstore import Client
from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.model import Fields
from tests.http_client import ask
from tests.in_process import Chunked, InProcess, NeverRead, on_a_store
from tests.server_process import MOUNTS, RunningServer

BYTES, TEXT, JSON = "application/octet-stream", "text/plain; charset=utf-8", "application/json"
LARGE = 100_000

UPLOADS: dict[str, tuple[str, bytes, str]] = {
    # key, content, media type
    "text": ("text", b"x\n", TEXT),
    "JSON": ("json", b'{"a":1}', JSON),
    "bytes": ("bytes", b"\0\1", BYTES),
    "nothing": ("nothing", b"", BYTES),
    "a name": ("a/page.html", b"<p>hi", "text/html; charset=utf-8"),
    "a picture": ("picture", b"\x89PNG\r\n\x1a\n" + bytes(LARGE), "image/png"),
    "long text": ("long", b"x" * LARGE, TEXT),
    "long JSON": ("long-json", json.dumps([1] * LARGE).encode(), TEXT),
    "long bytes with a name": ("long.csv", b"\xff" * LARGE, "text/csv"),
    "a late control character": ("late", b"x" * LARGE + b"\0", TEXT),
}
each_upload = pytest.mark.parametrize(("key", "content", "media_type"), UPLOADS.values(), ids=UPLOADS.keys())
each_mount = pytest.mark.parametrize("mount", MOUNTS)


def chunks(content: bytes, size: int) -> Chunked:
    return Chunked([content[start : start + size] for start in range(0, len(content), size)])


class Sized:
    """A body of known size, in pieces."""

    def __init__(self, content: bytes) -> None:
        self.size = len(content)
        self._chunks = chunks(content, 1000)

    def __aiter__(self):  # type: ignore[no-untyped-def]
        return aiter(self._chunks)


@each_upload
@each_mount
@on_a_store(keys="path")
async def test_a_type_is_guessed_however_the_content_arrives(
    store: InProcess, mount: str, key: str, content: bytes, media_type: str
) -> None:
    path = f"/{mount}/{key}"
    for method, body in [
        ("PUT", content),
        ("PUT", chunks(content, 1)) if len(content) < LARGE else ("PUT", chunks(content, 5000)),
        ("POST", chunks(content, 70_000)),
        ("PUT", Sized(content)),
    ]:
        written = await store.send(method, path, body)
        assert written.status in (200, 201)
        stored = await store.send("GET", path)
        assert (stored["content-type"], stored.content) == (media_type, content)
        assert stored["etag"] == written["etag"]
        assert (await store.send("PUT", path, content, {"content-type": media_type}))["etag"] == stored["etag"]


@each_mount
@on_a_store(keys="path")
async def test_a_type_that_is_sent_is_stored_as_it_is(store: InProcess, mount: str) -> None:
    path = f"/{mount}/page.html"
    for media_type in (BYTES, "application/x-www-form-urlencoded", "Text/HTML;Charset=latin1", "multipart/form-data"):
        await store.prepare("PUT", path, b'{"a":1}', {"content-type": media_type})
        assert (await store.send("GET", path))["content-type"] == media_type


@on_a_store("memory", guess_type=False)
async def test_a_mount_may_guess_nothing(store: InProcess) -> None:
    await store.prepare("PUT", "/memory/key", b"text")
    assert (await store.send("GET", "/memory/key"))["content-type"] == BYTES
    location = (await store.send("POST", "/memory/", b"text"))["location"]
    assert (await store.send("GET", location))["content-type"] == BYTES


@each_mount
@on_a_store()
async def test_a_new_key_has_a_guessed_type_too(store: InProcess, mount: str) -> None:
    for method in ("POST", "PUT"):
        location = (await store.send(method, f"/{mount}/", b'{"a":1}'))["location"]
        assert (await store.send("GET", location))["content-type"] == JSON


@on_a_store("memory", keys="path")
async def test_coded_content_has_the_type_of_its_key(store: InProcess) -> None:
    coded = {"content-encoding": "gzip"}
    for key, media_type in (("page.html", "text/html"), ("key", BYTES)):
        await store.prepare("PUT", f"/memory/{key}", gzip.compress(b"<p>"), coded)
        assert (await store.send("GET", f"/memory/{key}"))["content-type"] == media_type


@on_a_store("memory")
async def test_a_patch_keeps_the_type(store: InProcess) -> None:
    await store.prepare("PUT", "/memory/key", b'{"a":1}', {"content-type": BYTES})
    patched = await store.send("PATCH", "/memory/key", b'{"a":2}', {"content-type": "application/merge-patch+json"})
    assert patched.status == 200
    assert (await store.send("GET", "/memory/key"))["content-type"] == BYTES


@on_a_store("memory")
async def test_fields_that_leave_no_space_for_a_guessed_type_are_too_large(store: InProcess) -> None:
    """Otherwise an import would reject what a write has stored."""
    answer = await store.send("PUT", "/memory/key", b"x", {"meta-a": "x" * (8192 - len("content-typemeta-a" + TEXT))})
    assert answer.status == 431


@on_a_store("memory")
async def test_a_form_with_files_is_rejected_with_the_right_command(store: InProcess) -> None:
    form = {"content-type": "Multipart/Form-Data; boundary=x"}
    for path in ("/memory/key", "/memory/"):
        reply = await store.send("POST", path, NeverRead(9), form)
        assert reply.status == 415
        assert b"curl -T FILE" in reply.content
    assert (await store.send("GET", "/memory/?format=text")).content == b""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for key, content, _ in UPLOADS.values():
        (folder / key).parent.mkdir(exist_ok=True)
        (folder / key).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    mounts = ("--mount", "docs=memory:?keys=path", "--mount", "raw=memory:?keys=path&guess_type=no")
    with RunningServer(tmp_path_factory.mktemp("data"), *mounts) as running:
        yield running


def command(*arguments: str | Path, content: bytes = b"") -> None:
    command = [sys.executable, "-m", "docstore", *map(str, arguments)]
    ended = subprocess.run(command, input=content, capture_output=True, timeout=60)
    assert ended.returncode == 0, ended


EXPECTED = {key: media_type for key, _, media_type in UPLOADS.values()}


def types_in(docs: Client) -> dict[str, str]:
    return {info.key: info.type for info in docs.documents()}


def test_curl_the_command_and_the_library_get_the_same_types(paths: RunningServer, files: Path, tmp_path: Path) -> None:
    with Client(f"{paths.url}/docs/") as docs:
        for key in EXPECTED:
            curl = ["curl", "-sS", "-f", "-T", str(files / key), f"{paths.url}/docs/{key}"]
            subprocess.run(curl, check=True, capture_output=True, timeout=60)
        assert types_in(docs) == EXPECTED
        docs.clear()
        command("put", "-r", f"{paths.url}/docs/", files)
        assert types_in(docs) == EXPECTED
        docs.clear()
        for key in EXPECTED:
            with (files / key).open("rb") as stream:
                docs.put(key, iter(lambda: stream.read(30_000), b""), digest=True)
        assert types_in(docs) == EXPECTED
        docs.put("text", "a text")
        assert docs.info("text").type == TEXT
    with docstore.open(f"sqlite:{tmp_path}/docs.db", create=True) as local:
        for key in EXPECTED:
            local.put(key, files / key, digest=True)
        assert types_in(local) == EXPECTED
    with docstore.open(f"file:{files}?keys=path") as folder:
        assert types_in(folder) == EXPECTED


def test_the_command_stores_standard_input_as_text_unless_a_type_is_given(paths: RunningServer) -> None:
    with Client(f"{paths.url}/docs/") as docs:
        command("put", f"{paths.url}/docs/x", content=b"x\n")
        assert docs.info("x").type == TEXT
        command("put", f"{paths.url}/docs/x", "--type", BYTES, content=b"x\n")
        assert docs.info("x").type == BYTES
        docs.update("x", lambda content: "other text")
        assert docs.info("x").type == BYTES
    command("put", f"{paths.url}/raw/x", content=b"x\n")
    assert ask(paths, "GET", "/raw/x")["Content-Type"] == BYTES


@pytest.mark.parametrize("stored", [BYTES, "multipart/form-data; boundary=x", "text/plain"])
def test_copies_keep_the_stored_type(paths: RunningServer, tmp_path: Path, stored: str) -> None:
    async def store() -> str:
        engine = open_engine(EngineURL.parse(f"sqlite:{tmp_path}/old.db"))
        written = await engine.put(PutRequest("page.html", BytesContent(b"<p>"), Fields(stored)))
        await engine.close()
        return written.meta.version

    version = asyncio.run(store())
    old = f"sqlite:{tmp_path}/old.db"
    for name in ("tar", "ndjson"):
        command("export", old, tmp_path / name, "--format", name)
        command("import", f"file:{tmp_path}/{name}.d", tmp_path / name)
    command("cp", "-r", old, f"file:{tmp_path}/copy.d")
    command("cp", "-r", old, f"{paths.url}/docs/copied/")
    with Client(f"{paths.url}/docs/") as docs:
        info = docs.info("copied/page.html")
        assert (info.version, info.type) == (version, stored)
    for name in ("tar", "ndjson", "copy"):
        with docstore.open(f"file:{tmp_path}/{name}.d?keys=path") as docs:
            info = docs.info("page.html")
            assert (info.version, info.type) == (version, stored)
