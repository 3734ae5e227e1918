"""The commands do their work when standard streams are closed, or lead to a full disk."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http_client import ask
from tests.server_process import RunningServer

DOCSTORE = f"'{sys.executable}' -m docstore"

CLOSED = ["2>&-", "<&-", "<&- 2>&-", "2>/dev/full"]

COMMANDS = {
    "put {url}/docs/new {file}": 0,
    "get {url}/docs/key": 0,
    "ls {url}/docs/": 0,
    "info {url}/docs/key": 0,
    "cp -r {url}/docs/ {url}/memory/": 0,
    "check sqlite:{data}/docs.db": 0,
    "export sqlite:{data}/docs.db {folder}/out.tar": 0,
    "cp -r sqlite:{data}/docs.db file:{folder}/copy": 0,
    "get {url}/docs/missing": 1,
    "get": 2,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Path]]:
    data = tmp_path_factory.mktemp("data")
    with RunningServer(data) as running:
        assert ask(running, "PUT", "/docs/key", b"content").status == 201
        yield running, data


@pytest.mark.parametrize("streams", CLOSED)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_works_without_standard_streams(
    command: str, streams: str, store: tuple[RunningServer, Path], tmp_path: Path
) -> None:
    server, data = store
    (tmp_path / "file").write_bytes(b"hello")
    line = command.format(url=server.url, data=data, file=tmp_path / "file", folder=tmp_path)
    ended = subprocess.run(f"{DOCSTORE} {line} {streams}", shell=True, stdout=subprocess.PIPE, timeout=60)
    assert ended.returncode == COMMANDS[command]
    if command.startswith("put"):
        assert ask(server, "GET", "/docs/new").content == b"hello"
    if command == "get {url}/docs/key":
        assert ended.stdout == b"content"


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", ">/dev/full 2>/dev/full"])
def test_a_server_works_without_standard_streams(streams: str, tmp_path: Path) -> None:
    port = free_port()
    line = f"exec {DOCSTORE} serve --port {port} --mount docs=sqlite:{tmp_path}/docs.db {streams}"
    process = subprocess.Popen(line, shell=True, stderr=subprocess.PIPE)
    try:
        url = f"http://127.0.0.1:{port}/docs/key"
        put = [sys.executable, "-m", "docstore", "put", url, __file__]
        deadline = time.monotonic() + 120
        while subprocess.run(put, stderr=subprocess.DEVNULL).returncode != 0:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"Traceback" not in errors


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
