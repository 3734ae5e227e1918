"""Closing and opening: what is durable is there again as it was, and nothing of the engine outlives it."""

import asyncio
import gc
import threading
from pathlib import Path
from typing import Final

from docstore.engines.contract import Engine, PutRequest, Snapshotting, Sweeping
from docstore.errors import Conflict, IncompleteUpload
from docstore.model import ABSENT, Meta
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import EVERY_FIELD, MIB, PLAIN, Pieces, made, put, read, shows
from docstore.testing.contract.names import HOSTILE
from docstore.testing.contract.opening import Opening, on_an_engine

DESCRIPTORS: Final = Path("/proc/self/fd")


def _held() -> tuple[int, set[threading.Thread]]:
    """The number of open descriptors, 0 where the system does not show them, and the threads that run."""
    gc.collect()
    return len(list(DESCRIPTORS.iterdir())) if DESCRIPTORS.exists() else 0, set(threading.enumerate())


class Lifetime(Opening):
    """From open to close, and again."""

    def test_documents_outlive_a_close_if_the_engine_is_durable(self, tmp_path: Path) -> None:
        clock, stored = SetClock(), {"small": b"small", "empty": b"", "large": made(3 * MIB), "replaced": b"new"}

        async def write() -> list[Meta]:
            async with self.opened(tmp_path, clock) as engine:
                for key in ("replaced", "deleted"):
                    await put(engine, key, made(MIB, "old"))
                for number, (key, data) in enumerate(stored.items()):
                    await put(engine, key, data, EVERY_FIELD, expires_ns=clock() + 10 if number % 2 else None)
                await engine.delete("deleted")
                return await engine.list()

        async def look(metas: list[Meta]) -> None:
            async with self.opened(tmp_path, clock) as engine:
                assert await engine.list() == metas
                for meta in metas:
                    await shows(engine, meta.key, meta, stored[meta.key])
                await shows(engine, "deleted", None)

        metas = asyncio.run(write())
        assert len(metas) == len(stored)
        for _ in range(2):
            asyncio.run(look(metas if self.durable else []))
        clock.set_ns(clock() + 10)
        asyncio.run(look([meta for meta in metas if meta.expires_ns is None] if self.durable else []))

    def test_a_store_opened_anew_goes_on_as_before(self, tmp_path: Path) -> None:
        clock = SetClock()

        async def turn(number: int) -> None:
            async with self.opened(tmp_path, clock) as engine:
                there = self.durable and number > 0
                assert (await put(engine, "key", b"%d" % number)).created != there
                if there:
                    assert await read(engine, f"large {number - 1}") == made(MIB, str(number - 1))
                await put(engine, f"large {number}", made(MIB, str(number)), expires_ns=clock() + 1)

        for number in range(4):
            asyncio.run(turn(number))

    def test_hostile_keys_are_themselves_after_a_close(self, tmp_path: Path) -> None:
        async def write() -> None:
            async with self.opened(tmp_path, SetClock()) as engine:
                for key in HOSTILE:
                    await put(engine, key, key.encode())

        async def look() -> None:
            async with self.opened(tmp_path, SetClock()) as engine:
                for key in HOSTILE:
                    assert await read(engine, key) == (key.encode() if self.durable else None)

        asyncio.run(write())
        asyncio.run(look())

    def test_what_expired_while_closed_is_swept(self, tmp_path: Path) -> None:
        clock = SetClock()

        async def write() -> None:
            async with self.opened(tmp_path, clock) as engine:
                for number in range(5):
                    await put(engine, str(number), b"", expires_ns=clock() + 1 + number)

        async def sweep() -> None:
            async with self.opened(tmp_path, clock) as engine:
                if isinstance(engine, Sweeping):
                    assert await engine.sweep() == (3 if self.durable else 0)
                assert [meta.key for meta in await engine.list()] == (["3", "4"] if self.durable else [])

        asyncio.run(write())
        clock.set_ns(clock() + 3)
        asyncio.run(sweep())

    @on_an_engine
    async def test_closing_twice_is_closing_once(self, engine: Engine, clock: SetClock) -> None:
        await put(engine, "key", b"data")
        await engine.close()
        await engine.close()

    def test_an_engine_that_did_nothing_closes(self, tmp_path: Path) -> None:
        async def run() -> None:
            await self.open(tmp_path, SetClock()).close()

        asyncio.run(run())
        asyncio.run(run())

    def test_no_descriptor_and_no_thread_outlives_an_engine(self, tmp_path: Path) -> None:
        for turn in ("warm", "first", "second"):
            (tmp_path / turn).mkdir()
        asyncio.run(self._use(tmp_path / "warm"))
        before = _held()
        for turn in ("first", "second"):
            asyncio.run(self._use(tmp_path / turn))
        assert _held() == before

    async def _use(self, folder: Path) -> None:
        async with self.opened(folder, SetClock()) as engine:
            for size in (10, 2 * MIB):
                await put(engine, "key", made(size))
                await put(engine, "key", made(size, "new"))
                document = await engine.get("key")
                assert document is not None
                await anext(aiter(document.content))
                for expected, attempt in (
                    (Conflict, put(engine, "key", made(size), expect=ABSENT)),
                    (
                        IncompleteUpload,
                        engine.put(PutRequest("key", Pieces([made(size)], IncompleteUpload("gone")), PLAIN)),
                    ),
                ):
                    outcome = (await asyncio.gather(attempt, return_exceptions=True))[0]
                    assert isinstance(outcome, expected)
            await asyncio.gather(*(read(engine, "key") for _ in range(20)))
            if isinstance(engine, Snapshotting):
                async with engine.snapshot() as snapshot:
                    assert await snapshot.list() == await engine.list()
            await engine.delete("key")
