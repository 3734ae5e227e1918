"""Servers that send without end: each operation ends with an error, on both clients."""

import asyncio
import itertools
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from docstore import AsyncClient, Client, EngineError, StorageUnavailable
from docstore.client import stalls
from tests.client.faulty_server import FaultyServer, Step, answer

HEAD = b'HTTP/1.1 200 OK\r\netag: "v"\r\ncontent-type: application/json\r\n'


def endless(start: bytes, piece: bytes, pause_s: float = 0) -> Step:
    """Send `start`, then `piece` again and again until the client closes the connection."""

    def step(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            time.sleep(pause_s)

    return step


HEADS = {
    "informational responses": endless(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 1000),
    "slow informational responses": endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.02),
    "header lines": endless(HEAD, b"a: b\r\n" * 1000),
    "one header line": endless(HEAD + b"a: ", b"b" * 10_000),
    "a slow head": endless(HEAD + b"a: ", b"b", 0.02),
    "a slow status line": endless(b"HTTP/1.1 200 ", b"O", 0.02),
    "a head that switches protocols": endless(b"HTTP/1.1 101 Go\r\nupgrade: x\r\n\r\n", b"x", 0.02),
}
BODIES = {
    "slow content": endless(HEAD + b"content-length: 1000000\r\n\r\n", b"x", 0.02),
    "slow chunks": endless(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.02),
    "a slow chunk extension": endless(HEAD + b"transfer-encoding: chunked\r\n\r\n1;", b"x", 0.02),
    "trailers": endless(HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 1000),
    "slow trailers": endless(HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n", 0.02),
}
STEPS = HEADS | BODIES


def in_memory(docs: Any) -> Any:
    return docs.get("a")


def written(docs: Any) -> Any:
    return docs.put("a", b"new")


OPERATIONS = [in_memory, written]


def run(url: str, operation: Callable[[Any], Any], *, asynchronous: bool, timeout_s: float = 0.2) -> None:
    """Run an operation on one of the clients, with one attempt of a short time."""

    async def awaited() -> None:
        async with AsyncClient(url, tries=1, timeout_s=timeout_s) as docs:
            await operation(docs)

    if asynchronous:
        asyncio.run(awaited())
        return
    with Client(url, tries=1, timeout_s=timeout_s) as docs:
        operation(docs)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", STEPS)
def test_a_response_without_an_end_is_an_error(
    faulty: FaultyServer, name: str, operation: Callable[[Any], Any], asynchronous: bool
) -> None:
    faulty.script = [STEPS[name]]
    with pytest.raises((StorageUnavailable, EngineError)) as caught:
        run(faulty.url, operation, asynchronous=asynchronous)
    assert "disconnected" not in str(caught.value), "the server ended it"


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("name", ["slow content", "informational responses", "a slow head"])
def test_a_download_without_an_end_is_an_error(
    faulty: FaultyServer, name: str, asynchronous: bool, tmp_path: Path
) -> None:
    faulty.script = [answer(200, b"", 1_000_000, etag='"v"'), STEPS[name]]
    with pytest.raises((StorageUnavailable, EngineError)) as caught:
        run(faulty.url, lambda docs: docs.download("a", tmp_path / "a"), asynchronous=asynchronous, timeout_s=2)
    assert "disconnected" not in str(caught.value), "the server ended it"
    assert not (tmp_path / "a").exists()
    assert len(faulty.asked) == 2


def test_a_response_larger_than_it_says_is_an_error(faulty: FaultyServer) -> None:
    head = b'HTTP/1.1 206 Partial\r\netag: "v"\r\ncontent-range: bytes 0-9/10\r\ntransfer-encoding: chunked\r\n\r\n'
    faulty.script = [endless(head, b"8\r\n01234567\r\n")]
    with Client(faulty.url, tries=1) as docs, pytest.raises(EngineError, match="larger"):
        list(docs.iter_content("a", start=0, stop=10))


@pytest.mark.parametrize("status", [404, 503])
def test_a_problem_without_an_end_is_limited_by_the_time_for_retries(faulty: FaultyServer, status: int) -> None:
    head = f"HTTP/1.1 {status} No\r\ncontent-length: 1000000\r\n\r\n".encode()
    faulty.script = [endless(head, b"x" * 100, 0.02)]
    began = time.monotonic()
    with Client(faulty.url, tries=1, retry_timeout_s=0.5) as docs, pytest.raises(EngineError):
        docs.delete("a")
    assert time.monotonic() - began < 60, "all of it would take hours"


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_slow_content_is_received_if_it_is_steady(
    faulty: FaultyServer, asynchronous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(step=0.5)
    monkeypatch.setattr(stalls, "monotonic", lambda: next(clock))

    def steady(connection: socket.socket) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\netag: "v"\r\ncontent-length: 100000\r\n\r\n')
        for _ in range(100):
            connection.sendall(b"x" * 1000)
            time.sleep(0.003)

    faulty.script = [steady]
    run(faulty.url, in_memory, asynchronous=asynchronous, timeout_s=10)
    assert next(clock) > 2 * 10, "the rate was checked"


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_the_message_says_that_content_is_too_slow(faulty: FaultyServer, asynchronous: bool) -> None:
    faulty.script = [STEPS["slow content"]]
    with pytest.raises(StorageUnavailable, match="the response is too slow"):
        run(faulty.url, in_memory, asynchronous=asynchronous)


@pytest.mark.parametrize("command", [["ls"], ["get", "a"], ["info", "a"], ["rm", "a"], ["put", "a", "-"]], ids=" ".join)
@pytest.mark.parametrize("name", ["header lines", "informational responses"])
def test_a_command_ends_with_one_line(faulty: FaultyServer, name: str, command: list[str]) -> None:
    faulty.script = [HEADS[name]] * 20
    verb, *rest = command
    address = faulty.url + "".join(rest[:1])
    call = [sys.executable, "-m", "docstore", verb, "--timeout", "0.2", address, *rest[1:]]
    ended = subprocess.run(call, input=b"x", capture_output=True, timeout=60, check=False)
    assert ended.returncode not in (0, 1), ended
    assert ended.stderr.count(b"\n") <= 2, ended.stderr
