"""A server with keys=path beside the usual mounts, and the command on it in the test's own process."""

from collections.abc import Iterator

import pytest

from tests.running import RunningServer


@pytest.fixture(scope="session")
def paths_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One for all tests of the command; each test takes keys of its own."""
    data = tmp_path_factory.mktemp("data")
    mounts = [f"docs=sqlite:{data}/docs.db", f"file=file:{data}/file?keys=path", "cache/ac=memory:?keys=path"]
    arguments = [part for mount in [*mounts, "tiny=memory:?max_document=10B"] for part in ("--mount", mount)]
    with RunningServer(data, *arguments) as running:
        yield running


@pytest.fixture
def url(paths_server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server's, below which relative addresses are."""
    monkeypatch.setenv("DOCSTORE_URL", paths_server.url)
    return paths_server.url
