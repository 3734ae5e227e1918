"""Mounts that are read-only: by `readonly=yes`, and because their storage can't be written."""

import json
import signal
import time
from pathlib import Path

import pytest

import docstore
from docstore.errors import OpenError, RequestError
from tests.engines.test_read_only_stores import EACH_ENGINE, everything_in, folder, url_of, with_option
from tests.http_client import ask
from tests.read_only_disk import read_only
from tests.server.test_run import refused
from tests.server_process import RunningServer
from tests.stores import DOCUMENTS, run, store

__all__ = ["folder"]  # a fixture

WRITES = [
    ("PUT", "/docs/new"),
    ("POST", "/docs/small"),
    ("PATCH", "/docs/small"),
    ("DELETE", "/docs/small"),
    ("POST", "/docs/"),
    ("PUT", "/docs/"),
]


def serve(url: str, *arguments: str) -> RunningServer:
    return RunningServer(Path("unused"), "--mount", f"docs={with_option(url, 'keys=path')}", *arguments)


@EACH_ENGINE
def test_a_read_only_mount_refuses_every_write_before_its_body(engine: str, folder: Path) -> None:
    url = url_of(engine, folder)
    store(url)
    before = everything_in(folder)
    with serve(with_option(url, "readonly=yes"), "--sweep-interval", "1") as server:
        for method, path in WRITES:
            # The content never comes, and so does no 100.
            answer = ask(server, method, path, headers={"Content-Length": "5", "Expect": "100-continue"})
            assert (answer.status, answer["allow"]) == (405, "GET, HEAD, OPTIONS")
            assert answer.content == b"method not allowed: this mount is read-only\n"
        assert ask(server, "GET", "/docs/small").content == DOCUMENTS["small"]
        assert ask(server, "HEAD", "/docs/a/b").status == 200
        assert ask(server, "GET", "/-/ready").status == 200
        options = ask(server, "OPTIONS", "/docs/small")
        assert (options["allow"], options.headers["accept-patch"]) == ("GET, HEAD, OPTIONS", None)
        paths = json.loads(ask(server, "GET", "/-/openapi.json").content)["paths"]
        assert set(paths["/docs/"]) == {"get", "head", "options"}
        assert set(paths["/docs/{key}"]) - {"parameters"} == {"get", "head", "options"}
        assert server.stop() == 0
    assert everything_in(folder) == before


def test_a_read_only_mount_keeps_expired_documents(folder: Path) -> None:
    url = f"sqlite:{folder / 'store'}"
    with docstore.open(url, create=True) as docs:
        docs.put("soon", b"x", ttl=1)
    before = everything_in(folder)
    time.sleep(1.1)
    with serve(with_option(url, "readonly=yes"), "--sweep-interval", "1") as server:
        assert ask(server, "GET", "/docs/soon").status == 404
        assert server.stop(signal.SIGINT) == 0
    assert everything_in(folder) == before


@EACH_ENGINE
def test_a_store_that_cant_be_written_is_served_for_reading(engine: str, folder: Path) -> None:
    url = url_of(engine, folder)
    store(url)
    before = everything_in(folder)
    with read_only(folder) as python, ReadOnlyServer(python, url) as server:
        assert ask(server, "GET", "/docs/small").content == DOCUMENTS["small"]
        assert ask(server, "PUT", "/docs/small", b"x").status == 405
        assert len(ask(server, "GET", "/docs/?format=text").content.split()) == len(DOCUMENTS)
        assert server.stop() == 0
        assert [line for line in server.errors if "can't be written and is read-only" in line]
    assert everything_in(folder) == before


def test_a_read_only_mount_needs_a_store(tmp_path: Path) -> None:
    for engine in ("sqlite", "file", "shelve"):
        assert "there is no such" in refused("--mount", f"a={engine}:{tmp_path / 'absent'}?readonly=yes")
    assert "must be yes or no" in refused("--mount", f"a=sqlite:{tmp_path / 'absent'}?readonly=maybe")
    assert list(tmp_path.iterdir()) == []


def test_one_store_is_served_for_reading_and_for_writing(folder: Path) -> None:
    url = f"sqlite:{folder / 'store'}"
    store(url, {"a": b"x"})
    mounts = ["--mount", f"public={url}?readonly=yes", "--mount", f"private={url}"]
    with RunningServer(Path("unused"), *mounts) as server:
        assert ask(server, "PUT", "/private/b", b"new").status == 201
        assert ask(server, "GET", "/public/b").content == b"new"
        assert ask(server, "PUT", "/public/b", b"x").status == 405
        assert ask(server, "GET", "/?format=text", headers={"Accept": "text/plain"}).content == b"/public/\n/private/\n"


@EACH_ENGINE
def test_the_library_and_the_commands_take_the_option(engine: str, folder: Path) -> None:
    url = with_option(url_of(engine, folder), "readonly=yes")
    with pytest.raises(OpenError):
        docstore.open(url)
    store(url_of(engine, folder))
    before = everything_in(folder)
    with docstore.open(url) as docs:
        assert docs["small"] == DOCUMENTS["small"]
        with pytest.raises(RequestError, match="read-only"):
            docs["small"] = b"x"
    assert run("export", url, folder.parent / "out.tar").status == 0
    assert run("check", url).status == 0
    assert "read-only" in run("import", url, folder.parent / "out.tar").err
    assert "read-only" in run("put", f"{url}#x", data=b"x").err
    assert everything_in(folder) == before


class ReadOnlyServer(RunningServer):
    """A server that another command runs Python for."""

    def __init__(self, python: list[str], url: str) -> None:
        self._python = python
        super().__init__(Path("unused"), "--mount", f"docs={with_option(url, 'keys=path')}")
