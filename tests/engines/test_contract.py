"""Every engine that ships runs the public contract suite."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from docstore.engines.contract import Engine
from docstore.engines.registry import EngineURL, open_engine
from docstore.engines.shared.verify import Finding, check_store
from docstore.keys import check_path
from docstore.model import Clock
from docstore.testing.contract import EngineContract
from docstore.testing.contract.keys import HOSTILE_KEYS
from tests.postgresql_server import postgres_url


def findings(scheme: str, store: Path) -> Iterable[Finding]:
    return (found for found in check_store(EngineURL(scheme, str(store))) if isinstance(found, Finding))


class TestMemory(EngineContract):
    durable = False

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_engine(EngineURL.parse("memory:"), clock)


class TestFile(EngineContract):
    durable = True

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_engine(EngineURL("file", str(folder / "store")), clock)

    def check(self, folder: Path) -> Iterable[Finding]:
        return findings("file", folder / "store")


class TestShelve(EngineContract):
    durable = True

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_engine(EngineURL("shelve", str(folder / "store")), clock)

    def check(self, folder: Path) -> Iterable[Finding]:
        return findings("shelve", folder / "store")


class TestSQLite(EngineContract):
    durable = True

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_engine(EngineURL("sqlite", str(folder / "store.db")), clock)

    def check(self, folder: Path) -> Iterable[Finding]:
        return findings("sqlite", folder / "store.db")


class TestPostgreSQL(EngineContract):
    durable = True

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_engine(EngineURL.parse(postgres_url(folder)), clock)

    def check(self, folder: Path) -> Iterable[Finding]:
        return (found for found in check_store(EngineURL.parse(postgres_url(folder))) if isinstance(found, Finding))


@pytest.mark.parametrize("name", [name for name in dir(EngineContract) if name.startswith("test_")])
def test_an_engine_cannot_override_a_test_of_the_contract(name: str) -> None:
    with pytest.raises(TypeError, match=f"overrides {name}"):
        type("Lenient", (EngineContract,), {name: lambda self: None})


def test_the_hostile_keys_are_valid() -> None:
    for key in HOSTILE_KEYS:
        check_path(key)
    assert len(set(HOSTILE_KEYS)) == len(HOSTILE_KEYS)
    assert max(len(key.encode()) for key in HOSTILE_KEYS) == 1024
