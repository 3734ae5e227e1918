"""The interface that the operations need: to send a request, to wait, and to run work that may block.

The operations are coroutines over the `Transport` protocol and are written once. An asynchronous transport awaits an
event loop; a synchronous one blocks and never suspends, so that `run_sync` completes a coroutine in one step. Two sets
of operations, one for each client, were rejected, and so was generating one from the other.
"""

import os
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Protocol, TypeVar, cast

from docstore.client.body import ClientBody

A = TypeVar("A")
T = TypeVar("T")
RequestHeaders = tuple[tuple[str, str], ...]

IN_FLIGHT: Final = 16
"""Requests in flight at once of an operation on many documents; their content is in memory."""
_HTTP_HEADERS: Final = (("accept-encoding", "identity"), ("user-agent", "docstore-python"))


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """One request. `target` is the percent-encoded path and query."""

    method: str
    target: str
    headers: RequestHeaders = ()
    body: ClientBody | None = None
    send_once: bool = False
    """Whether it must not be repeated once it may have been applied."""

    @property
    def safe(self) -> bool:
        """Whether the method is safe (RFC 9110 §9.2.1)."""
        return self.method in ("GET", "HEAD", "OPTIONS")

    @property
    def can_be_sent(self) -> bool:
        """Whether all of its body can still be read."""
        return self.body is None or self.body.can_be_sent

    def http_headers(self) -> dict[str, str]:
        """The headers to send over HTTP. A later header replaces an earlier one of the same name."""
        headers = {name.lower(): value for name, value in (*_HTTP_HEADERS, *self.headers)}
        if self.body is not None:
            size = self.body.size
            headers |= {"transfer-encoding": "chunked"} if size is None else {"content-length": str(size)}
        return headers


class TransportError(Exception):
    """No response arrived, or only part of it.

    `sent` is False if the request cannot have reached the server; then the message does not need the request.
    """

    def __init__(self, reason: str, *, sent: bool = True) -> None:
        super().__init__(reason)
        self.sent = sent

    @classmethod
    def unreachable(cls, origin: str, error: BaseException) -> "TransportError":
        """The error of a connection that can't be opened, with the cause at the end of the chain of `error`."""
        while (inner := _cause_of(error)) is not None:
            error = inner
        reason = str(getattr(error, "strerror", None) or error or type(error).__name__)
        if isinstance(error, TimeoutError):
            reason = "no response in time"
        elif isinstance(error, OSError) and error.errno and reason.startswith("Connect call failed"):
            reason = os.strerror(error.errno)  # asyncio puts the address in the place of the reason
        return cls(f"cannot reach {origin}: {reason[:1].lower()}{reason[1:]}", sent=False)


def _cause_of(error: BaseException) -> BaseException | None:
    """The cause: a group has one for each address of a host, and an error of httpcore2 has it as its argument."""
    if isinstance(error, BaseExceptionGroup):
        return error.exceptions[0]
    first = error.args[0] if error.args else None
    return error.__cause__ or (first if isinstance(first, Exception) else None)


class ResponseStream(Protocol):
    """The status and headers of a response whose content has not been read yet."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case; the lines of one field are joined by a comma."""

    async def read(self) -> bytes:
        """The next bytes of the content; b"" at its end. Raise TransportError."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ClientResponse:
    """A response with its content."""

    status: int
    headers: dict[str, str]
    content: bytes = field(repr=False, default=b"")
    maybe_applied: bool = False
    """Whether an earlier attempt at the same request may have been applied though its response was lost."""


class Transport(Protocol):
    """One way to a store."""

    async def send(self, request: ClientRequest, timeout_s: float) -> ResponseStream:
        """Send a request and wait for the head of its response, `timeout_s` for each step. Raise TransportError."""

    async def pause(self, seconds: float) -> None: ...

    async def work(self, function: Callable[[], T]) -> T:
        """Return what `function` returns; it may block."""

    def run_many(
        self, call: "Callable[[Transport, A], Coroutine[Any, Any, T]]", arguments: Iterator[A]
    ) -> AsyncGenerator[T, None]:
        """The results of the calls for all arguments, in their order, with several calls in flight.

        `call` also gets the transport to use. When one raises an exception, no further one starts; it is raised when
        those in flight have ended.
        """

    async def close(self) -> None: ...


class SyncTransport:
    """Waiting for a Transport that blocks its thread."""

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - blocking is the purpose of this transport

    async def work(self, function: Callable[[], T]) -> T:
        return function()

    async def run_many(
        self, call: Callable[[Transport, A], Coroutine[Any, Any, T]], arguments: Iterator[A]
    ) -> AsyncGenerator[T, None]:
        """Each call blocks a thread."""
        from concurrent.futures import Future, ThreadPoolExecutor  # PERF: loads logging

        transport = cast(Transport, self)
        with ThreadPoolExecutor(IN_FLIGHT, "docstore-many") as threads:
            started: deque[Future[T]] = deque()
            while True:
                for argument in islice(arguments, IN_FLIGHT - len(started)):
                    started.append(threads.submit(lambda argument: run_sync(call(transport, argument)), argument))
                if not started:
                    return
                yield started.popleft().result()


def run_sync(operation: Coroutine[Any, Any, T]) -> T:
    """The result of an operation over a SyncTransport."""
    try:
        operation.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    operation.close()
    raise TypeError("Client cannot wait for something asynchronous; use AsyncClient")


def iterate_sync(values: AsyncGenerator[T, None]) -> Iterator[T]:
    """The values of an asynchronous generator over a SyncTransport."""
    try:
        while True:
            try:
                value = run_sync(values.__anext__())
            except StopAsyncIteration:
                return
            yield value
    finally:
        run_sync(values.aclose())
