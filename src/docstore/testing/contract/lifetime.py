"""Closing and opening: durable documents survive, and the engine releases all resources."""

import asyncio
import gc
import threading
from pathlib import Path
from time import monotonic, sleep
from typing import Final

import pytest

from docstore.content import BytesContent
from docstore.engines.contract import Engine, PutRequest, Snapshotting, Sweeping
from docstore.errors import Conflict, IncompleteUpload
from docstore.model import ABSENT, Meta
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import (
    EVERY_FIELD,
    MIB,
    PLAIN,
    ChunkedUpload,
    assert_state,
    list_keys,
    make_data,
    put_data,
    read_data,
)
from docstore.testing.contract.engine_tests import EngineTests, with_engine
from docstore.testing.contract.keys import HOSTILE_KEYS

RELEASED_WITHIN_S: Final = 20

_DESCRIPTORS: Final = Path("/proc/self/fd")


def _held_resources() -> tuple[int, set[threading.Thread]]:
    """Return the number of open descriptors, 0 where the system does not list them, and the running threads."""
    gc.collect()
    return len(list(_DESCRIPTORS.iterdir())) if _DESCRIPTORS.exists() else 0, set(threading.enumerate())


def _wait_until_held(descriptors: int, threads: set[threading.Thread]) -> None:
    """Wait until no more than these are held: some drivers close connections in the background."""
    end = monotonic() + RELEASED_WITHIN_S
    while (held := _held_resources())[0] > descriptors or not held[1] <= threads:
        assert monotonic() < end, f"{held[0]} descriptors instead of {descriptors}, and {held[1] - threads}"
        sleep(0.05)


class LifetimeTests(EngineTests):
    """Closing and reopening."""

    def test_documents_survive_a_close_if_the_engine_is_durable(self, tmp_path: Path) -> None:
        clock, stored = SetClock(), {"small": b"small", "empty": b"", "large": make_data(3 * MIB), "replaced": b"new"}
        stored |= {"restored": b"restored"} | {key: key.encode() for key in HOSTILE_KEYS}

        async def write(engine: Engine) -> list[Meta]:
            for key in ("replaced", "deleted"):
                await put_data(engine, key, make_data(MIB, "old"))
            for number, (key, data) in enumerate(stored.items()):
                await put_data(engine, key, data, EVERY_FIELD, expires_ns=clock() + 10 if number % 2 else None)
            await engine.put(PutRequest("restored", BytesContent(b"restored"), PLAIN, modified_ns=clock() - 10**15))
            await engine.delete("deleted")
            return await engine.list()

        async def check(engine: Engine) -> None:
            expected = metas if self.durable else []
            assert await engine.list() == expected
            for meta in expected:
                await assert_state(engine, meta.key, meta, stored[meta.key])
            await assert_state(engine, "deleted", None)

        metas = self.run(tmp_path, clock, write)
        assert len(metas) == len(stored)
        self.run(tmp_path, clock, check)
        clock.set_ns(clock() + 10)
        metas = [meta for meta in metas if meta.expires_ns is None]
        self.run(tmp_path, clock, check)

    def test_documents_that_expired_while_closed_are_swept(self, tmp_path: Path) -> None:
        clock = SetClock()

        async def write(engine: Engine) -> None:
            for number in range(5):
                await put_data(engine, str(number), b"", expires_ns=clock() + 1 + number)

        async def sweep(engine: Engine) -> None:
            if isinstance(engine, Sweeping):
                assert await engine.sweep() == (3 if self.durable else 0)
            assert await list_keys(engine) == (["3", "4"] if self.durable else [])

        self.run(tmp_path, clock, write)
        clock.set_ns(clock() + 3)
        self.run(tmp_path, clock, sweep)

    @with_engine
    async def test_a_second_close_does_nothing(self, engine: Engine) -> None:
        await put_data(engine, "key", b"data")
        await engine.close()
        await engine.close()

    def test_no_descriptor_and_no_thread_outlives_an_engine(self, tmp_path: Path) -> None:
        for turn in ("warm", "first", "second"):
            (tmp_path / turn).mkdir()
            self.run(tmp_path / turn, SetClock(), _use_everything)
            if turn == "warm":
                descriptors, threads = _held_resources()
            else:
                _wait_until_held(descriptors, threads)


async def _use_everything(engine: Engine) -> None:
    for size in (10, 2 * MIB):
        await put_data(engine, "key", make_data(size))
        await put_data(engine, "key", make_data(size, "new"))
        document = await engine.get("key")
        assert document is not None
        await anext(aiter(document.content))
        with pytest.raises(Conflict):
            await put_data(engine, "key", make_data(size), expect=ABSENT)
        with pytest.raises(IncompleteUpload):
            await engine.put(PutRequest("key", ChunkedUpload([make_data(size)], IncompleteUpload("gone")), PLAIN))
    await asyncio.gather(*(read_data(engine, "key") for _ in range(20)))
    if isinstance(engine, Snapshotting):
        async with engine.snapshot() as snapshot:
            assert await snapshot.list() == await engine.list()
    await engine.delete("key")
