"""What goes first does not hang on clocks: neither on one that was ahead, nor on a time that was imported."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.testing.clock import SetClock
from tests.engines.bounded_stores import KIB, data, keys, opened, put, read, url_of

DAY_NS = 86_400 * 10**9


@pytest.mark.parametrize("way", ["a clock that was ahead", "a document of the future", "one of the last day"])
@pytest.mark.parametrize("use", ["read", "written"])
def test_what_is_used_all_the_time_stays_whatever_time_came_in(way: str, use: str, tmp_path: Path) -> None:
    clock = SetClock()
    now_ns = clock()

    async def run() -> None:
        async with opened(url_of("sqlite", tmp_path, 96 * KIB), clock) as engine:
            if way == "a clock that was ahead":
                clock.set_ns(now_ns + DAY_NS)
            for key in "abcd":
                written = await put(engine, key, 10_000)
            if way != "a clock that was ahead":
                future_ns = now_ns + DAY_NS if way == "a document of the future" else 2**63 + 5
                meta = replace(written.meta, modified_ns=future_ns)
                await engine.put(PutRequest.copy_of(meta, BytesContent(data("d", 10_000))))
            clock.set_ns(now_ns)
            for number in range(20):
                if use == "read":
                    assert await read(engine, "a") is not None, number
                else:
                    assert not (await put(engine, "a", 10_000 + number)).created, number
                await put(engine, f"new-{number}", 10_000)
            assert "d" not in await keys(engine)

    asyncio.run(run())
