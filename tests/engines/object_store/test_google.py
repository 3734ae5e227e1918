"""The contract suite on the XML API of Google Cloud Storage, as far as a small server in this process has it."""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from docstore.engines.contract import Engine
from docstore.engines.object_store import opening
from docstore.engines.registry import EngineURL, open_engine
from docstore.engines.shared.verify import Finding, check_store
from docstore.errors import OpenError
from docstore.model import Clock
from docstore.testing.contract import EngineContract
from tests.engines.object_store.gcs_server import TOKEN, gcs_server_process, running_gcs_server


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with gcs_server_process() as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", TOKEN)


def gcs_url(endpoint: str, folder: Path, bucket: str = "docs") -> EngineURL:
    prefix = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return EngineURL.parse(f"gs://{bucket}/{prefix}?endpoint={endpoint}")


class TestGoogle(EngineContract):
    durable = True

    @pytest.fixture(autouse=True)
    def bucket(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_engine(gcs_url(self.endpoint, folder), clock)

    def check(self, folder: Path) -> Iterable[Finding]:
        return (found for found in check_store(gcs_url(self.endpoint, folder)) if isinstance(found, Finding))


@pytest.fixture
def race_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_raced", set())


def refusal(url: EngineURL) -> str:
    with pytest.raises(OpenError) as refused:
        open_engine(url)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.usefixtures("race_again")
def test_a_missing_bucket_is_named(endpoint: str, tmp_path: Path) -> None:
    assert "the bucket does not exist" in refusal(gcs_url(endpoint, tmp_path, "missing"))


@pytest.mark.usefixtures("race_again")
def test_wrong_credentials_are_named(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "wrong")
    assert "access denied (AuthenticationRequired)" in refusal(gcs_url(endpoint, tmp_path))


@pytest.mark.usefixtures("race_again")
def test_the_conditions_of_writes_are_generations(tmp_path: Path) -> None:
    with running_gcs_server() as server:
        asyncio.run(open_engine(gcs_url(server.endpoint, tmp_path)).close())
        assert server.conditions == {"create", "replace"}


@pytest.mark.usefixtures("race_again")
def test_a_store_that_ignores_generations_is_refused(tmp_path: Path) -> None:
    with running_gcs_server() as server:
        server.keeps_conditions = False
        assert "8 of 8 racing writes" in refusal(gcs_url(server.endpoint, tmp_path))
