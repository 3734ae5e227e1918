"""Connections of clients over HTTP."""

import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import docstore
from docstore import (
    Client,
)
from tests.client.faulty_server import FaultyServer, answer
from tests.server_process import RunningServer


def held() -> tuple[int, set[threading.Thread]]:
    gc.collect()
    return len([*Path("/proc/self/fd").iterdir()]), set(threading.enumerate())


def test_closing_a_client_releases_its_connections(server: RunningServer) -> None:
    with Client(f"{server.url}/memory/") as docs:
        docs["a"] = b"1"
    before = held()
    for _ in range(20):
        with Client(f"{server.url}/memory/") as docs:
            assert docs["a"] == b"1"
            next(docs.iter_content("a"))
    assert held() == before


def test_an_unreferenced_client_releases_its_connections(server: RunningServer) -> None:
    before = held()
    for _ in range(5):
        docstore.open(f"{server.url}/memory/")["a"] = b"1"
    assert held() == before


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
