"""A server of its own for each module that stops, blocks or configures it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.postgresql.servers import own_server
from tests.postgresql_server import PostgresServer


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with own_server() as server:
        yield server


@pytest.fixture
def url(server: PostgresServer, tmp_path: Path) -> str:
    return f"{server.url}?prefix=t{abs(hash(tmp_path))}"
