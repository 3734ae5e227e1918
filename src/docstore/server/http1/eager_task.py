"""Runs coroutines without a Task until they wait, and in a Task from there.

Most requests never wait: the document is in memory or a look-up away. A Task for each costs its making, a turn of the
loop and a callback. So a coroutine's first step is made by hand, and only when it waits does a Task take it over.

Code in that first step may still ask for its Task: asyncio.timeout, TaskGroup and wait_for keep it, to cancel it later.
So the step is made *as* a Task that exists already: a spare one, parked on a future, which is the current task
meanwhile (`_enter_task`, which asyncio documents for those who extend it) and is the very one that goes on with the
coroutine when it waits. A coroutine that never waits leaves the spare as it was, for the next. Each coroutine has a
context of its own.

Rejected: handing a started coroutine to create_task (the future that it waits for would be lost), a stand-in for the
Task (another one, later, would answer to its name), and eager tasks (Python 3.12; one is made for each coroutine).

PERF: a GET from memory takes 12.4 us of this process, with a Task for each 15 to 17 us (32 connections, one turn of
uvloop). A coroutine that is sent to raises StopIteration at its end, which costs more than the sending: awaited by
another one that goes on (`_drive`), it takes 0.1 us less.
"""

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from types import coroutine as awaitable
from typing import Any, Final

AT_END: Final = object()
"""What comes from a driver when a coroutine has ended, in place of what one waits for."""


@awaitable
def _drive() -> Generator[Any, Any, None]:
    """A driver: runs the coroutines that are sent to it, each to its end. To be begun with None.

    What a coroutine raises ends its driver as well.
    """
    coroutine = yield AT_END
    while True:
        yield from coroutine
        coroutine = yield AT_END


class Runner:
    """Runs coroutines on one event loop; `tasks` holds the Tasks of those that wait."""

    __slots__ = ("_driver", "_loop", "_parked", "_task", "_tasks")

    def __init__(self, loop: asyncio.AbstractEventLoop, tasks: "set[asyncio.Task[None]]") -> None:
        self._loop = loop
        self._tasks = tasks
        self._park()
        self._renew()

    def _renew(self) -> None:
        self._driver = _drive()
        self._driver.send(None)

    def _park(self) -> None:
        """Makes the next spare Task."""
        self._parked = _Parked(self._loop)
        self._task = self._loop.create_task(self._parked)

    def run(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None] | None":
        """Runs `coroutine` to its first wait; None when it had none, else the Task that runs the rest of it.

        To be called from a callback of the loop, not from a Task: there is one current task at a time. What the
        coroutine raises in its first step is raised here.
        """
        # A coroutine may have cancelled the Task that it took for its own, or the loop is ending.
        if self._parked.parking.done():
            self._park()
        context = copy_context()
        driver, parked, task = self._driver, self._parked, self._task
        _enter_task(self._loop, task)
        try:
            pending = context.run(driver.send, coroutine)
        except BaseException:
            self._renew()
            raise
        finally:
            _leave_task(self._loop, task)
        if pending is AT_END:
            return None
        parked.take_over(driver, pending, context)
        self._renew()
        self._park()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Parked(Coroutine[Any, Any, None]):
    """What a spare Task runs: nothing, until it takes over a driver whose coroutine waits for `pending`.

    It doesn't know its Task: the two would keep each other, and with them what a request had in hand.
    """

    __slots__ = ("_context", "_driver", "_pending", "_resumed", "parking")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.parking: asyncio.Future[None] = loop.create_future()
        self._driver: Coroutine[Any, Any, None] | None = None
        self._context: Context = copy_context()
        self._pending: Any = None
        self._resumed = False

    def take_over(self, driver: Coroutine[Any, Any, None], pending: Any, context: Context) -> None:
        self._driver, self._pending, self._context = driver, pending, context
        if not self.parking.done():
            self.parking.set_result(None)

    def send(self, value: None) -> Any:
        if self._driver is None:
            return next(self.parking.__await__())
        if not self._resumed:
            # The future that the first step waited for is handed to the Task, marked as it was for being awaited.
            return self._take_pending()
        return self._step(self._driver.send, value)

    def throw(self, *error: Any) -> Any:
        if self._driver is None:
            self.parking.cancel()
            raise error[1] if len(error) > 1 and error[1] is not None else error[0]
        if not self._resumed:
            # Cancelled before the Task had the future: that is cancelled here, as the Task would have.
            pending = self._take_pending()
            if asyncio.isfuture(pending):
                pending.cancel()
        return self._step(self._driver.throw, *error)

    def _step(self, step: Callable[..., Any], *values: Any) -> Any:
        pending = self._context.run(step, *values)
        if pending is AT_END:
            raise StopIteration
        return pending

    def _take_pending(self) -> Any:
        pending, self._pending, self._resumed = self._pending, None, True
        return pending

    def close(self) -> None:
        if self._driver is not None:
            self._driver.close()

    def __await__(self) -> Generator[Any, Any, None]:
        raise TypeError("a spare Task's coroutine is run by its Task alone")
