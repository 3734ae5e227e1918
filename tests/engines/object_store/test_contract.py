"""The contract suite on a bucket of an S3 server; each test has a prefix of its own."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from docstore.engines.contract import Engine
from docstore.engines.registry import EngineURL, open_engine
from docstore.engines.shared.verify import Finding, check_store
from docstore.model import Clock
from docstore.testing.contract import EngineContract
from tests.engines.object_store.s3_server import s3_url


@pytest.mark.usefixtures("fewer_examples")
class TestS3(EngineContract):
    durable = True

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_engine(EngineURL.parse(s3_url(folder)), clock)

    def check(self, folder: Path) -> Iterable[Finding]:
        checked = check_store(EngineURL.parse(s3_url(folder)))
        return (found for found in checked if isinstance(found, Finding))
