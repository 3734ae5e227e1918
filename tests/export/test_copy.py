"""Copies: how many documents at a time, in which order they are reported, and what an early end leaves."""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from docstore.content import BytesContent, Stream
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.errors import ArchiveError, Conflict, NoSpace
from docstore.export import copy
from docstore.export.copy import Step, StepOutcome, Task
from docstore.model import Document
from docstore.testing.clock import SetClock
from tests.stores import FIELDS


@pytest.mark.parametrize("at_a_time", [copy.MAX_RUNNING, 40])
def test_running_tasks_are_limited_in_number_and_size(monkeypatch: pytest.MonkeyPatch, at_a_time: int) -> None:
    monkeypatch.setattr(copy, "MAX_RUNNING_BYTES", 100)
    running: list[int] = []
    seen: list[list[int]] = []

    async def run_all() -> list[str]:
        async def one(number: int, size: int) -> Step:
            running.append(size)
            seen.append(list(running))
            await asyncio.sleep(0.0001 * (number % 7))
            running.remove(size)
            return Step(f"{number}", StepOutcome.STORED)

        async def tasks() -> AsyncIterator[Task]:
            for number, size in enumerate([1] * 50 + [60, 30, 20, 500, 3, 500] + [10] * 30):
                yield Task(f"{number}", size, functools.partial(one, number, size))

        return [step.key async for step in copy.run_tasks(tasks(), at_a_time)]

    assert asyncio.run(run_all()) == [f"{number}" for number in range(86)]
    assert max(len(sizes) for sizes in seen) == at_a_time
    assert all(sum(sizes) <= 100 or len(sizes) == 1 for sizes in seen)


@pytest.mark.parametrize("where", ["in a document", "in what comes after"])
def test_a_failure_is_raised_after_all_running_tasks_have_finished(where: str) -> None:
    finished: list[int] = []

    async def one(number: int) -> Step:
        if number == 3 and where == "in a document":
            raise NoSpace("full")
        await asyncio.sleep(0.001 * (10 - number))
        finished.append(number)
        return Step(f"{number}", StepOutcome.STORED)

    async def tasks() -> AsyncIterator[Task]:
        for number in range(8):
            yield Task(f"{number}", 1, functools.partial(one, number))
        if where == "in what comes after":
            raise ArchiveError("cut")

    async def run_all() -> None:
        yielded = []

        async def take() -> None:
            async for step in copy.run_tasks(tasks()):
                yielded.append(int(step.key))

        with pytest.raises((NoSpace, ArchiveError)):
            await take()
        assert yielded == sorted(finished) == [number for number in range(8) if number != 3 or where != "in a document"]

    asyncio.run(run_all())


@pytest.mark.parametrize("how", ["leaves", "is cancelled"])
def test_an_abandoned_copy_leaves_nothing_running(how: str) -> None:
    cancelled: list[int] = []

    async def one(number: int) -> Step:
        try:
            if number:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return Step(f"{number}", StepOutcome.STORED)

    async def tasks() -> AsyncIterator[Task]:
        for number in range(20):
            yield Task(f"{number}", 1, functools.partial(one, number))

    async def take() -> None:
        async with aclosing(copy.run_tasks(tasks())) as steps:
            await anext(steps)
            if how == "is cancelled":
                await anext(steps)

    async def run_all() -> None:
        task = asyncio.create_task(take())
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert cancelled
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run_all())


@pytest.mark.parametrize(("changes", "outcome"), [(1, StepOutcome.STORED), (copy.ATTEMPTS, StepOutcome.BROKEN)])
def test_a_document_that_changes_while_it_is_read_is_read_again(changes: int, outcome: StepOutcome) -> None:
    left = changes

    async def run_copy() -> StepOutcome:
        source, target = (open_engine(EngineURL.parse("memory:"), SetClock()) for _ in range(2))
        meta = (await source.put(PutRequest("a", BytesContent(b"data"), FIELDS))).meta

        async def pieces(start: int, stop: int) -> AsyncIterator[bytes]:
            nonlocal left
            if left:
                left -= 1
                raise Conflict(None)
            yield b"data"

        class Changing:
            list = source.list

            async def get(self, key: str) -> Document:
                return Document(meta, Stream(pieces, 0, 4))

        return (await copy.copy_document(Changing(), target, meta, copy.ignore_bytes)).outcome

    assert asyncio.run(run_copy()) is outcome


def test_documents_that_vanish_after_listing_are_skipped() -> None:

    async def run_copy() -> list[StepOutcome]:
        clock = SetClock()
        source, target = (open_engine(EngineURL.parse("memory:"), clock) for _ in range(2))
        for key in ("a", "b", "c"):
            await source.put(
                PutRequest(key, BytesContent(b"data"), FIELDS, expires_ns=clock() + 5 if key == "b" else None)
            )
        outcomes = []
        async for step in copy.copy_documents(source, target, await source.list(), at_a_time=1):
            outcomes.append(step.outcome)
            clock.set_ns(clock() + 5)
            await source.delete("c")
        assert [meta.key for meta in await target.list()] == ["a"]
        return outcomes

    assert asyncio.run(run_copy()) == [StepOutcome.STORED, StepOutcome.EXPIRED, StepOutcome.EXPIRED]
