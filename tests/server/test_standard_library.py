"""Real input: every file of the installed standard library through the running server, half of them on each disk.

Stored, listed page by page, read back byte for byte, and deleted. Several connections work at once, as clients do; each
speaks raw HTTP, so that tens of thousands of requests take seconds and the time is the server's.
"""

import json
import re
import socket
import sysconfig
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.http_client import ask
from tests.lint import lint_one_of_many
from tests.server_process import MOUNTS, RunningServer

CONNECTIONS = 8
SHARES = {
    "file": slice(0, None, 2),
    "docs": slice(1, None, 2),
    "shelve": slice(0, None, 8),
    "memory": slice(0, None, 4),
}
"""The files for each engine; file: and sqlite: have every one between them."""


def standard_library() -> dict[str, Path]:
    """Every file under a key made from its path and its number, except files that Python or pip generate."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = sorted(p for p in root.rglob("*") if p.is_file() and not {"site-packages", "__pycache__"} & set(p.parts))
    return {
        f"{number:05}-{re.sub('[^A-Za-z0-9_-]', '_', str(path.relative_to(root)))[-200:]}": path
        for number, path in enumerate(paths)
    }


class Connection:
    """A persistent connection that sends a request and reads its response, which has a Content-Length."""

    def __init__(self, server: RunningServer) -> None:
        self._socket = socket.create_connection((server.host, server.port), timeout=60)
        self._answers = self._socket.makefile("rb")

    def ask(self, method: str, path: str, content: bytes = b"") -> tuple[int, bytes]:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
        self._socket.sendall(head.encode() + content)
        status = int(self._answers.readline().split()[1])
        fields = []
        while (line := self._answers.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            fields.append((name.lower(), value.strip()))
        answer = self._answers.read(int(dict(fields)[b"content-length"]))
        lint_one_of_many(method, path, [], status, fields, answer)
        return status, answer

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


def listed(server: RunningServer, mount: str) -> Iterator[str]:
    target: str | None = f"/{mount}/?limit=500"
    while target:
        page = json.loads(ask(server, "GET", target, headers={"accept": "application/json"}).content)
        yield from (document["key"] for document in page["documents"])
        target = page["next"]


@pytest.mark.parametrize("mount", MOUNTS)
def test_every_file_of_the_standard_library_is_stored_unchanged(tmp_path: Path, on_disk: Path, mount: str) -> None:
    files = standard_library()
    assert len(files) > 500
    files = dict(list(files.items())[SHARES[mount]])

    def store(connection: Connection, key: str) -> None:
        assert connection.ask("PUT", f"/{mount}/{key}", files[key].read_bytes()) == (201, f"{key}\n".encode())

    def compare(connection: Connection, key: str) -> None:
        assert connection.ask("GET", f"/{mount}/{key}") == (200, files[key].read_bytes())

    def delete(connection: Connection, key: str) -> None:
        assert connection.ask("DELETE", f"/{mount}/{key}") == (200, b"")

    # Some builds of Python have a library larger than 64 MiB, the default limit of these two mounts.
    urls = {"memory": "memory:", "shelve": f"shelve:{tmp_path}/shelve", "file": f"file:{on_disk}/file"}
    url = urls.get(mount, f"sqlite:{on_disk}/docs.db")
    options = ["--log-level", "warning", "--mount", f"{mount}={url}?max_document=1GiB"]
    with RunningServer(tmp_path / "data", *options) as server:
        for step in (store, compare, delete):
            each_key_over_connections(server, step, list(files))
            if step is not delete:
                assert list(listed(server, mount)) == sorted(files)
        assert list(listed(server, mount)) == []


def each_key_over_connections(server: RunningServer, step: Callable[[Connection, str], None], keys: list[str]) -> None:
    def work(share: list[str]) -> None:
        connection = Connection(server)
        try:
            for key in share:
                step(connection, key)
        finally:
            connection.close()

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(work, [keys[n::CONNECTIONS] for n in range(CONNECTIONS)]))
