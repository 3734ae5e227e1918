"""What a write demands of the state it replaces: the whole table, for put and delete."""

from typing import Final

import pytest

from docstore.engines.contract import Engine
from docstore.errors import Conflict
from docstore.model import ABSENT, ANY, Expectation
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import EVERY_FIELD, made, put, read, shows, version
from docstore.testing.contract.opening import Opening, on_an_engine

OLD: Final = b"the old one"
RIGHT: Final = version(OLD)
WRONG: Final = version(b"another one")

TABLE: Final = pytest.mark.parametrize(
    ("state", "expect", "done"),
    [
        ("absent", ANY, True),
        ("absent", ABSENT, True),
        ("absent", RIGHT, False),
        ("absent", WRONG, False),
        ("present", ANY, True),
        ("present", ABSENT, False),
        ("present", RIGHT, True),
        ("present", WRONG, False),
        ("expired", ANY, True),
        ("expired", ABSENT, True),
        ("expired", RIGHT, False),
        ("expired", WRONG, False),
    ],
    ids=lambda value: {RIGHT: "right", WRONG: "wrong"}.get(value, str(value)),
)


async def _prepare(engine: Engine, clock: SetClock, state: str) -> None:
    await put(engine, "neighbour", b"untouched")
    if state != "absent":
        await put(engine, "key", OLD, expires_ns=clock() + 1_000 if state == "expired" else None)
        clock.advance_s(1)


class Expectations(Opening):
    """ANY, ABSENT and one exact version."""

    @TABLE
    @pytest.mark.parametrize("size", [20, 1_500_000])
    @on_an_engine
    async def test_a_put_does_what_its_expectation_allows(
        self, engine: Engine, clock: SetClock, state: str, expect: Expectation, done: bool, size: int
    ) -> None:
        await _prepare(engine, clock, state)
        before = await engine.head("key")
        if done:
            written = await put(engine, "key", made(size), expect=expect)
            assert written.created == (state != "present")
            await shows(engine, "key", written.meta, made(size))
        else:
            with pytest.raises(Conflict) as refused:
                await put(engine, "key", made(size), expect=expect)
            assert refused.value.current == before
            await shows(engine, "key", before, OLD)
        assert await read(engine, "neighbour") == b"untouched"

    @TABLE
    @on_an_engine
    async def test_a_delete_does_what_its_expectation_allows(
        self, engine: Engine, clock: SetClock, state: str, expect: Expectation, done: bool
    ) -> None:
        await _prepare(engine, clock, state)
        before = await engine.head("key")
        if done:
            assert await engine.delete("key", expect=expect) == before
            await shows(engine, "key", None)
        else:
            with pytest.raises(Conflict) as refused:
                await engine.delete("key", expect=expect)
            assert refused.value.current == before
            await shows(engine, "key", before, OLD)
        assert await read(engine, "neighbour") == b"untouched"

    @on_an_engine
    async def test_other_fields_make_another_version_to_expect(self, engine: Engine, clock: SetClock) -> None:
        await put(engine, "key", OLD, EVERY_FIELD)
        with pytest.raises(Conflict):
            await put(engine, "key", b"new", expect=RIGHT)
        assert not (await put(engine, "key", b"new", expect=version(OLD, EVERY_FIELD))).created

    @on_an_engine
    async def test_a_version_is_of_one_key_alone(self, engine: Engine, clock: SetClock) -> None:
        await put(engine, "other", OLD)
        with pytest.raises(Conflict) as refused:
            await put(engine, "key", b"new", expect=RIGHT)
        assert refused.value.current is None
        await shows(engine, "key", None)

    @on_an_engine
    async def test_a_version_that_came_back_is_met(self, engine: Engine, clock: SetClock) -> None:
        for data in (OLD, b"new", OLD):
            await put(engine, "key", data)
        assert not (await put(engine, "key", b"newer", expect=RIGHT)).created
