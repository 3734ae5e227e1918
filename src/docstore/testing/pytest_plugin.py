"""A pytest plugin: `docstore_server`, a real store for other people's tests.

    def test_my_program(docstore_server: DocstoreServer) -> None:
        docs = docstore_server.collection("docs")
        run_my_program(docstore_server.url)
        assert docs["report"] == b"..."

The server is one process a test session (one a worker of xdist): a start costs half a second, an empty collection a
millisecond. So the fixture has the scope of a function and hands out the one server with all collections empty; a test
that stops it gets the next test a new one. Each of the four mounts takes paths as keys.

pytest loads this module in every run where Docstore is installed, so it imports nothing until the fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from docstore.client.client import Client
    from docstore.testing.server import ServerProcess

_MOUNTS: Final = {
    "memory": "memory:",
    "file": "file:{}/file",
    "shelve": "shelve:{}/shelve",
    "docs": "sqlite:{}/docs.db",
}


class DocstoreServer:
    """A running store with the collections `memory`, `file`, `shelve` and `docs`, one for each engine."""

    def __init__(self, process: ServerProcess) -> None:
        self._process = process
        self._clients: dict[str, Client] = {}

    @property
    def url(self) -> str:
        """Without a slash at its end: `http://127.0.0.1:40123`."""
        return self._process.url

    def collection(self, name: str = "docs") -> Client:
        """A client of one collection; the server closes it."""
        from docstore.client.client import Client

        if name not in self._clients:
            self._clients[name] = Client(f"{self.url}/{name}/")
        return self._clients[name]

    @property
    def process_id(self) -> int:
        return self._process.process.pid

    @property
    def alive(self) -> bool:
        return self._process.process.poll() is None

    def kill(self) -> None:
        """Ends the server at once, for tests of what a program does then."""
        self._process.kill()

    def clear(self) -> None:
        """Empties all collections."""
        for name in _MOUNTS:
            self.collection(name).clear()

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._process.__exit__()


class _Session:
    """The server of a session: started when it is first asked for, and again after its death."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._server: DocstoreServer | None = None

    def server(self) -> DocstoreServer:
        if self._server is not None and not self._server.alive:
            self.close()
        if self._server is None:
            from docstore.testing.server import ServerProcess

            folder = self._factory.mktemp("docstore")
            mounts = [part for name, url in _MOUNTS.items() for part in ("--mount", _mount(name, url.format(folder)))]
            self._server = DocstoreServer(ServerProcess(folder, "--log-level", "warning", *mounts))
        return self._server

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None


def _mount(name: str, url: str) -> str:
    return f"{name}={url}?keys=path"


@pytest.fixture(scope="session")
def _docstore_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Session]:
    session = _Session(tmp_path_factory)
    yield session
    session.close()


@pytest.fixture
def docstore_server(_docstore_session: _Session) -> DocstoreServer:
    """A real `docstore serve` of this session, with all collections empty."""
    server = _docstore_session.server()
    server.clear()
    return server
