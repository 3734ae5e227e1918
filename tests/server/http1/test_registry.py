"""The application for uvicorn, and what the connections of a process share."""

import asyncio
import gc
import pickle

import pytest
import uvicorn
from uvicorn.server import ServerState

from docstore.http.message import Request, Response
from docstore.limits import Limits
from docstore.server.http1 import Protocol, UvicornApplication
from docstore.server.http1.registry import GC_THRESHOLD, REJECTED_CONNECTIONS, Admission, ConnectionRegistry


class FakeConnection:
    """A connection that counts its calls, and sets `thrice` at the third check."""

    def __init__(self) -> None:
        self.checked = 0
        self.advanced = 0
        self.thrice = asyncio.Event()

    def advance(self) -> None:
        self.advanced += 1
        if self.advanced == 1:
            raise RuntimeError("on purpose")

    def check_timeout(self, now_s: float) -> None:
        self.checked += 1
        if self.checked == 3:
            self.thrice.set()


async def handle(request: Request) -> Response:
    return Response(204, [])


async def asgi(scope: object, receive: object, send: object) -> None:
    raise AssertionError("the protocol calls handle instead")


def make_application() -> UvicornApplication:
    return UvicornApplication(asgi, handle)


def make_registry(limits: Limits) -> ConnectionRegistry:
    loop = asyncio.get_running_loop()
    return ConnectionRegistry(handle, lambda request: None, lambda request, respond: False, limits, loop, set())


def test_the_configuration_can_be_sent_to_a_worker() -> None:
    """Workers are spawned: the class is pickled by name, and each worker makes the application."""
    config = uvicorn.Config(make_application, factory=True, http=Protocol, interface="asgi3", proxy_headers=False)
    received = pickle.loads(pickle.dumps(config))
    received.load()
    assert received.http_protocol_class is Protocol
    assert received.loaded_app.handle is handle


def test_connections_are_counted_in_total_and_by_address() -> None:
    async def main() -> None:
        registry = make_registry(Limits(connection_count=3, address_connection_count=2))
        connections = [FakeConnection() for _ in range(6)]
        addresses = ["a", "a", "a", "", "b", ""]
        admitted = [
            registry.add(connection, address) for connection, address in zip(connections, addresses, strict=True)
        ]
        reject, accept = Admission.REJECT_503, Admission.ACCEPT
        assert admitted == [accept, accept, reject, reject, reject, reject]
        for connection, address in zip(connections, addresses, strict=True):
            registry.remove(connection, address)
        assert registry.add(connections[0], "a") is accept
        registry.remove(connections[0], "a")

    asyncio.run(main())


def test_connections_far_past_the_limit_are_dropped() -> None:
    async def main() -> None:
        registry = make_registry(Limits(connection_count=0))
        connections = [FakeConnection() for _ in range(REJECTED_CONNECTIONS + 1)]
        admitted = [registry.add(connection, "") for connection in connections]
        assert admitted == [Admission.REJECT_503] * REJECTED_CONNECTIONS + [Admission.DROP]
        for connection in connections:
            registry.remove(connection, "")

    asyncio.run(main())


def test_connections_are_checked_repeatedly_while_there_are_any() -> None:
    async def main() -> None:
        registry, connection = make_registry(Limits(head_s=0.004)), FakeConnection()
        registry.add(connection, "")
        await connection.thrice.wait()
        registry.remove(connection, "")
        seen = connection.checked
        await asyncio.sleep(0.01)
        assert connection.checked == seen

    asyncio.run(main())


def test_a_failed_connection_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        registry, connections = make_registry(Limits()), [FakeConnection() for _ in range(3)]
        for _ in range(2):
            for connection in connections:
                registry.schedule(connection)
            await asyncio.sleep(0)
        assert [connection.advanced for connection in connections] == [2, 2, 2]

    asyncio.run(main())
    assert len(caplog.records) == 3


@pytest.mark.parametrize(("before", "after"), [(700, GC_THRESHOLD), (50_000, 50_000), (0, 0)])
def test_the_gc_threshold_is_raised_but_never_lowered(before: int, after: int) -> None:
    """A threshold of 0 turns collection off."""

    async def start_serving() -> None:
        make_application().registry(asyncio.get_running_loop(), ServerState())

    found = gc.get_threshold()
    try:
        gc.set_threshold(before, *found[1:])
        asyncio.run(start_serving())
        assert gc.get_threshold() == (after, *found[1:])
    finally:
        gc.set_threshold(*found)
