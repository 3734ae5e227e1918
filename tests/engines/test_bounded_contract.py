"""An engine with a bound keeps the whole contract as long as there is room.

By default memory does all of it, the engines on disk what is about writing; `make bounds` runs everything
on all of them.
"""

from collections.abc import Iterable
from pathlib import Path

from docstore.engines.contract import Engine
from docstore.engines.registry import EngineURL
from docstore.engines.shared.verify import Finding, check_store
from docstore.model import Clock
from docstore.testing.contract import EngineContract
from docstore.testing.contract.engine_tests import EngineTests
from docstore.testing.contract.lifetime import LifetimeTests
from docstore.testing.contract.writes import ExpectationTests
from tests.engines.bounded_stores import LONG, open_bounded, url_of

AMPLE = 2**40


class Memory(EngineTests):
    durable = False

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_bounded(url_of("memory", folder, AMPLE), clock)


class OnDisk(EngineTests):
    durable = True
    scheme: str

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_bounded(url_of(self.scheme, folder, AMPLE), clock)

    def check(self, folder: Path) -> Iterable[Finding]:
        checked = check_store(EngineURL(self.scheme, str(folder / "store")))
        return (found for found in checked if isinstance(found, Finding))


class SQLite(OnDisk):
    scheme = "sqlite"


class File(OnDisk):
    scheme = "file"


class TestMemory(Memory, EngineContract):
    pass


if LONG:

    class TestSQLite(SQLite, EngineContract):
        pass

    class TestFile(File, EngineContract):
        pass

else:

    class TestSQLiteInPart(SQLite, ExpectationTests, LifetimeTests):
        pass

    class TestFileInPart(File, ExpectationTests):
        pass
