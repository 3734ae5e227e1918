"""State that all connections of one process share: the handler, the limits, their number, and the sweep for timeouts.

uvicorn makes a protocol for each connection and passes it only the application, so the application carries the handler
and the ConnectionRegistry. The registry is made in the process that serves and never sent to another.
"""

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Protocol

from docstore.http.message import FastHandler, FastWriter, Handler, Request, Response
from docstore.limits import Limits
from docstore.server.asgi import ASGIApplication, Receive, Scope, Send
from docstore.server.http1.eager_task import EagerRunner
from docstore.server.http1.response_head import StatusLineCache

if TYPE_CHECKING:
    from uvicorn.server import ServerState

log: Final = logging.getLogger("docstore")

GC_THRESHOLD: Final = 20_000
"""Objects made and not yet freed after which the garbage collector runs; Python's default is 700."""
REJECTED_CONNECTIONS: Final = 100
"""Connections past a limit that get a 503; any further ones are closed at once."""


class ManagedConnection(Protocol):
    """A connection as the registry sees it."""

    def advance(self) -> None: ...
    def check_timeout(self, now_s: float) -> None: ...


class Admission(Enum):
    """What to do with a new connection."""

    ACCEPT = auto()
    REJECT_503 = auto()
    DROP = auto()


class ConnectionRegistry:
    """The connections of one process."""

    def __init__(
        self,
        handle: Handler,
        fast_path: FastHandler,
        fast_write: FastWriter,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        tasks: "set[asyncio.Task[None]]",
    ) -> None:
        self.handle = handle
        self.fast_path = fast_path
        self.fast_write = fast_write
        self.limits = limits
        self.loop = loop
        self.runner = EagerRunner(loop, tasks)
        self.status_lines = StatusLineCache()
        self.stopping = False
        self._connections: set[ManagedConnection] = set()
        self._by_address: Counter[str] = Counter()
        self._ready: list[ManagedConnection] = []
        self._sweep: asyncio.TimerHandle | None = None

    def add(self, connection: ManagedConnection, address: str) -> Admission:
        """Count `connection` until it is removed; the address "" has no limit."""
        self._connections.add(connection)
        if address:
            self._by_address[address] += 1
        if self._sweep is None:
            self._sweep = self.loop.call_later(self._sweep_s, self._check_timeouts)
        over = max(
            len(self._connections) - self.limits.connection_count,
            self._by_address[address] - self.limits.address_connection_count if address else 0,
        )
        if over <= 0:
            return Admission.ACCEPT
        return Admission.REJECT_503 if over <= REJECTED_CONNECTIONS else Admission.DROP

    def remove(self, connection: ManagedConnection, address: str) -> None:
        self._connections.discard(connection)
        if address:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
        if not self._connections and self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def schedule(self, connection: ManagedConnection) -> None:
        """Call `connection.advance` when the loop has read all sockets of this turn.

        PERF: uvloop releases the interpreter's lock after each read. If each request were handled at once, the first
        write of a turn would wake its engine's thread, which would commit a batch of one or two and compete for the
        lock with the remaining reads. Handled together, the writes are one batch.
        """
        self._ready.append(connection)
        if len(self._ready) == 1:
            self.loop.call_soon(self._advance_all)

    def _advance_all(self) -> None:
        ready, self._ready = self._ready, []
        for connection in ready:
            try:
                connection.advance()
            except Exception:
                log.exception("a connection failed")

    @property
    def _sweep_s(self) -> float:
        return min(1.0, self.limits.shortest_s / 4)

    def _check_timeouts(self) -> None:
        self._sweep = self.loop.call_later(self._sweep_s, self._check_timeouts)
        now_s = self.loop.time()
        for connection in list(self._connections):
            connection.check_timeout(now_s)


def _decline(request: Request) -> Response | None:
    return None


def _decline_write(request: Request, respond: Callable[[Response], None]) -> bool:
    return False


@dataclass(slots=True)
class UvicornApplication:
    """The application for uvicorn: an ASGI application for its lifespan, and the handler that Protocol calls instead.

    It needs `proxy_headers=False` and `interface="asgi3"`; otherwise uvicorn wraps it, which hides `handle`.
    """

    asgi: ASGIApplication
    handle: Handler
    limits: Limits = field(default_factory=Limits)
    fast_path: FastHandler = _decline
    fast_write: FastWriter = _decline_write
    _registry: ConnectionRegistry | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.asgi(scope, receive, send)

    def registry(self, loop: asyncio.AbstractEventLoop, state: "ServerState") -> ConnectionRegistry:
        if self._registry is None or self._registry.loop is not loop:
            _raise_gc_threshold()
            self._registry = ConnectionRegistry(
                self.handle, self.fast_path, self.fast_write, self.limits, loop, state.tasks
            )
        return self._registry


def _raise_gc_threshold() -> None:
    """Keep the garbage collector from repeatedly scanning the objects of waiting requests; they leave no garbage.

    PERF: 64 requests hold more than 700 objects. Durable PUTs at 64 connections took 15% less of this process with
    50,000. Freezing the objects of the start-up (`gc.freeze`) brought nothing more.
    """
    young, *older = gc.get_threshold()
    if 0 < young < GC_THRESHOLD:
        gc.set_threshold(GC_THRESHOLD, *older)
