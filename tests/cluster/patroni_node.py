"""Patroni with a lease (`ttl`) of 10 seconds, for which its own lower bound is 20.

After the loss of a leader's machine nobody writes until its lease has ended. Patroni's rule for a safe lease,
loop_wait + 2 * retry_timeout <= ttl, holds for this one too.
"""

import sys
from typing import Any

from patroni.__main__ import main
from patroni.config import Config

SHORTEST_TTL_S = 10
_ADJUST = "_Config__get_and_maybe_adjust_int_value"
_adjust = getattr(Config, _ADJUST)


def _adjust_less(self: Config, config: dict[str, Any], name: str, lowest: int) -> int:
    adjusted: int = _adjust(self, config, name, min(lowest, SHORTEST_TTL_S))
    return adjusted


setattr(Config, _ADJUST, _adjust_less)

if __name__ == "__main__":
    sys.exit(main())
