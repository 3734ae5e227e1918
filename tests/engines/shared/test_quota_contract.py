"""An engine with a quota keeps the whole contract as long as there is space.

By default the tests run all of it on memory and the tests of writing on sqlite; `make bounds` runs everything.
"""

from collections.abc import Iterable
from pathlib import Path

from docstore.engines.contract import Engine
from docstore.engines.registry import EngineURL
from docstore.engines.shared.verify import Finding, check_store
from docstore.model import Clock
from docstore.testing.contract import EngineContract
from docstore.testing.contract.expectations import Expectations
from docstore.testing.contract.lifetime import Lifetime
from docstore.testing.contract.opening import Opening
from tests.engines.bounded_stores import LONG, open_bounded, url_of

AMPLE = 2**40


class Memory(Opening):
    durable = False

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_bounded(url_of("memory", folder, AMPLE), clock)


class SQLite(Opening):
    durable = True

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_bounded(url_of("sqlite", folder, AMPLE), clock)

    def check(self, folder: Path) -> Iterable[Finding]:
        checked = check_store(EngineURL("sqlite", str(folder / "store")))
        return (found for found in checked if isinstance(found, Finding))


class TestMemory(Memory, EngineContract):
    pass


if LONG:

    class TestSQLite(SQLite, EngineContract):
        pass

else:

    class TestSQLiteInPart(SQLite, Expectations, Lifetime):
        pass
