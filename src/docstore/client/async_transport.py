"""Waiting for a Transport on an event loop, apart from `transport` because Client needs no asyncio over HTTP."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from itertools import islice
from typing import Any, TypeVar, cast

from docstore.client.transport import IN_FLIGHT, Transport
from docstore.errors import SetupError

A = TypeVar("A")
T = TypeVar("T")


class AsyncTransport:
    """Waiting for a Transport on an event loop."""

    _loop: asyncio.AbstractEventLoop | None = None

    def check_loop(self) -> None:
        """Bind the transport to the running loop. Raise SetupError if it is bound to another one."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise SetupError("this AsyncClient was used in another event loop; create one for each loop")

    def forget_loop(self) -> None:
        self._loop = None

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def work(self, function: Callable[[], T]) -> T:
        return await asyncio.to_thread(function)

    async def run_many(
        self, call: Callable[[Transport, A], Coroutine[Any, Any, T]], arguments: Iterator[A]
    ) -> AsyncGenerator[T, None]:
        """Each call is a task. Those in flight are cancelled with the caller."""
        transport = cast(Transport, self)
        started: deque[asyncio.Task[T]] = deque()
        try:
            while True:
                for argument in islice(arguments, IN_FLIGHT - len(started)):
                    started.append(asyncio.create_task(call(transport, argument)))
                if not started:
                    return
                yield await started.popleft()
        except Exception:
            await asyncio.gather(*started, return_exceptions=True)
            raise
        finally:
            for task in started:
                task.cancel()
            await asyncio.gather(*started, return_exceptions=True)
