"""What all connections of one process share: whom they call, their bounds and their number, and the sweep.

uvicorn makes a protocol for each connection and gives it nothing of ours but the application: so the application
carries `handle`, and the house with it. It is made in the process that serves, never sent to one.
"""

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol

from docstore.http.message import Request, Response
from docstore.limits import Limits
from docstore.server.http1.eager_task import Runner
from docstore.server.http1.response_head import Openings

if TYPE_CHECKING:
    from uvicorn.server import ServerState

Handle = Callable[[Request], Awaitable[Response]]
Asgi = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]

log: Final = logging.getLogger("docstore")

YOUNG_OBJECTS: Final = 20_000
"""Objects, made and not yet gone, after which the garbage collector looks at them; Python's own number is 700."""
SPARE_CONNECTIONS: Final = 100
"""Connections past a limit that are told so; more than these are closed at once."""


class Guest(Protocol):
    """A connection as the house sees it."""

    def advance(self) -> None: ...
    def check(self, now_s: float) -> None: ...


class Admission(Enum):
    WELCOME = "it is served"
    FULL = "it is told that there are too many"
    CROWDED = "it is closed"


class House:
    """The connections of one process."""

    def __init__(
        self, handle: Handle, limits: Limits, loop: asyncio.AbstractEventLoop, tasks: "set[asyncio.Task[None]]"
    ) -> None:
        self.handle = handle
        self.limits = limits
        self.loop = loop
        self.runner = Runner(loop, tasks)
        self.openings = Openings()
        self.stopping = False
        self._guests: set[Guest] = set()
        self._from_address: Counter[str] = Counter()
        self._ready: list[Guest] = []
        self._sweep: asyncio.TimerHandle | None = None

    def admit(self, guest: Guest, address: str) -> Admission:
        """Counts `guest` in, until it leaves; "" is an address that isn't counted."""
        self._guests.add(guest)
        if address:
            self._from_address[address] += 1
        if self._sweep is None:
            self._sweep = self.loop.call_later(self._sweep_s, self._check_all)
        over = max(
            len(self._guests) - self.limits.connection_count,
            self._from_address[address] - self.limits.address_connection_count if address else 0,
        )
        if over <= 0:
            return Admission.WELCOME
        return Admission.FULL if over <= SPARE_CONNECTIONS else Admission.CROWDED

    def leave(self, guest: Guest, address: str) -> None:
        self._guests.discard(guest)
        if address:
            self._from_address[address] -= 1
            if not self._from_address[address]:
                del self._from_address[address]
        if not self._guests and self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def soon(self, guest: Guest) -> None:
        """Lets `guest` advance when all that has come in this turn of the loop was read.

        PERF: uvloop lets go of the interpreter's lock after each read. Handled at once, the first write of a turn wakes
        its engine's thread, which commits a batch of one or two and fights for the lock with the reads that follow.
        Handled together they are one batch.
        """
        self._ready.append(guest)
        if len(self._ready) == 1:
            self.loop.call_soon(self._advance_all)

    def _advance_all(self) -> None:
        ready, self._ready = self._ready, []
        for guest in ready:
            try:
                guest.advance()
            except Exception:
                log.exception("a connection can't go on")

    @property
    def _sweep_s(self) -> float:
        return min(1.0, self.limits.shortest_s / 4)

    def _check_all(self) -> None:
        self._sweep = self.loop.call_later(self._sweep_s, self._check_all)
        now_s = self.loop.time()
        for guest in list(self._guests):
            guest.check(now_s)


@dataclass(slots=True)
class Application:
    """What uvicorn is given: an ASGI application, for its start and its stop, and what the wire calls instead of it.

    To be given with `proxy_headers=False` and `interface="asgi3"`: otherwise uvicorn wraps it, and `handle` is hidden.
    """

    asgi: Asgi
    handle: Handle
    limits: Limits = field(default_factory=Limits)
    _house: House | None = None

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        await self.asgi(scope, receive, send)

    def house(self, loop: asyncio.AbstractEventLoop, state: "ServerState") -> House:
        if self._house is None or self._house.loop is not loop:
            _collect_seldom()
            self._house = House(self.handle, self.limits, loop, state.tasks)
        return self._house


def _collect_seldom() -> None:
    """Spares requests that wait together from being searched for garbage, again and again; they leave none.

    PERF: 64 of them hold more than 700 objects. Durable PUTs at 64 connections took 15% less of this process with
    50,000. To freeze what is there at the start (`gc.freeze`) brought nothing more.
    """
    young, *older = gc.get_threshold()
    if 0 < young < YOUNG_OBJECTS:
        gc.set_threshold(YOUNG_OBJECTS, *older)
