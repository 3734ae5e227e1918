"""What the operations need of the world: a call goes out, a reply comes back, time passes, a file is read.

The operations are coroutines over this protocol and are written once. Behind the asynchronous client its methods wait
on an event loop; behind the plain one they block and never suspend, so that `now` runs a coroutine to its end in one
step. Twin trees for the two were rejected, and so was generating one from the other.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from docstore.client.body import Body

T = TypeVar("T")
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `target` is path and query as they stand on the wire."""

    method: str
    target: str
    headers: Pairs = ()
    body: Body | None = None
    once: bool = False
    """Whether it may be sent once only: to carry it out twice is not the same as once."""

    @property
    def safe(self) -> bool:
        """Whether it asks for no change (RFC 9110 §9.2.1)."""
        return self.method in ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer came, or not all of it. `sent` is False when the call can't have reached the server."""

    reason: str
    sent: bool = True


class Reply(Protocol):
    """The head of an answer, and its content to be read."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case; the lines of one field are joined by a comma."""

    async def read(self) -> bytes | Lost:
        """The next bytes of the content; b"" at its end."""

    async def close(self) -> None: ...


class Wire(Protocol):
    """One way to a store."""

    async def send(self, call: Call, timeout_s: float) -> Reply | Lost:
        """Sends all of a call and waits for the head of its answer; each step of it takes at most `timeout_s`."""

    async def pause(self, seconds: float) -> None: ...

    async def work(self, function: Callable[[], T]) -> T:
        """What `function` returns; it may wait for a disk."""

    async def close(self) -> None: ...


class Blocking:
    """How a Wire passes time that blocks its thread."""

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - blocking is what this wire is for

    async def work(self, function: Callable[[], T]) -> T:
        return function()


class Waiting:
    """How a Wire passes time on an event loop."""

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def work(self, function: Callable[[], T]) -> T:
        return await asyncio.to_thread(function)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is there as a whole."""

    status: int
    headers: dict[str, str]
    content: bytes = field(repr=False, default=b"")
    unsure: bool = False
    """Whether an earlier attempt at the same call may have been carried out, though its answer was lost."""


def now(operation: Coroutine[Any, Any, T]) -> T:
    """The result of an operation over a wire that blocks."""
    try:
        operation.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    operation.close()
    raise TypeError("something asynchronous was given to the plain client; AsyncClient can wait for it")


def each_now(values: AsyncGenerator[T, None]) -> Iterator[T]:
    """The values of an asynchronous generator over a wire that blocks."""
    try:
        while True:
            try:
                value = now(values.__anext__())
            except StopAsyncIteration:
                return
            yield value
    finally:
        now(values.aclose())
