"""Waiting for a Transport on an event loop, apart from `transport` because Client needs no asyncio over HTTP."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from docstore.errors import SetupError

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
