"""What is noted of reads outlives a transaction that was to write it down and was rolled back."""

import asyncio
from pathlib import Path
from unittest.mock import patch

import pytest

from docstore.engines.sqlite.disk_space import Headroom
from docstore.errors import NoSpace
from tests.engines.bounded_stores import KIB, keys, opened, put, read, url_of


@pytest.mark.parametrize("told", ["by a write that evicts", "by a sweep"])
def test_uses_and_counts_outlive_a_transaction_that_is_rolled_back(told: str, tmp_path: Path) -> None:
    admitted = Headroom.admit
    refusals = [NoSpace("full")] * 2

    def admit(headroom: Headroom, *, pressed: bool) -> None:
        if refusals:
            headroom.grew = True  # what makes a database grow is not tried for long
            raise refusals.pop()
        admitted(headroom, pressed=pressed)

    async def run() -> None:
        async with opened(url_of("sqlite", tmp_path, 64 * KIB)) as engine:
            for key in "abcde":
                await put(engine, key, 11_500)
            assert await read(engine, "a") is not None
            assert await read(engine, "none") is None
            with patch.object(Headroom, "admit", admit), pytest.raises(NoSpace):
                await (put(engine, "new", 11_500) if told == "by a write that evicts" else engine.sweep(limit=1))
            assert not refusals
            assert ((usage := await engine.usage()).hits, usage.misses) == (1, 1)
            await put(engine, "new", 11_500)
            assert await keys(engine) == ["a", "c", "d", "e", "new"]
            await engine.sweep()
        async with opened(url_of("sqlite", tmp_path, 64 * KIB)) as engine:
            assert ((usage := await engine.usage()).hits, usage.misses) == (1, 1)

    asyncio.run(run())


def test_what_is_committed_is_not_counted_again_when_a_later_transaction_is_rolled_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(url_of("sqlite", tmp_path, 64 * KIB)) as engine:
            await put(engine, "a", 100)
            for _ in range(10):
                assert await read(engine, "a") is not None
            await engine.sweep()
            with patch.object(Headroom, "admit", side_effect=NoSpace("full")), pytest.raises(NoSpace):
                await engine.delete("a")
            assert (await engine.usage()).hits == 10
            await engine.sweep()
            assert (await engine.usage()).hits == 10

    asyncio.run(run())
