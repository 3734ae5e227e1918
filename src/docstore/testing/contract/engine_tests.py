"""The methods that an engine's author implements, and how a test of the contract runs on them.

A test is a coroutine that takes an open engine, and its clock if it needs one. `with_engine` turns it into what pytest
collects: a function that opens the engine in its own event loop and closes it there, because an engine lives in one
loop. A plugin for async tests was rejected: every author of an engine would have to install and configure the same one.
"""

import asyncio
import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, Final, TypeVar

from docstore.engines.contract import Engine
from docstore.model import Clock
from docstore.testing.clock import SetClock

_TIMEOUT_S: Final = 120
"""Timeout of a test, for an engine that waits forever."""
_T = TypeVar("_T")


class EngineTests(ABC):
    """The engine under test, as the classes of tests see it."""

    durable: ClassVar[bool]
    """Whether documents survive when the engine is closed and opened again."""

    @abstractmethod
    def open(self, folder: Path, clock: Clock) -> Engine:
        """Open the store in `folder`, which belongs to one test; the same folder is the same store."""

    def check(self, folder: Path) -> Iterable[object]:
        """Return all that is wrong with the closed store in `folder`, orphans included. By default nothing is checked.

        Every test that closed a store calls this. It examines the disk, not the engine.
        """
        return ()

    @asynccontextmanager
    async def opened(self, folder: Path, clock: Clock) -> AsyncIterator[Engine]:
        engine = self.open(folder, clock)
        try:
            yield engine
        finally:
            await engine.close()
        assert list(self.check(folder)) == []

    def run(self, folder: Path, clock: Clock, step: Callable[[Engine], Awaitable[_T]]) -> _T:
        """Open the engine in a new event loop, run `step` on it, and close it."""

        async def run() -> _T:
            async with asyncio.timeout(_TIMEOUT_S), self.opened(folder, clock) as engine:
                return await step(engine)

        return asyncio.run(run())


def with_engine(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make `async def test(self, engine, ...)` or `test(self, engine, clock, ...)` a test for pytest."""
    tests, _engine, *parameters = inspect.signature(test).parameters.values()
    needs_clock = any(parameter.name == "clock" for parameter in parameters)

    @functools.wraps(test)
    def collected(self: EngineTests, tmp_path: Path, **values: object) -> None:
        clock = SetClock()
        if needs_clock:
            values["clock"] = clock
        self.run(tmp_path, clock, lambda engine: test(self, engine, **values))

    folder = inspect.Parameter("tmp_path", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    fixtures = [parameter for parameter in parameters if parameter.name != "clock"]
    # pytest reads from the signature which fixtures and parameters a test takes.
    vars(collected)["__signature__"] = inspect.Signature([tests, folder, *fixtures])
    return collected
