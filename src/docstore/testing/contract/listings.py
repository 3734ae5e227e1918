"""The listing: bytewise order across pages, prefixes, and any `after`, whether such a key exists or not."""

from typing import Final

import pytest

from docstore.engines.contract import Engine
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import EVERY_FIELD, keys, made, pages, put
from docstore.testing.contract.opening import Opening, on_an_engine

STORED: Final = ["B", "a", "a!", "a/a", "a/b", "a/b/c", "a/c", "a0", "aa", "b", "c/é", "\ue000", "\U00010000"]

PAGES: Final = [
    ("", "", 1000, STORED),
    ("", "", 1, ["B"]),
    ("", "", len(STORED), STORED),
    ("", "", len(STORED) - 1, STORED[:-1]),
    ("", "a", 1, ["a!"]),
    ("", "a", 3, ["a!", "a/a", "a/b"]),
    ("", "a/aa", 2, ["a/b", "a/b/c"]),
    ("", "A", 1, ["B"]),
    ("", "\uffff", 1000, ["\U00010000"]),
    ("", "\U00010000", 1000, []),
    ("", "\U0010ffff", 1000, []),
    ("a", "", 1000, ["a", "a!", "a/a", "a/b", "a/b/c", "a/c", "a0", "aa"]),
    ("a/", "", 1000, ["a/a", "a/b", "a/b/c", "a/c"]),
    ("a/", "", 2, ["a/a", "a/b"]),
    ("a/", "a/", 1, ["a/a"]),
    ("a/", "a/b", 1000, ["a/b/c", "a/c"]),
    ("a/", "a/bb", 1000, ["a/c"]),
    ("a/", "a", 1, ["a/a"]),
    ("a/", "B", 1000, ["a/a", "a/b", "a/b/c", "a/c"]),
    ("a/", "a0", 1000, []),
    ("a/", "zzz", 1000, []),
    ("a/b", "a/b", 1000, ["a/b/c"]),
    ("b", "", 1000, ["b"]),
    ("b", "b", 1000, []),
    ("c/é", "", 1000, ["c/é"]),
    ("c/e", "", 1000, []),
    ("\ue000", "a", 1000, ["\ue000"]),
    ("zzz", "", 1000, []),
]


class Listings(Opening):
    """Pages of a collection."""

    @on_an_engine
    async def test_an_empty_store_lists_nothing(self, engine: Engine, clock: SetClock) -> None:
        assert await engine.list() == []
        assert await engine.list(prefix="a", after="b", limit=1) == []

    @on_an_engine
    async def test_a_page_is_what_prefix_after_and_limit_say(self, engine: Engine, clock: SetClock) -> None:
        for key in reversed(STORED):
            await put(engine, key, b"")
        for prefix, after, limit, expected in PAGES:
            assert await keys(engine, prefix=prefix, after=after, limit=limit) == expected, (prefix, after, limit)

    @on_an_engine
    async def test_the_listing_has_all_of_meta(self, engine: Engine, clock: SetClock) -> None:
        small = await put(engine, "a", b"small", EVERY_FIELD, expires_ns=clock() + 5)
        clock.advance_s(1e-9)
        large = await put(engine, "b", made(2_000_000), EVERY_FIELD)
        assert await engine.list() == [small.meta, large.meta]

    @on_an_engine
    async def test_a_replaced_document_is_listed_once(self, engine: Engine, clock: SetClock) -> None:
        for data in (b"one", made(100_000), b"three"):
            written = await put(engine, "key", data)
        assert await engine.list() == [written.meta]

    @pytest.mark.parametrize("limit", [1, 2, 99, 100, 101, 1000])
    @on_an_engine
    async def test_pages_join_without_a_gap_or_a_repeat(self, engine: Engine, clock: SetClock, limit: int) -> None:
        stored = [f"key-{number:03}" for number in range(100)]
        for key in stored:
            await put(engine, key, b"")
        assert [key async for page in pages(engine, limit, "key-") for key in page] == stored

    @on_an_engine
    async def test_a_walk_survives_the_deletion_of_what_it_saw(self, engine: Engine, clock: SetClock) -> None:
        stored = [f"key-{number:02}" for number in range(30)]
        for key in stored:
            await put(engine, key, b"")
        found: list[str] = []
        async for page in pages(engine, 4):
            found += page
            for key in page:
                await engine.delete(key)
        assert found == stored
        assert await engine.list() == []
