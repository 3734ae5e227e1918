"""Expiry is exact to the nanosecond, whether or not the document was swept."""

import pytest

from docstore.engines.contract import Engine, Sweeping
from docstore.errors import Conflict
from docstore.model import ABSENT
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import assert_state, list_keys, make_data, put_data, read_data
from docstore.testing.contract.engine_tests import EngineTests, with_engine


class ExpiryTests(EngineTests):
    """Documents with an expiry."""

    @pytest.mark.parametrize("size", [5, 100_000])
    @with_engine
    async def test_a_document_exists_until_it_expires(self, engine: Engine, clock: SetClock, size: int) -> None:
        data, expires_ns = make_data(size), clock() + 1_000_000_000
        written = await put_data(engine, "key", data, expires_ns=expires_ns)
        lasting = await put_data(engine, "lasting", b"stays")
        clock.set_ns(expires_ns - 1)
        await assert_state(engine, "key", written.meta, data)
        with pytest.raises(Conflict) as conflict:
            await put_data(engine, "key", b"new", expect=ABSENT)
        assert conflict.value.current == written.meta
        clock.set_ns(expires_ns)
        await assert_state(engine, "key", None)
        assert await engine.list() == [lasting.meta]
        assert await engine.list(limit=1) == [lasting.meta]
        assert await engine.delete("key") is None
        assert (await put_data(engine, "key", b"new", expect=ABSENT)).created
        assert await list_keys(engine) == ["key", "lasting"]

    @pytest.mark.parametrize("life_ns", [None, 30])
    @with_engine
    async def test_a_write_replaces_the_expiry_with_its_own(
        self, engine: Engine, clock: SetClock, life_ns: int | None
    ) -> None:
        expires_ns = None if life_ns is None else clock() + life_ns
        await put_data(engine, "key", b"data", expires_ns=clock() + 10)
        written = await put_data(engine, "key", b"data", expires_ns=expires_ns)
        clock.set_ns(clock() + 29)
        await _sweep_all(engine)
        await assert_state(engine, "key", written.meta, b"data")
        clock.set_ns(clock() + 1)
        await assert_state(engine, "key", None if life_ns else written.meta, b"data")

    @with_engine
    async def test_a_clock_that_jumps_back_breaks_nothing(self, engine: Engine, clock: SetClock) -> None:
        await put_data(engine, "key", b"data", expires_ns=clock() + 5)
        clock.advance_s(1)
        await assert_state(engine, "key", None)
        clock.advance_s(-3600)
        await engine.get("key")
        await _sweep_all(engine)
        assert len(await engine.list()) <= 1
        written = await put_data(engine, "key", b"new")
        assert written.meta.modified_ns == clock()
        await assert_state(engine, "key", written.meta, b"new")

    @with_engine
    async def test_sweeping_removes_the_expired_and_only_them(self, engine: Engine, clock: SetClock) -> None:
        start_ns = clock()
        for number in range(30):
            data = make_data(100_000 if number % 2 else 10, str(number))
            await put_data(engine, f"{number:02}", data, expires_ns=(None, start_ns + 10, start_ns + 11)[number % 3])
        clock.set_ns(start_ns + 10)
        before = await engine.list()
        if isinstance(engine, Sweeping):
            assert [await engine.sweep(limit=4) for _ in range(4)] == [4, 4, 2, 0]
        assert await engine.list() == before
        assert await list_keys(engine) == [f"{number:02}" for number in range(30) if number % 3 != 1]
        if isinstance(engine, Sweeping):
            clock.set_ns(start_ns)
            assert await engine.list() == before
        for number in range(0, 30, 3):
            assert await read_data(engine, f"{number:02}") == make_data(100_000 if number % 2 else 10, str(number))


async def _sweep_all(engine: Engine) -> None:
    # An engine without sweeping must pass the same tests.
    if isinstance(engine, Sweeping):
        assert await engine.sweep(limit=100) < 100
        assert await engine.sweep(limit=1) == 0
