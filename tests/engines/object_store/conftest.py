from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.object_store.faulty_proxy import Proxy, faulty_proxy


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with faulty_proxy(tmp_path) as running:
        yield running
