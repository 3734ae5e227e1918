"""Bodies are streamed: uploading and downloading a large document takes little memory."""

import hashlib
import os
import socket
from pathlib import Path

import pytest

from tests.http_client import ask, prepare
from tests.server_process import RunningServer

SIZE = 256 * 1024 * 1024
PIECE = os.urandom(1024 * 1024)
ALLOWED = 64 * 1024 * 1024
"""Limit for the growth of the server's peak memory: a quarter of the document."""


def peak_memory(server: RunningServer) -> int:
    """The greatest resident size so far, in bytes."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("this system does not tell")


@pytest.mark.parametrize("mount", ["file", "docs"])
@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_a_large_document_is_never_completely_in_memory(tmp_path: Path, mount: str, chunked: bool) -> None:
    pieces = SIZE // len(PIECE)
    with RunningServer(tmp_path / "data") as server:
        prepare(server, "PUT", f"/{mount}/small", PIECE)
        prepare(server, "GET", f"/{mount}/small")
        before = peak_memory(server)
        headers = {} if chunked else {"content-length": str(SIZE)}
        written = ask(server, "PUT", f"/{mount}/large", (PIECE for _ in range(pieces)), headers)
        assert written.status == 201
        assert read(server, f"/{mount}/large") == (SIZE, hashlib.sha256(PIECE * pieces).hexdigest())
        assert peak_memory(server) - before < ALLOWED


def read(server: RunningServer, path: str) -> tuple[int, str]:
    """The size and SHA-256 of a document, read without keeping it."""
    size, digest = 0, hashlib.sha256()
    with socket.create_connection((server.host, server.port), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = connection.makefile("rb")
        while answer.readline() != b"\r\n":
            pass
        while chunk := answer.read(1024 * 1024):
            size += len(chunk)
            digest.update(chunk)
    return size, digest.hexdigest()
