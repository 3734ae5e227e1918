"""The clock of this machine compared with that of a store which several machines share.

The clock of each server decides expiry, and one that is ahead lets documents expire too early. So a server with a wrong
clock does not open the store, and sweepers remove only what has expired by the clock of the store too.
"""

from time import time
from typing import Final

TOLERANCE_S: Final = 30


def clock_fault(store_s: float) -> str | None:
    """Say how this machine's clock is wrong if it differs from the store's time, in seconds since the epoch."""
    ahead_s = time() - store_s
    if abs(ahead_s) <= TOLERANCE_S:
        return None
    return (
        f"the clock of this machine is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} that of the store"
    )
