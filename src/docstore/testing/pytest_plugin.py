"""A pytest plugin with the fixture `docstore_server`, a real server for the tests of other projects.

    def test_my_program(docstore_server: DocstoreServer) -> None:
        docs = docstore_server.collection("docs")
        run_my_program(docstore_server.url)
        assert docs["report"] == b"..."

A test session has one server process (with xdist, each worker): a start takes half a second, emptying a collection a
millisecond. The fixture has function scope and empties all collections; if a test has stopped the server, the next test
gets a new one. The keys of the four mounts are paths. The report of a test that fails contains what the server logged
during it.

pytest loads this module in every run where Docstore is installed, so it imports nothing before the fixture is used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
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

# Otherwise a failing assertion of the contract suite would not show the values that it compared.
pytest.register_assert_rewrite("docstore.testing.contract")


def pytest_runtest_logstart() -> None:
    if server := sys.modules.get("docstore.testing.server"):
        server.begin_test()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    server = sys.modules.get("docstore.testing.server")
    if report.failed and server:
        report.sections.extend(server.logs_of_test())
    return report


class DocstoreServer:
    """A running server with the collections `memory`, `file`, `shelve` and `docs`, one for each engine."""

    def __init__(self, process: ServerProcess) -> None:
        self._process = process
        self._clients: dict[str, Client] = {}

    @property
    def url(self) -> str:
        """The server's address without a slash at its end: `http://127.0.0.1:40123`."""
        return self._process.url

    def collection(self, name: str = "docs") -> Client:
        """Return a client of one collection; closing the server closes it."""
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
        """Kill the server at once, to test how a program reacts."""
        self._process.kill()

    def clear(self) -> None:
        """Empty all collections."""
        for name in _MOUNTS:
            self.collection(name).clear()

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._process.__exit__()


@pytest.fixture(scope="session")
def _running_docstore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], DocstoreServer]]:
    """The server of a session: started on first use, and again after it has stopped."""
    from docstore.testing.server import ServerProcess

    servers: list[DocstoreServer] = []

    def running() -> DocstoreServer:
        if not servers or not servers[-1].alive:
            folder = tmp_path_factory.mktemp("docstore")
            mounts = [f"--mount={name}={url.format(folder)}" for name, url in _MOUNTS.items()]
            servers.append(DocstoreServer(ServerProcess(folder, "--log-level", "warning", *mounts)))
        return servers[-1]

    yield running
    for server in servers:
        server.close()


@pytest.fixture
def docstore_server(_running_docstore: Callable[[], DocstoreServer]) -> DocstoreServer:
    """The session's `docstore serve`, with all collections empty."""
    server = _running_docstore()
    server.clear()
    return server
