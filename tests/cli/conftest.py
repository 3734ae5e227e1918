"""A server with several mounts; the tests run the command on it in their own process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server_process import RunningServer


@pytest.fixture(scope="session")
def data_of_server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def paths_server(data_of_server: Path) -> Iterator[RunningServer]:
    """One server for all tests of the command; each test uses its own keys."""
    data = data_of_server
    mounts = [f"docs=sqlite:{data}/docs.db?keys=name", f"file=file:{data}/file", "cache/ac=memory:"]
    arguments = [part for mount in [*mounts, "tiny=memory:?max_document=10B"] for part in ("--mount", mount)]
    with RunningServer(data, *arguments) as running:
        yield running


@pytest.fixture
def url(paths_server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server's URL, which is also DOCSTORE_URL."""
    monkeypatch.setenv("DOCSTORE_URL", paths_server.url)
    return paths_server.url
