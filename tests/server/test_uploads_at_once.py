"""The limit on uploads in progress: one more is 503, small requests are not counted, and a lost client makes space."""

import socket
import time
from pathlib import Path

from tests.http_client import Client
from tests.server_process import RunningServer

HEAD = b"PUT /docs/large HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n"


def begin(server: RunningServer) -> socket.socket:
    """Send the first half of an upload."""
    connection = socket.create_connection((server.host, server.port), timeout=30)
    connection.sendall(HEAD + bytes(100_000))
    return connection


def is_rejected(server: RunningServer) -> bool:
    with begin(server) as connection:
        connection.settimeout(1)
        try:
            return connection.recv(100).startswith(b"HTTP/1.1 503 ")
        except TimeoutError:  # the server waits for the rest
            return False


def wait_until(server: RunningServer, *, rejected: bool) -> None:
    ended_s = time.monotonic() + 30
    while is_rejected(server) is not rejected:
        assert time.monotonic() < ended_s


def test_one_more_upload_than_the_limit_is_503_until_another_ends(tmp_path: Path) -> None:
    words = ("--limit", "upload_count=2", "--mount=docs=memory:")
    with RunningServer(tmp_path / "data", *words) as server, Client(server) as client:
        first, second = begin(server), begin(server)
        with first, second:
            wait_until(server, rejected=True)
            assert client.ask("PUT", "/docs/small", b"x").status == 201
            assert client.ask("GET", "/docs/small").content == b"x"
            first.sendall(bytes(100_000))
            assert first.recv(100).startswith(b"HTTP/1.1 201 ")
            second.close()
        wait_until(server, rejected=False)
