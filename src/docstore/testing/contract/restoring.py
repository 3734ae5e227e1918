"""Restoring: a document keeps the time at which it was modified elsewhere."""

import asyncio
from pathlib import Path

import pytest

from docstore.content import BytesContent
from docstore.engines.contract import Engine, PutRequest
from docstore.errors import Conflict, IncompleteUpload
from docstore.model import ABSENT, Meta
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import EVERY_FIELD, Pieces, made, put, shows, version
from docstore.testing.contract.opening import Opening, on_an_engine

DAY_NS = 86_400 * 10**9


def elsewhere(clock: SetClock, data: bytes, *, expires_ns: int | None = None, ago_ns: int = DAY_NS) -> Meta:
    """What is known of a document of another store; its digest is a lie that no engine may believe."""
    return Meta("key", version(data, EVERY_FIELD), 1, bytes(32), EVERY_FIELD, clock() - ago_ns, expires_ns)


class Restored(Opening):
    """Documents with a past. An engine that takes none has nothing to show here."""

    @pytest.mark.parametrize("size", [5, 300_000])
    @pytest.mark.parametrize("ago_ns", [0, 1, DAY_NS, 50 * 365 * DAY_NS, -DAY_NS])
    @on_an_engine
    async def test_a_restored_document_keeps_its_time(
        self, engine: Engine, clock: SetClock, size: int, ago_ns: int
    ) -> None:
        data = made(size)
        meta = elsewhere(clock, data, expires_ns=clock() + 10, ago_ns=ago_ns)
        written = await engine.put(PutRequest.copy_of(meta, BytesContent(data)))
        assert written.created
        assert written.meta.modified_ns == meta.modified_ns
        assert (written.meta.version, written.meta.fields) == (version(data, EVERY_FIELD), EVERY_FIELD)
        await shows(engine, "key", written.meta, data)
        clock.set_ns(clock() + 10)
        await shows(engine, "key", None)

    @on_an_engine
    async def test_a_later_write_has_its_own_time(self, engine: Engine, clock: SetClock) -> None:
        await engine.put(PutRequest.copy_of(elsewhere(clock, b"data"), BytesContent(b"data")))
        written = await put(engine, "key", b"DATA")
        assert written.meta.modified_ns == clock()
        await shows(engine, "key", written.meta, b"DATA")

    @on_an_engine
    async def test_an_older_version_of_the_same_time_and_size_is_told_apart(
        self, engine: Engine, clock: SetClock
    ) -> None:
        for data in (b"one", b"two", b"one"):
            written = await engine.put(PutRequest.copy_of(elsewhere(clock, data), BytesContent(data)))
            assert written.meta.version == version(data, EVERY_FIELD)
            await shows(engine, "key", written.meta, data)

    @on_an_engine
    async def test_a_restore_that_is_refused_or_breaks_off_changes_nothing(
        self, engine: Engine, clock: SetClock
    ) -> None:
        before = await put(engine, "key", b"stays")
        with pytest.raises(Conflict):
            await engine.put(PutRequest.copy_of(elsewhere(clock, b"data"), BytesContent(b"data"), expect=ABSENT))
        with pytest.raises(IncompleteUpload):
            await engine.put(PutRequest.copy_of(elsewhere(clock, b"data"), Pieces([b"da"], IncompleteUpload("gone"))))
        await shows(engine, "key", before.meta, b"stays")

    def test_the_time_of_a_restored_document_outlives_a_close(self, tmp_path: Path) -> None:
        clock = SetClock()

        async def write() -> None:
            async with self.opened(tmp_path, clock) as engine:
                await engine.put(PutRequest.copy_of(elsewhere(clock, b"data"), BytesContent(b"data")))

        async def look() -> None:
            async with self.opened(tmp_path, clock) as engine:
                if self.durable:
                    [meta] = await engine.list()
                    assert meta.modified_ns == clock() - DAY_NS
                    await shows(engine, "key", meta, b"data")

        asyncio.run(write())
        asyncio.run(look())
