"""A server of the module, with a document that is known."""

from collections.abc import Iterator

import pytest

from tests.server.http1.raw import ask, put
from tests.server.http1.serving import WireServer


@pytest.fixture(scope="module")
def wire_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireServer]:
    with WireServer(tmp_path_factory.mktemp("data")) as server:
        assert ask(server.port, put(b"known", b"hello")).status == 201
        yield server


@pytest.fixture
def port(wire_server: WireServer) -> int:
    return wire_server.port
