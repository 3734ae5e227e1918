"""Every engine that ships runs the public contract suite."""

from pathlib import Path

import pytest

from docstore.engines import Engine, EngineURL, open_engine
from docstore.model import Clock
from docstore.testing import EngineContract


class TestMemory(EngineContract):
    durable = False

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_engine(EngineURL.parse("memory:"), clock)


class TestFile(EngineContract):
    durable = True

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_engine(EngineURL("file", str(folder / "store")), clock)


class TestShelve(EngineContract):
    durable = True

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_engine(EngineURL("shelve", str(folder / "store")), clock)


class TestSQLite(EngineContract):
    durable = True

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_engine(EngineURL("sqlite", str(folder / "store.db")), clock)


@pytest.mark.parametrize("name", [name for name in dir(EngineContract) if name.startswith("test_")])
def test_an_engine_can_not_override_a_test_of_the_contract(name: str) -> None:
    with pytest.raises(TypeError, match=f"overrides {name}"):
        type("Lenient", (EngineContract,), {name: lambda self: None})
