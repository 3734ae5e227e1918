"""A server for each module, with the document `docs/known`."""

from collections.abc import Iterator

import pytest

from tests.server.http1.raw_client import ask, put
from tests.server.http1.server import HTTP1Server


@pytest.fixture(scope="module")
def http1_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTTP1Server]:
    with HTTP1Server(tmp_path_factory.mktemp("data")) as server:
        assert ask(server.port, put(b"known", b"hello")).status == 201
        yield server


@pytest.fixture
def port(http1_server: HTTP1Server) -> int:
    return http1_server.port
