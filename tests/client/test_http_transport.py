"""Connections of clients over HTTP."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import docstore
from docstore import AsyncClient, Client, StorageUnavailable
from tests.client.faulty_server import FaultyServer, answer
from tests.leaks import no_leaks
from tests.server_process import RunningServer


def test_closing_a_client_releases_its_connections(server: RunningServer) -> None:
    with Client(f"{server.url}/memory/") as docs:
        docs["a"] = b"1"
    with no_leaks():
        for _ in range(20):
            with Client(f"{server.url}/memory/") as docs:
                assert docs["a"] == b"1"
                next(docs.iter_content("a"))


def test_an_unreferenced_client_releases_its_connections(server: RunningServer) -> None:
    with no_leaks():
        for _ in range(5):
            docstore.open(f"{server.url}/memory/")["a"] = b"1"


@pytest.fixture
def mortal(data: Path) -> Iterator[RunningServer]:
    with RunningServer(data) as running:
        yield running


def test_requests_and_streams_continue_after_a_server_restarts(
    mortal: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the middle of a stream, which is resumed."""
    content = bytes(range(256)) * 16384
    with Client(f"{mortal.url}/docs/") as docs:
        docs.put("a", content)
        stream = docs.iter_content("a")
        read = [next(stream)]
        mortal.kill()

        def back(seconds: float) -> None:
            monkeypatch.undo()
            mortal.start(mortal.port)

        monkeypatch.setattr(time, "sleep", back)
        docs["b"] = b"after"
        read += stream
        assert b"".join(read) == content
        assert docs["b"] == b"after"


def test_surplus_content_is_not_part_of_the_next_response(faulty: FaultyServer) -> None:
    faulty.script = [answer(200, b"hello and more", size=5, etag='"v"'), answer(200, b"next", etag='"w"')]
    with Client(faulty.url) as docs:
        assert docs["a"] == b"hello"
        assert docs["b"] == b"next"


def test_a_header_of_the_caller_replaces_that_of_the_client() -> None:
    received = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async def ask() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/docs/"
            async with AsyncClient(url, headers={"User-Agent": "mine"}, tries=1) as docs:
                with pytest.raises(StorageUnavailable):
                    await docs.get("a")

    asyncio.run(ask())
    assert received[0].lower().count(b"user-agent:") == 1
    assert b": mine\r\n" in received[0]
