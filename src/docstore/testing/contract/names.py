"""Keys that file systems, SQL and URLs would take for something else: each stays itself and apart from all others."""

import unicodedata
from typing import Final

from docstore.engines.contract import Engine
from docstore.keys import check_path
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import keys, pages, put, read, shows
from docstore.testing.contract.opening import Opening, on_an_engine

HOSTILE: Final = [
    *("a", "A", "a/b", "a/B", "a/b/c", "a-b", "a.b", "a b", "ab", "a/b-", "a!", "a0", "a~", "aa"),
    *(" ", "  ", " a", "a ", "a+b", "a%b", "a%2Fb", "a%2fb", "%", "%25", "%00", "+", "a_b", "_", "a?b", "a#b", "a&b=c"),
    *(".hidden", "...", "....", "a.", "a..", "a...", "..a", ".a/.b", "-", "--help", "-rf", "~", "~root", "$HOME"),
    *("CON", "con", "nul.txt", "NUL", "aux", "COM1", "lpt1.txt", "desktop.ini", "Thumbs.db", ".DS_Store", "lost+found"),
    *("a\\b", "C:\\a", "C:", "a:b", "a|b", "a*", "*", "a<b>c", '"', "'", "''", "a'b", 'a"b', "`", ";", "a;b", "'; --"),
    *("[a]", "{a}", "(a)", "a,b", "a=b", "a@b", "a^b", "http:", "a.tmp", "a.lock", "a.dir", "a.dat", "a.bak", "a~1"),
    *("meta", "meta.json", "docs.db", "docs.db-wal", "objects", "tmp", ".tmp", "index", "journal", "lock", "null", "0"),
    *(unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"), "e", "Å", "\u212b", "ß", "ss", "ẞ", "İ"),
    *(
        "\u0131",
        "ﬁ",
        "日本",
        "日本/語",
        "😀",
        "👩\u200d👩\u200d👧",
        "\u200b",
        "\u202eabc",
        "\u00a0",
        "\u3000",
        "\ufeff",
    ),
    *("\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\ufffd", "\U00010000", "\U0010fffe", "\U0010ffff"),
    *("s" * 255, "s" * 254, "s" * 255 + "/t", "S" * 255, "é" * 127, "😀" * 63, "/".join(["p" * 255] * 4)),
    *("/".join("q" * 512), "q/" * 511 + "qq"),
]
"""Each is valid by `keys.check_path` and unlike every other; all of them are stored at once."""

PREFIXES: Final = [
    *(
        "",
        "a",
        "A",
        "a/",
        "a/b",
        "a/b/",
        "a-",
        "%",
        "_",
        "a%",
        "a_",
        "*",
        "[",
        "'",
        '"',
        "\\",
        ".",
        "..",
        "...",
        "/",
        "a//",
    ),
    *("e", "é", "s" * 255, "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff", "\U0010ffff\U0010ffff", "no such"),
]


def bytewise(some: list[str]) -> list[str]:
    return sorted(some, key=lambda key: key.encode())


class Names(Opening):
    """Hostile keys."""

    def test_the_hostile_keys_are_keys(self) -> None:
        for key in HOSTILE:
            check_path(key)
        assert len(set(HOSTILE)) == len(HOSTILE)
        assert max(len(key.encode()) for key in HOSTILE) == 1024

    @on_an_engine
    async def test_each_key_is_kept_apart_from_all_others(self, engine: Engine, clock: SetClock) -> None:
        metas = {key: (await put(engine, key, key.encode())).meta for key in HOSTILE}
        assert [meta.key for meta in metas.values()] == HOSTILE
        for key in HOSTILE:
            await shows(engine, key, metas[key], key.encode())
        for number, key in enumerate(HOSTILE, 1):
            assert await engine.delete(key) == metas[key]
            if number % 20 == 0:
                assert await keys(engine) == bytewise(HOSTILE[number:])
        assert await engine.list() == []

    @on_an_engine
    async def test_each_large_document_is_kept_apart_from_all_others(self, engine: Engine, clock: SetClock) -> None:
        filling = bytes(70_000)
        for key in HOSTILE:
            await put(engine, key, filling + key.encode())
        for key in HOSTILE:
            assert await read(engine, key) == filling + key.encode()

    @on_an_engine
    async def test_a_key_is_absent_beside_its_neighbours(self, engine: Engine, clock: SetClock) -> None:
        stored, missing = HOSTILE[::2], HOSTILE[1::2]
        for key in stored:
            await put(engine, key, key.encode())
        for key in missing:
            assert await engine.get(key) is None
            assert await engine.head(key) is None
            assert await engine.delete(key) is None
        assert await keys(engine) == bytewise(stored)

    @on_an_engine
    async def test_a_prefix_is_of_the_key_as_it_is(self, engine: Engine, clock: SetClock) -> None:
        for key in HOSTILE:
            await put(engine, key, b"")
        for prefix in PREFIXES:
            assert await keys(engine, prefix=prefix) == bytewise([key for key in HOSTILE if key.startswith(prefix)])

    @on_an_engine
    async def test_pages_of_hostile_keys_leave_none_out(self, engine: Engine, clock: SetClock) -> None:
        for key in HOSTILE:
            await put(engine, key, b"")
        assert [key async for page in pages(engine, 7) for key in page] == bytewise(HOSTILE)
