"""Runs coroutines without a Task until they wait, and in a Task after that.

Most requests never wait: the document is in memory or needs one look-up. A Task for each would cost an object, a turn
of the loop and a callback. So the first step of a coroutine runs by hand, and a Task takes over only when it waits.

Code in that first step may ask for its Task: asyncio.timeout, TaskGroup and wait_for keep it to cancel it later. So the
step runs *as* a Task that already exists: a spare one, which waits on a future. It is the current task meanwhile
(`_enter_task`, which asyncio documents for extensions), and it continues the coroutine when that waits. A coroutine
that never waits leaves the spare Task to the next one. Each coroutine has its own context.

Rejected: create_task on a started coroutine (the future that it waits for would be lost), a substitute for the current
Task (the coroutine would continue in another one), and eager tasks (Python 3.12; still a Task for each coroutine).

PERF: a GET from memory takes 12.4 us of this process; with a Task for each, 15 to 17 us (32 connections, uvloop). A
coroutine that is driven by `send` raises StopIteration at its end, which costs more than the step: awaiting it in
another coroutine that continues (`_drive`) takes 0.1 us less.
"""

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from types import coroutine as generator_coroutine
from typing import Any, Final

_DONE: Final = object()
"""What a driver yields when its coroutine has ended; otherwise it yields the future that the coroutine waits for."""


@generator_coroutine
def _drive() -> Generator[Any, Any, None]:
    """Run each coroutine sent to it to its end. An exception of a coroutine ends the driver too."""
    coroutine = yield _DONE
    while True:
        yield from coroutine
        coroutine = yield _DONE


class EagerRunner:
    """Runs coroutines on one event loop; `tasks` receives the Tasks of those that wait."""

    __slots__ = ("_driver", "_loop", "_spare", "_task", "_tasks")

    def __init__(self, loop: asyncio.AbstractEventLoop, tasks: "set[asyncio.Task[None]]") -> None:
        self._loop = loop
        self._tasks = tasks
        self._make_spare()
        self._make_driver()

    def _make_driver(self) -> None:
        self._driver = _drive()
        self._driver.send(None)

    def _make_spare(self) -> None:
        self._spare = SpareTask(self._loop)
        self._task = self._loop.create_task(self._spare)

    def run(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None] | None":
        """Run `coroutine` to its first wait. Return None if it has ended, else the Task that runs the rest of it.

        Call it from a callback of the loop, not from a Task: there is one current task at a time. An exception in the
        first step is raised here.
        """
        # A coroutine may have cancelled its current Task, which is this one, or the loop is ending.
        if self._spare.waiter.done():
            self._make_spare()
        context = copy_context()
        driver, spare, task = self._driver, self._spare, self._task
        _enter_task(self._loop, task)
        try:
            pending = context.run(driver.send, coroutine)
        except BaseException:
            self._make_driver()
            raise
        finally:
            _leave_task(self._loop, task)
        if pending is _DONE:
            return None
        spare.take_over(driver, pending, context)
        self._make_driver()
        self._make_spare()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class SpareTask(Coroutine[Any, Any, None]):
    """The coroutine of a spare Task: it waits until it takes over a driver whose coroutine waits for `pending`.

    It has no reference to its Task: the cycle would keep alive both, and the request's data with them.
    """

    __slots__ = ("_context", "_driver", "_pending", "_resumed", "waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.waiter: asyncio.Future[None] = loop.create_future()
        self._driver: Coroutine[Any, Any, None] | None = None
        self._context: Context = copy_context()
        self._pending: Any = None
        self._resumed = False

    def take_over(self, driver: Coroutine[Any, Any, None], pending: Any, context: Context) -> None:
        self._driver, self._pending, self._context = driver, pending, context
        if not self.waiter.done():
            self.waiter.set_result(None)

    def send(self, value: None) -> Any:
        if self._driver is None:
            return next(self.waiter.__await__())
        if not self._resumed:
            # Hand the future of the first step to the Task; awaiting it has already marked it as asyncio expects.
            return self._take_pending()
        return self._step(self._driver.send, value)

    def throw(self, *error: Any) -> Any:
        if self._driver is None:
            self.waiter.cancel()
            raise error[1] if len(error) > 1 and error[1] is not None else error[0]
        if not self._resumed:
            # Cancelled before the Task had the future: cancel it here, as the Task would have.
            pending = self._take_pending()
            if asyncio.isfuture(pending):
                pending.cancel()
        return self._step(self._driver.throw, *error)

    def _step(self, step: Callable[..., Any], *values: Any) -> Any:
        pending = self._context.run(step, *values)
        if pending is _DONE:
            raise StopIteration
        return pending

    def _take_pending(self) -> Any:
        pending, self._pending, self._resumed = self._pending, None, True
        return pending

    def close(self) -> None:
        if self._driver is not None:
            self._driver.close()

    def __await__(self) -> Generator[Any, Any, None]:
        raise TypeError("only its Task may run a SpareTask")
