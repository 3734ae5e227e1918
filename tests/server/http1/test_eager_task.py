"""Coroutines that run without a Task until they wait behave as if they had run in one from the start."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any
from weakref import ref

import pytest
import uvloop

from docstore.server.http1.eager_task import EagerRunner

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
NewLoop = Callable[[], asyncio.AbstractEventLoop]


def run(new_loop: NewLoop, test: Callable[[EagerRunner], Coroutine[Any, Any, None]]) -> None:
    """Run `test` with an EagerRunner; an error that the loop reports fails the test."""
    complaints: list[dict[str, Any]] = []
    runners: list[EagerRunner] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        runners.append(EagerRunner(asyncio.get_running_loop(), set()))
        await test(runners[0])

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    runners.clear()
    gc.collect()
    assert not complaints


async def start(runner: EagerRunner, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None] | None":
    """Run a coroutine from a callback of the loop, as the protocol does."""
    started: asyncio.Future[asyncio.Task[None] | None] = asyncio.get_running_loop().create_future()

    def begin() -> None:
        try:
            started.set_result(runner.run(coroutine))
        except (Exception, asyncio.CancelledError) as error:
            started.set_exception(error)

    asyncio.get_running_loop().call_soon(begin)
    return await started


@LOOPS
def test_a_coroutine_that_never_waits_ends_at_once_without_a_task(new_loop: NewLoop) -> None:
    async def test(runner: EagerRunner) -> None:
        done: list[int] = []

        async def quick(number: int) -> None:
            done.append(number)

        for number in range(3):
            assert await start(runner, quick(number)) is None
        assert done == [0, 1, 2]
        assert len(asyncio.all_tasks()) == 2  # this one and the spare

    run(new_loop, test)


@LOOPS
def test_a_coroutine_that_waits_continues_in_the_task_that_it_saw(new_loop: NewLoop) -> None:
    async def test(runner: EagerRunner) -> None:
        seen: list[object] = []

        async def waits() -> None:
            seen.append(asyncio.current_task())
            await asyncio.sleep(0)
            seen.append(asyncio.current_task())
            await asyncio.sleep(0.001)
            seen.append(asyncio.current_task())

        task = await start(runner, waits())
        assert task is not None
        await task
        assert seen == [task] * 3
        assert asyncio.current_task() is not task

    run(new_loop, test)


FIRST_WAITS: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
    "sleep(0)": lambda: asyncio.sleep(0, "done"),
    "sleep": lambda: asyncio.sleep(0.001, "done"),
    "to_thread": lambda: asyncio.to_thread(lambda: "done"),
    "wait_for": lambda: asyncio.wait_for(asyncio.sleep(0.001, "done"), 10),
    "shield": lambda: _shielded(),
    "gather": lambda: _gathered(),
    "group": lambda: _grouped(),
    "timeout": lambda: _in_time(),
    "lock": lambda: _locked(),
    "future-that-is-done-soon": lambda: _soon(),
}


async def _shielded() -> str:
    return await asyncio.shield(asyncio.ensure_future(asyncio.sleep(0.001, "done")))


async def _gathered() -> str:
    return (await asyncio.gather(asyncio.sleep(0, "done"), asyncio.sleep(0.001)))[0]


async def _grouped() -> str:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(asyncio.sleep(0.001, "done"))
    return task.result()


async def _in_time() -> str:
    async with asyncio.timeout(10):
        return await asyncio.sleep(0.001, "done")


async def _locked() -> str:
    lock = asyncio.Lock()
    await lock.acquire()
    asyncio.get_running_loop().call_later(0.001, lock.release)
    async with lock:
        return "done"


async def _soon() -> str:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, "done")
    return await future


@LOOPS
@pytest.mark.parametrize("wait", FIRST_WAITS.values(), ids=FIRST_WAITS)
def test_the_first_wait_can_be_for_anything(new_loop: NewLoop, wait: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    async def test(runner: EagerRunner) -> None:
        results: list[str] = []

        async def waits() -> None:
            results.append(await wait())
            results.append(await wait())

        task = await start(runner, waits())
        assert task is not None
        await task
        assert results == ["done", "done"]

    run(new_loop, test)


@LOOPS
def test_a_timeout_that_starts_before_the_first_wait_cancels_it(new_loop: NewLoop) -> None:
    async def test(runner: EagerRunner) -> None:
        ended: list[str] = []

        async def waits() -> None:
            try:
                async with asyncio.timeout(0.001):
                    await asyncio.sleep(60)
            except TimeoutError:
                ended.append("in time")
            await asyncio.sleep(0)
            ended.append("and went on")

        task = await start(runner, waits())
        assert task is not None
        await task
        assert ended == ["in time", "and went on"]

    run(new_loop, test)


@LOOPS
@pytest.mark.parametrize("turns", [0, 1, 2, 5])
def test_a_cancelled_task_cancels_what_it_waits_for_and_cleans_up(new_loop: NewLoop, turns: int) -> None:
    async def test(runner: EagerRunner) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        cleaned: list[str] = []

        async def waits() -> None:
            try:
                await future
            finally:
                await asyncio.sleep(0)
                cleaned.append("up")

        task = await start(runner, waits())
        assert task is not None
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.cancelled()
        assert cleaned == ["up"]

    run(new_loop, test)


@LOOPS
@pytest.mark.parametrize("turns", [0, 1, 2, 5])
def test_a_cancelled_coroutine_can_still_end_normally(new_loop: NewLoop, turns: int) -> None:
    async def test(runner: EagerRunner) -> None:
        ended: list[str] = []

        async def unmoved() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                ended.append("unmoved")

        task = await start(runner, unmoved())
        assert task is not None
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await task
        assert (ended, task.cancelled()) == (["unmoved"], False)

    run(new_loop, test)


@LOOPS
def test_a_coroutine_that_cancels_itself_affects_no_other(new_loop: NewLoop) -> None:
    async def test(runner: EagerRunner) -> None:
        async def cancels() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

        async def cancels_and_waits() -> None:
            await cancels()
            await asyncio.sleep(60)

        await start(runner, cancels())
        task = await start(runner, asyncio.sleep(0.001))
        assert task is not None
        await task
        await start(runner, cancels())
        task = await start(runner, cancels_and_waits())
        assert task is not None
        with pytest.raises(asyncio.CancelledError):
            await task
        task = await start(runner, asyncio.sleep(0.001))
        assert task is not None
        await task
        assert not task.cancelled()

    run(new_loop, test)


@LOOPS
def test_an_exception_in_the_first_step_is_raised_by_run(new_loop: NewLoop) -> None:
    async def test(runner: EagerRunner) -> None:
        async def fails(after: int) -> None:
            for _ in range(after):
                await asyncio.sleep(0)
            raise LookupError

        async def gives_up() -> None:
            raise asyncio.CancelledError

        with pytest.raises(LookupError):
            await start(runner, fails(0))
        with pytest.raises(asyncio.CancelledError):
            await start(runner, gives_up())
        task = await start(runner, fails(2))
        assert task is not None
        with pytest.raises(LookupError):
            await task

    run(new_loop, test)


@LOOPS
def test_context_variables_stay_with_their_coroutine(new_loop: NewLoop) -> None:
    name: ContextVar[str] = ContextVar("name", default="nobody")

    async def test(runner: EagerRunner) -> None:
        seen: list[str] = []
        others_are_done = asyncio.Event()

        async def quick() -> None:
            seen.append(name.get())
            name.set("quick")

        async def waits() -> None:
            seen.append(name.get())
            name.set("waits")
            await others_are_done.wait()
            seen.append(name.get())

        await start(runner, quick())
        task = await start(runner, waits())
        await start(runner, quick())
        others_are_done.set()
        assert task is not None
        await task
        assert seen == ["nobody", "nobody", "nobody", "waits"]
        assert name.get() == "nobody"

    run(new_loop, test)


@LOOPS
def test_what_a_coroutine_holds_is_freed_at_its_end(new_loop: NewLoop) -> None:
    class Held:
        pass

    async def test(runner: EagerRunner) -> None:
        kept: list[ref[Held]] = []

        async def holds() -> None:
            future: asyncio.Future[Held] = asyncio.get_running_loop().create_future()
            held = Held()
            kept.append(ref(held))
            asyncio.get_running_loop().call_soon(future.set_result, held)
            del held
            await future

        gc.disable()
        try:
            task = await start(runner, holds())
            assert task is not None
            await task
            del task
            await asyncio.sleep(0)
            assert kept[0]() is None
        finally:
            gc.enable()

    run(new_loop, test)


@LOOPS
def test_the_spare_task_ends_with_its_loop(new_loop: NewLoop) -> None:
    async def test(runner: EagerRunner) -> None:
        await start(runner, asyncio.sleep(0.001))

    run(new_loop, test)  # complaints of destroyed tasks would be found there
