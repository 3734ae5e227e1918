"""Requirements of copies and backups: snapshots of one instant, and restored modification times."""

import asyncio

import pytest

from docstore.content import BytesContent, Upload, read_all
from docstore.engines.contract import Engine, PutRequest, Readable, Snapshotting
from docstore.errors import Conflict, IncompleteUpload
from docstore.model import ABSENT, ANY, Expectation, Meta
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import (
    EVERY_FIELD,
    ChunkedUpload,
    assert_state,
    make_data,
    put_data,
    version_of_data,
)
from docstore.testing.contract.engine_tests import EngineTests, with_engine

_DAY_NS = 86_400 * 10**9


def _restore(
    clock: SetClock, data: bytes, upload: Upload | None = None, *,
    expect: Expectation = ANY, expires_ns: int | None = None, ago_ns: int = _DAY_NS,
) -> PutRequest:  # fmt: skip
    """Return a copy of what another store wrote `ago_ns` ago, with a wrong size and digest."""
    version, modified_ns = version_of_data(data, EVERY_FIELD), clock() - ago_ns
    meta = Meta("key", version, 1, bytes(32), EVERY_FIELD, modified_ns, expires_ns)
    return PutRequest.copy_of(meta, upload or BytesContent(data), expect=expect)


class RestoreTests(EngineTests):
    """Documents that were modified in another store."""

    @pytest.mark.parametrize("size", [5, 300_000])
    @pytest.mark.parametrize("ago_ns", [0, 1, _DAY_NS, 50 * 365 * _DAY_NS, -_DAY_NS])
    @with_engine
    async def test_a_restored_document_keeps_its_time(
        self, engine: Engine, clock: SetClock, size: int, ago_ns: int
    ) -> None:
        data = make_data(size)
        written = await engine.put(_restore(clock, data, expires_ns=clock() + 10, ago_ns=ago_ns))
        assert written.created
        assert written.meta.modified_ns == clock() - ago_ns
        assert (written.meta.version, written.meta.fields) == (version_of_data(data, EVERY_FIELD), EVERY_FIELD)
        await assert_state(engine, "key", written.meta, data)
        clock.set_ns(clock() + 10)
        await assert_state(engine, "key", None)

    @with_engine
    async def test_a_later_write_has_its_own_time(self, engine: Engine, clock: SetClock) -> None:
        await engine.put(_restore(clock, b"data"))
        written = await put_data(engine, "key", b"DATA")
        assert written.meta.modified_ns == clock()
        await assert_state(engine, "key", written.meta, b"DATA")

    @with_engine
    async def test_versions_of_the_same_time_and_size_are_distinguished(self, engine: Engine, clock: SetClock) -> None:
        for data in (b"one", b"two", b"one"):
            written = await engine.put(_restore(clock, data))
            assert written.meta.version == version_of_data(data, EVERY_FIELD)
            await assert_state(engine, "key", written.meta, data)

    @with_engine
    async def test_a_refused_or_incomplete_restore_changes_nothing(self, engine: Engine, clock: SetClock) -> None:
        before = await put_data(engine, "key", b"stays")
        with pytest.raises(Conflict):
            await engine.put(_restore(clock, b"data", expect=ABSENT))
        with pytest.raises(IncompleteUpload):
            await engine.put(_restore(clock, b"data", ChunkedUpload([b"da"], IncompleteUpload("gone"))))
        await assert_state(engine, "key", before.meta, b"stays")


_SIZES = {"empty": 0, "small": 10, "inline": 60_000, "large": 300_000, "folder/large": 100_000}


async def _read_documents(readable: Readable) -> dict[str, tuple[Meta, bytes]]:
    """Return metadata and content of every document, listed in pages of two."""
    documents: dict[str, tuple[Meta, bytes]] = {}
    after = ""
    while page := await readable.list(after=after, limit=2):
        for meta in page:
            after = meta.key
            document = await readable.get(meta.key)
            assert document is not None
            assert document.meta == meta
            documents[meta.key] = meta, await read_all(document.content)
    return documents


class SnapshotTests(EngineTests):
    """Snapshots. An engine without them passes at once."""

    @with_engine
    async def test_a_snapshot_keeps_its_state(self, engine: Engine) -> None:
        if isinstance(engine, Snapshotting):
            for key, size in _SIZES.items():
                await put_data(engine, key, make_data(size, key))
            before = await _read_documents(engine)
            async with engine.snapshot() as snapshot:
                for key in ("small", "large"):
                    await engine.delete(key)
                for key in ("empty", "inline", "folder/large", "new", "new large"):
                    await put_data(engine, key, make_data(_SIZES.get(key, 200_000), "new"))
                assert (snapshot.documents, snapshot.size) == (len(_SIZES), sum(_SIZES.values()))
                assert await _read_documents(snapshot) == before
                assert [meta.key for meta in await snapshot.list(prefix="folder/")] == ["folder/large"]
                assert await snapshot.get("new") is None
                document = await snapshot.get("large")
            assert document is not None
            assert await read_all(document.content) == make_data(_SIZES["large"], "large")
            assert len(await _read_documents(engine)) == 5

    @with_engine
    async def test_a_snapshot_is_of_one_instant(self, engine: Engine, clock: SetClock) -> None:
        if isinstance(engine, Snapshotting):
            for key, life in {"gone": 1, "going": 2, "staying": None}.items():
                await put_data(engine, key, b"data", expires_ns=clock() + life if life else None)
            clock.set_ns(clock() + 1)
            async with engine.snapshot() as snapshot:
                clock.set_ns(clock() + 1)
                assert list(await _read_documents(snapshot)) == ["going", "staying"]
                assert (snapshot.documents, snapshot.size) == (2, 8)
                assert await snapshot.get("gone") is None

    @with_engine
    async def test_snapshots_are_independent(self, engine: Engine) -> None:
        if isinstance(engine, Snapshotting):
            await put_data(engine, "key", make_data(100_000, "first"))
            async with engine.snapshot() as one:
                await put_data(engine, "key", make_data(100_000, "second"))
                async with engine.snapshot() as other:
                    await engine.delete("key")
                    [(_, data)] = (await _read_documents(other)).values()
                    assert data == make_data(100_000, "second")
                [(_, data)] = (await _read_documents(one)).values()
                assert data == make_data(100_000, "first")

    @with_engine
    async def test_a_snapshot_never_has_only_the_later_of_two_writes(self, engine: Engine) -> None:
        if isinstance(engine, Snapshotting):
            ended = False

            async def write(name: str, size: int) -> None:
                number = 0
                while not ended:
                    number += 1
                    for key in ("z first", "a later"):
                        await put_data(engine, f"{key} {name}", b"%08d" % number + bytes(size))
                        await asyncio.sleep(0)

            sizes = {"small": 0, "large": 100_000}
            for name in sizes:
                for key in ("z first", "a later"):
                    await put_data(engine, f"{key} {name}", b"%08d" % 0)
            writers = [asyncio.create_task(write(name, size)) for name, size in sizes.items()]
            try:
                for _ in range(5):
                    async with engine.snapshot() as snapshot:
                        seen = {key: int(data[:8]) for key, (_, data) in (await _read_documents(snapshot)).items()}
                    for name in sizes:
                        assert 0 <= seen[f"z first {name}"] - seen[f"a later {name}"] <= 1
            finally:
                ended = True
                await asyncio.gather(*writers)
