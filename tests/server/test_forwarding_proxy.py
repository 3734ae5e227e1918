"""A proxy that adds a Cache-Control to every request, as squid does, between real clients and a real server."""

import asyncio
import hashlib
import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import docstore
from docstore import Client
from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.model import Fields, version_of
from tests.http_client import ask, prepare
from tests.server_process import RunningServer

ADDED = "max-age=259200"
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


class ForwardingHandler(BaseHTTPRequestHandler):
    """Forwards each request to `server.target`, with a Cache-Control."""

    protocol_version = "HTTP/1.1"

    def _forward(self) -> None:
        target = self.server.target  # type: ignore[attr-defined]
        fields = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        given = self.headers.get("Cache-Control")
        fields["Cache-Control"] = ADDED if given is None else f"{given}, {ADDED}"
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = http.client.HTTPConnection(target.host, target.port, timeout=60)
        connection.request(self.command, self.path, body, fields)
        response = connection.getresponse()
        content = response.read()
        self.send_response_only(response.status)
        for name, value in response.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", response.headers["Content-Length"] or str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[str]:
    """The URL of a proxy in front of `server`."""
    forwarding = ThreadingHTTPServer(("127.0.0.1", 0), ForwardingHandler)
    forwarding.target = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=forwarding.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{forwarding.server_address[1]}"
    forwarding.shutdown()
    thread.join()
    forwarding.server_close()


def stored_fields(server: RunningServer, key: str) -> dict[str, str]:
    [document] = json.loads(ask(server, "GET", f"/docs/?format=json&prefix={key}").content)["documents"]
    found: dict[str, str] = document.get("fields", {})
    return found


def test_the_cache_control_of_a_request_is_not_stored(server: RunningServer, proxy: str) -> None:
    with Client(f"{proxy}/docs/") as docs:
        docs.put("plain", b"1", meta={"a": "b"})
        docs.add(b"2")
        assert docs.get("plain").info.fields == {}
    assert stored_fields(server, "plain") == {"meta-a": "b"}
    assert ask(server, "GET", "/docs/plain")["Cache-Control"] == "no-cache"


def test_the_field_of_docstore_is_stored_as_it_was_sent(server: RunningServer, proxy: str) -> None:
    with Client(f"{proxy}/docs/") as docs:
        for name in ("Cache-Control", "Docstore-Cache-Control", "cache-control"):
            docs.put("cached", name, fields={name: "public, max-age=60"})
            assert docs.info("cached").fields == {"cache-control": "public, max-age=60"}
        docs.update("cached", lambda content: content or b"")
    assert stored_fields(server, "cached") == {"cache-control": "public, max-age=60"}


def test_the_command_sends_and_copies_the_field(server: RunningServer, proxy: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    command("put", f"{proxy}/docs/from-command", tmp_path / "file", "--cache-control", "max-age=7")
    command("cp", f"{proxy}/docs/from-command", f"{proxy}/memory/copied")
    command("cp", "-r", f"{proxy}/docs/from-command", f"sqlite:{tmp_path}/copy.db")
    with docstore.open(f"sqlite:{tmp_path}/copy.db") as copy, Client(f"{server.url}/memory/") as memory:
        assert copy.info("from-command").fields == memory.info("copied").fields == {"cache-control": "max-age=7"}
        assert copy.info("from-command").version == memory.info("copied").version


def test_a_mount_has_a_default(tmp_path: Path) -> None:
    with RunningServer(tmp_path, "--mount", "cached=memory:?cache_control=max-age%3D60,public") as cached:
        prepare(cached, "PUT", "/cached/key", b"x")
        assert ask(cached, "GET", "/cached/key")["Cache-Control"] == "max-age=60, public"
        with Client(f"{cached.url}/cached/") as docs:
            assert docs.info("key").fields == {}


def test_a_store_with_the_field_is_read_copied_exported_and_imported(tmp_path: Path) -> None:
    """As servers stored it from the Cache-Control of requests."""
    fields = Fields.make("text/plain", {"cache-control": "max-age=5"})

    async def store() -> str:
        engine = open_engine(EngineURL.parse(f"file:{tmp_path}/old"))
        written = await engine.put(PutRequest("key", BytesContent(b"content"), fields))
        await engine.close()
        return written.meta.version

    version = asyncio.run(store())
    assert version == version_of(hashlib.sha256(b"content").digest(), fields)
    for name in ("tar", "ndjson"):
        command("export", f"file:{tmp_path}/old", tmp_path / name, "--format", name)
        command("import", f"sqlite:{tmp_path}/{name}.db", tmp_path / name)
    command("cp", "-r", f"file:{tmp_path}/old", f"sqlite:{tmp_path}/copy.db")
    command("cp", f"file:{tmp_path}/old#key", f"sqlite:{tmp_path}/cp.db")
    for url in (f"file:{tmp_path}/old", *(f"sqlite:{tmp_path}/{name}.db" for name in ("tar", "ndjson", "copy", "cp"))):
        with docstore.open(url) as docs:
            info = docs.get("key").info
            assert (info.version, info.fields) == (version, {"cache-control": "max-age=5"}), url


def command(*arguments: str | Path) -> None:
    ended = subprocess.run([sys.executable, "-m", "docstore", *map(str, arguments)], capture_output=True, timeout=60)
    assert ended.returncode == 0, ended
