"""The contract suite that every engine runs, the ones of other packages too, and a clock to set.

An engine's author writes a test module with one class, and pytest does the rest:

    class TestMine(EngineContract):
        durable = True

        def open(self, folder: Path, clock: Clock) -> Engine:
            return open_engine(EngineURL.parse(f"mine:{folder / 'store'}"), clock)

`open` is called within a running event loop, and again on the same folder when a test opens a store anew. An engine on
disk also says by `check(folder)` what is wrong with a store that is closed; after every test nothing may be. A subclass
that overrides a test is refused: an engine keeps the whole of the contract or is none. What an engine does with its
own disk, driver and errors is for its own tests.

This package alone needs pytest and Hypothesis; nothing else in Docstore imports it.
"""

from typing import Final

import pytest

_TOPICS: Final = (
    "contents",
    "expectations",
    "expiry",
    "lifetime",
    "listings",
    "state_machine",
    "names",
    "opening",
    "races",
    "restoring",
    "snapshots",
    "uploading",
)
# Without this a failing assertion of the suite would say nothing of the values it compared.
pytest.register_assert_rewrite(*(f"docstore.testing.contract.{topic}" for topic in _TOPICS))

from docstore.testing.clock import SetClock  # noqa: E402 - only after the line above
from docstore.testing.contract.contract import EngineContract  # noqa: E402

__all__ = ["EngineContract", "SetClock"]
