from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.engines.object_store.faulty_proxy import Proxy, faulty_proxy

settings.register_profile("object store", max_examples=(settings.default.max_examples + 2) // 3)


@pytest.fixture(scope="class")
def fewer_examples() -> Iterator[None]:
    """A third of the sequences, because each request takes milliseconds; S3 and Azure share all code but the driver."""
    settings.load_profile("object store")
    yield
    settings.load_profile("docstore")


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with faulty_proxy(tmp_path) as running:
        yield running
