"""The contract suite, which every engine passes, also those of other packages.

The author of an engine writes a test module with one class, and pytest does the rest:

    class TestMine(EngineContract):
        durable = True

        def open(self, folder: Path, clock: Clock) -> Engine:
            return open_engine(EngineURL.parse(f"mine:{folder / 'store'}"), clock)

`open` runs in an event loop, and again on the same folder when a test reopens a store. An engine on disk also
implements `check(folder)`, which returns what is wrong with a closed store: after every test that must be nothing.
Only `docstore.testing` needs pytest and Hypothesis; no other part of Docstore imports it.
"""

from docstore.testing.clock import SetClock
from docstore.testing.contract.backup import RestoreTests, SnapshotTests
from docstore.testing.contract.content import ContentTests, UploadTests
from docstore.testing.contract.expiry import ExpiryTests
from docstore.testing.contract.keys import KeyTests, ListingTests
from docstore.testing.contract.lifetime import LifetimeTests
from docstore.testing.contract.state_machine import StateMachineTests
from docstore.testing.contract.writes import ExpectationTests, RaceTests

__all__ = ["EngineContract", "SetClock"]


class EngineContract(
    ExpectationTests, ContentTests, UploadTests, RaceTests, KeyTests, ListingTests, ExpiryTests, RestoreTests,
    SnapshotTests, LifetimeTests, StateMachineTests,
):  # fmt: skip
    """All tests of the contract. A subclass can't override any: an engine keeps all of the contract."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in vars(cls):
            if name.startswith("test_") and hasattr(EngineContract, name):
                raise TypeError(f"{cls.__name__} overrides {name}: every engine must pass every test of the contract")
