"""A server for each module, with the document `docs/known`."""

from collections.abc import Iterator

import pytest

from tests.certificates import make_certificate
from tests.server.http1.raw_client import ask, put
from tests.server.http1.server import HTTP1Server


@pytest.fixture(scope="module")
def tls(request: pytest.FixtureRequest) -> bool:
    """Whether connections are encrypted."""
    return getattr(request, "param", False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of modules that have OVER_TLS on plain TCP and on TLS."""
    if "tls" in metafunc.fixturenames and hasattr(metafunc.module, "OVER_TLS"):
        metafunc.parametrize("tls", [False, True], ids=["tcp", "tls"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def http1_server(tls: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTTP1Server]:
    folder = tmp_path_factory.mktemp("data")
    with HTTP1Server(folder, tls=make_certificate(folder, "localhost") if tls else None) as server:
        assert ask(server.port, put(b"known", b"hello")).status == 201
        yield server


@pytest.fixture
def port(http1_server: HTTP1Server) -> int:
    return http1_server.port
