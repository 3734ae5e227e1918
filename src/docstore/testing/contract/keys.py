"""Keys and listings: hostile names stay apart, and pages come in bytewise order without a gap."""

import itertools
import unicodedata
from typing import Final

import pytest

from docstore.engines.contract import Engine
from docstore.testing.contract.documents import (
    assert_state,
    list_keys,
    list_pages,
    put_data,
)
from docstore.testing.contract.engine_tests import EngineTests, with_engine

HOSTILE_KEYS: Final = [
    *("a", "A", "a/b", "a/B", "a/b/c", "a-b", "a.b", "a b", "ab", "a/b-", "a!", "a0", "a~", "aa"),
    *(" ", "  ", " a", "a ", "a+b", "a%b", "a%2Fb", "a%2fb", "%", "%25", "%00", "+", "a_b", "_", "a?b", "a#b", "a&b=c"),
    *(".hidden", "...", "....", "a.", "a..", "a...", "..a", ".a/.b", "-", "--help", "-rf", "~", "~root", "$HOME"),
    *("CON", "con", "nul.txt", "NUL", "aux", "COM1", "lpt1.txt", "desktop.ini", "Thumbs.db", ".DS_Store", "lost+found"),
    *("a\\b", "C:\\a", "C:", "a:b", "a|b", "a*", "*", "a<b>c", '"', "'", "''", "a'b", 'a"b', "`", ";", "a;b", "'; --"),
    *("[a]", "{a}", "(a)", "a,b", "a=b", "a@b", "a^b", "http:", "a.tmp", "a.lock", "a.dir", "a.dat", "a.bak", "a~1"),
    *("meta", "meta.json", "docs.db", "docs.db-wal", "objects", "tmp", ".tmp", "index", "journal", "lock", "null", "0"),
    *(unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"), "e", "Å", "\u212b", "ß", "ss", "ẞ", "İ"),
    *("\u0131", "ﬁ", "日本", "日本/語", "😀", "👩\u200d👩\u200d👧"),
    *("\u200b", "\u202eabc", "\u00a0", "\u3000", "\ufeff"),
    *("\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\ufffd", "\U00010000", "\U0010fffe", "\U0010ffff"),
    *("s" * 255, "s" * 254, "s" * 255 + "/t", "S" * 255, "é" * 127, "😀" * 63, "/".join(["p" * 255] * 4)),
    *("/".join("q" * 512), "q/" * 511 + "qq"),
]
"""Keys that file systems, SQL and URLs could mistake for something else or for each other; all are valid."""

_PREFIXES: Final = [
    *("", "a", "A", "a/", "a/b", "a/b/", "a-", "%", "_", "a%", "a_", "*", "["),
    *("'", '"', "\\", ".", "..", "...", "/", "a//"),
    *("e", "é", "s" * 255, "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff", "\U0010ffff\U0010ffff", "no such"),
]


class KeyTests(EngineTests):
    """Hostile keys."""

    @pytest.mark.parametrize("filling", [b"", bytes(70_000)], ids=["small", "large"])
    @with_engine
    async def test_each_key_is_kept_apart_from_all_others(self, engine: Engine, filling: bytes) -> None:
        metas = {key: (await put_data(engine, key, filling + key.encode())).meta for key in HOSTILE_KEYS}
        assert [meta.key for meta in metas.values()] == HOSTILE_KEYS
        for key in HOSTILE_KEYS:
            await assert_state(engine, key, metas[key], filling + key.encode())
        for number, key in enumerate(HOSTILE_KEYS, 1):
            assert await engine.delete(key) == metas[key]
            assert await engine.head(key) is None
            if number % 20 == 0:
                assert await list_keys(engine) == sorted(HOSTILE_KEYS[number:], key=str.encode)
        assert await engine.list() == []

    @with_engine
    async def test_a_prefix_matches_the_exact_start_of_a_key(self, engine: Engine) -> None:
        for key in HOSTILE_KEYS:
            await put_data(engine, key, b"")
        for prefix in _PREFIXES:
            expected = [key for key in HOSTILE_KEYS if key.startswith(prefix)]
            assert await list_keys(engine, prefix=prefix) == sorted(expected, key=str.encode)

    @with_engine
    async def test_pages_join_without_a_gap_or_a_repeat(self, engine: Engine) -> None:
        for key in HOSTILE_KEYS:
            await put_data(engine, key, b"")
        for limit in (1, 2, 7, len(HOSTILE_KEYS) - 1, len(HOSTILE_KEYS), 1000):
            joined = [key async for page in list_pages(engine, limit) for key in page]
            assert joined == sorted(HOSTILE_KEYS, key=str.encode), limit


_STORED: Final = ["B", "a", "a!", "a/a", "a/b", "a/b/c", "a/c", "a0", "aa", "b", "c/é", "\ue000", "\U00010000"]

_LISTED_PREFIXES: Final = ["", "a", "a/", "a/b", "b", "c/é", "c/e", "\ue000", "zzz"]
_AFTERS: Final = [
    *("", "A", "B", "a", "a/", "a/aa", "a/b", "a/bb", "a0", "b", "c/é"),
    *("zzz", "\ue000", "\uffff", "\U00010000", "\U0010ffff"),
]


class ListingTests(EngineTests):
    """Pages of a collection."""

    @with_engine
    async def test_a_page_obeys_prefix_after_and_limit(self, engine: Engine) -> None:
        for key in reversed(_STORED):
            await put_data(engine, key, b"")
        for prefix, after in itertools.product(_LISTED_PREFIXES, _AFTERS):
            expected = [key for key in _STORED if key.startswith(prefix) and key > after]
            for limit in {1, 2, max(len(expected), 1), 1000}:
                found = await list_keys(engine, prefix=prefix, after=after, limit=limit)
                assert found == expected[:limit], (prefix, after, limit)

    @with_engine
    async def test_paging_survives_deletion_of_listed_documents(self, engine: Engine) -> None:
        stored = [f"key-{number:02}" for number in range(30)]
        for key in stored:
            await put_data(engine, key, b"")
        found: list[str] = []
        async for page in list_pages(engine, 4):
            found += page
            for key in page:
                await engine.delete(key)
        assert found == stored
        assert await engine.list() == []
