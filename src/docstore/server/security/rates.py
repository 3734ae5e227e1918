"""Rates: how many requests a token, or an address, may send in a window of time.

Each has a virtual time, up to which its requests are used up (the generic cell rate algorithm): one number, whatever
the rate. A full window may be used at once; then requests become free one by one. Each process counts on its own. The
fields are those of draft-ietf-httpapi-ratelimit-headers.
"""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from docstore.http.message import HeaderPairs
from docstore.server.errors import HTTPProblem
from docstore.units import Rate

ADDRESS_COUNT: Final = 10_000
"""Addresses that are remembered; the one that was seen least recently is forgotten."""


class RateLimiter:
    """The rate of one client. `name` is what is limited: `token` or `address`."""

    __slots__ = ("_monotonic", "_name", "_rate", "_used_until_s")

    def __init__(self, name: str, rate: Rate, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._rate = rate
        self._monotonic = monotonic
        self._used_until_s = float("-inf")

    def take(self) -> None:
        """Count a request. Raise HTTPProblem (429), which counts nothing, if there are too many."""
        rate, now_s = self._rate, self._monotonic()
        used_until_s = max(self._used_until_s, now_s) + rate.window_s / rate.count
        # Less than a millionth of a window is a rounding error.
        wait_s = used_until_s - now_s - rate.window_s * 1.000001
        if wait_s > 0:
            more = [*self.fields(), (b"retry-after", b"%d" % math.ceil(wait_s))]
            raise HTTPProblem(
                "too-many-requests", f"at most {rate.count} in {rate.window_s} s for one {self._name}", more
            )
        self._used_until_s = used_until_s

    def fields(self) -> HeaderPairs:
        """Return RateLimit and RateLimit-Policy: the requests that are left, and when all of them are."""
        rate = self._rate
        used_s = max(0.0, self._used_until_s - self._monotonic())
        left = int(rate.count * (1 - used_s / rate.window_s) + 1e-6)
        policy = f'"{self._name}";q={rate.count};w={rate.window_s}'
        return [
            (b"ratelimit-policy", policy.encode("ascii")),
            (b"ratelimit", f'"{self._name}";r={max(left, 0)};t={math.ceil(used_s)}'.encode("ascii")),
        ]


class AddressRates:
    """The rates of all addresses; those of IPv6 are counted by their network of 64 bits, which one client may have."""

    def __init__(self, rate: Rate, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._monotonic = monotonic
        self._limiters: OrderedDict[str, RateLimiter] = OrderedDict()

    def limiter(self, address: str) -> RateLimiter:
        key = _network(address) if ":" in address else address
        limiter = self._limiters.get(key)
        if limiter is None:
            limiter = self._limiters[key] = RateLimiter("address", self._rate, self._monotonic)
            if len(self._limiters) > ADDRESS_COUNT:
                self._limiters.popitem(last=False)
        else:
            self._limiters.move_to_end(key)
        return limiter


def _network(address: str) -> str:
    try:
        whole = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    return str(whole.ipv4_mapped or whole.packed[:8].hex())
