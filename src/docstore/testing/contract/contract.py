"""The whole contract in one class: each topic is a class of tests in a file of its own."""

from docstore.testing.contract.contents import Contents
from docstore.testing.contract.expectations import Expectations
from docstore.testing.contract.expiry import Expiry
from docstore.testing.contract.lifetime import Lifetime
from docstore.testing.contract.listings import Listings
from docstore.testing.contract.names import Names
from docstore.testing.contract.races import Races
from docstore.testing.contract.restoring import Restored
from docstore.testing.contract.snapshots import Snapshots
from docstore.testing.contract.state_machine import LikeADict
from docstore.testing.contract.uploading import Uploading


class EngineContract(
    Expectations, Contents, Uploading, Races, Names, Listings, Expiry, Restored, Snapshots, Lifetime, LikeADict
):
    """Subclass it, say how the engine is opened and whether it is `durable`, and run pytest."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in vars(cls):
            if name.startswith("test_") and hasattr(EngineContract, name):
                raise TypeError(f"{cls.__name__} overrides {name}: every engine passes every test of the contract")
