"""Collections for the tests of the client: over HTTP and in this process, on each engine, synchronous and asynchronous.

Every response of a real server is linted."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from docstore import AsyncClient, Client
from docstore.client import retry
from docstore.client.retry import read_content
from docstore.client.socket_transport import SocketTransport
from docstore.client.transport import ClientRequest, ResponseStream
from tests.client.faulty_server import FaultyServer
from tests.engine_urls import ENGINES, url_in, with_options
from tests.lint import lint_one_of_many
from tests.server_process import MOUNTS, RunningServer

WAYS = ["http-docs", *(f"inside-{engine}" for engine in ENGINES)]
"""Over HTTP, where the engine makes no difference, and each engine in this process."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with four mounts whose keys may be paths."""
    folder = tmp_path_factory.mktemp("data")
    mounts = [part for name in MOUNTS for part in ("--mount", f"{name}={url_in(folder, name)}?keys=path")]
    with RunningServer(folder, *mounts, "--log-level", "error") as running:
        yield running


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of one of WAYS, by default "http-docs"."""
    way, _, mount = getattr(request, "param", "http-docs").partition("-")
    if way == "http":
        server: RunningServer = request.getfixturevalue("server")
        return f"{server.url}/{mount}/"
    return with_options(url_in(tmp_path, mount), keys="path")


@pytest.fixture
def docs(url: str) -> Iterator[Client]:
    """An empty collection."""
    with Client(url, create=True, retry_timeout_s=20) as client:
        client.clear()
        yield client


@pytest.fixture
def run(url: str) -> Callable[..., object]:
    """Run `async def test(docs)` with an empty collection."""

    def run(test: Callable[[AsyncClient], object]) -> object:
        async def whole() -> object:
            async with AsyncClient(url, create=True, retry_timeout_s=20) as docs:
                await docs.clear()
                return await test(docs)

        return asyncio.run(whole())

    return run


@pytest.fixture
def faulty() -> Iterator[FaultyServer]:
    server = FaultyServer()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.002)


@dataclass
class LintedResponse:
    """A response whose content was read."""

    status: int
    headers: dict[str, str]
    content: bytes

    async def read(self) -> bytes:
        content, self.content = self.content, b""
        return content

    async def close(self) -> None:
        self.content = b""


@pytest.fixture(autouse=True)
def linted(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Lint the responses to Client by httplint, except those of a FaultyServer."""
    if {"faulty", "certificate"} & {*request.fixturenames}:
        return
    send = SocketTransport.send

    async def linting(self: SocketTransport, request: ClientRequest, timeout_s: float) -> ResponseStream:
        response = await send(self, request, timeout_s)
        if int(response.headers.get("content-length", 0)) > 100_000:
            return response
        content = await read_content(response, None)
        headers = [[(name.encode(), value.encode()) for name, value in pairs]
                   for pairs in (request.headers, response.headers.items())]  # fmt: skip
        lint_one_of_many(request.method, request.target, headers[0], response.status, headers[1], content)
        return LintedResponse(response.status, response.headers, content)

    monkeypatch.setattr(SocketTransport, "send", linting)
