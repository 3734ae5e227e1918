"""What an engine's author gives, and how a test of the contract runs on it.

A test is a coroutine over an engine that is open and its clock. `on_an_engine` makes of it what pytest collects: a
function that opens the engine in an event loop of its own and closes it there, because an engine lives within one
loop. A plugin for async tests was rejected: every author of an engine would have to install and set up the same one.
"""

import asyncio
import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, Final

from docstore.engines.contract import Engine
from docstore.model import Clock
from docstore.testing.clock import SetClock

HANGS_AFTER_S: Final = 120
"""A test that takes longer has failed: an engine waits for something that never comes."""


class Opening(ABC):
    """What a topic of the contract knows of the engine under test."""

    durable: ClassVar[bool]
    """Whether documents are still there when the engine has been closed and opened again."""

    @abstractmethod
    def open(self, folder: Path, clock: Clock) -> Engine:
        """The engine over a store inside `folder`, which is the test's own; the same store for the same folder."""

    def check(self, folder: Path) -> Iterable[object]:
        """All that is wrong with the store in `folder`, orphans included. Asked for whenever a test has closed it.

        Of an engine on disk it looks at the disk and not at the engine; by default nothing is looked at.
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


def on_an_engine(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """`test(self, engine, clock, ...)` for pytest: engine and clock give way to pytest's `tmp_path`."""

    @functools.wraps(test)
    def collected(self: Opening, tmp_path: Path, **parameters: object) -> None:
        async def run() -> None:
            clock = SetClock()
            async with asyncio.timeout(HANGS_AFTER_S), self.opened(tmp_path, clock) as engine:
                await test(self, engine, clock, **parameters)

        asyncio.run(run())

    topic, _engine, _clock, *own = inspect.signature(test).parameters.values()
    folder = inspect.Parameter("tmp_path", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    # pytest reads here which fixtures and parameters a test wants.
    vars(collected)["__signature__"] = inspect.Signature([topic, folder, *own])
    return collected
