"""Snapshots: one state of the whole store, whatever happens to the store while it is read, if an engine has such."""

import asyncio

from docstore.content import read_all
from docstore.engines.contract import Engine, Readable, Snapshotting
from docstore.model import Meta
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import made, put
from docstore.testing.contract.opening import Opening, on_an_engine

SIZES = {"empty": 0, "small": 10, "inline": 60_000, "large": 300_000, "folder/large": 100_000}


async def all_of(readable: Readable) -> dict[str, tuple[Meta, bytes]]:
    """Every document, found by pages of two and read whole."""
    found: dict[str, tuple[Meta, bytes]] = {}
    after = ""
    while page := await readable.list(after=after, limit=2):
        for meta in page:
            after = meta.key
            document = await readable.get(meta.key)
            assert document is not None
            assert document.meta == meta
            found[meta.key] = meta, await read_all(document.content)
    return found


class Snapshots(Opening):
    """What is seen in them. An engine without snapshots has nothing to show here."""

    @on_an_engine
    async def test_a_snapshot_shows_what_was_there(self, engine: Engine, clock: SetClock) -> None:
        if isinstance(engine, Snapshotting):
            for key, size in SIZES.items():
                await put(engine, key, made(size, key))
            before = await all_of(engine)
            async with engine.snapshot() as snapshot:
                for key in ("small", "large"):
                    await engine.delete(key)
                for key in ("empty", "inline", "folder/large", "new", "new large"):
                    await put(engine, key, made(SIZES.get(key, 200_000), "new"))
                assert (snapshot.documents, snapshot.size) == (len(SIZES), sum(SIZES.values()))
                assert await all_of(snapshot) == before
                assert [meta.key for meta in await snapshot.list(prefix="folder/")] == ["folder/large"]
                assert await snapshot.get("new") is None
                document = await snapshot.get("large")
            assert document is not None
            assert await read_all(document.content) == made(SIZES["large"], "large")
            assert len(await all_of(engine)) == 5

    @on_an_engine
    async def test_a_snapshot_is_of_one_instant(self, engine: Engine, clock: SetClock) -> None:
        if isinstance(engine, Snapshotting):
            for key, life in {"gone": 1, "going": 2, "staying": None}.items():
                await put(engine, key, b"data", expires_ns=clock() + life if life else None)
            clock.set_ns(clock() + 1)
            async with engine.snapshot() as snapshot:
                clock.set_ns(clock() + 1)
                assert list(await all_of(snapshot)) == ["going", "staying"]
                assert (snapshot.documents, snapshot.size) == (2, 8)
                assert await snapshot.get("gone") is None

    @on_an_engine
    async def test_snapshots_know_nothing_of_each_other(self, engine: Engine, clock: SetClock) -> None:
        if isinstance(engine, Snapshotting):
            await put(engine, "key", made(100_000, "first"))
            async with engine.snapshot() as one:
                await put(engine, "key", made(100_000, "second"))
                async with engine.snapshot() as other:
                    await engine.delete("key")
                    [(_, data)] = (await all_of(other)).values()
                    assert data == made(100_000, "second")
                [(_, data)] = (await all_of(one)).values()
                assert data == made(100_000, "first")

    @on_an_engine
    async def test_a_snapshot_never_has_the_later_of_two_writes_alone(self, engine: Engine, clock: SetClock) -> None:
        if isinstance(engine, Snapshotting):
            ended = False

            async def write(name: str, size: int) -> None:
                number = 0
                while not ended:
                    number += 1
                    for key in ("z first", "a later"):
                        await put(engine, f"{key} {name}", b"%08d" % number + bytes(size))
                        await asyncio.sleep(0)

            sizes = {"small": 0, "large": 100_000}
            for name in sizes:
                for key in ("z first", "a later"):
                    await put(engine, f"{key} {name}", b"%08d" % 0)
            writers = [asyncio.create_task(write(name, size)) for name, size in sizes.items()]
            try:
                for _ in range(5):
                    async with engine.snapshot() as snapshot:
                        seen = {key: int(data[:8]) for key, (_, data) in (await all_of(snapshot)).items()}
                    for name in sizes:
                        assert 0 <= seen[f"z first {name}"] - seen[f"a later {name}"] <= 1
            finally:
                ended = True
                await asyncio.gather(*writers)
