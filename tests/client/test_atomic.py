"""Atomic operations: threads and processes that share a collection lose no update."""

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from docstore import (
    Client,
    StoredContent,
)


@pytest.mark.parametrize("url", ["http-docs", "inside-memory", "inside-docs"], indirect=True)
def test_eight_threads_lose_no_update(docs: Client) -> None:
    def count(_: int) -> None:
        for _ in range(5):
            docs.update("counter", lambda content: b"%d" % (int(content or 0) + 1))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(8)))
        assert docs.pop("counter") == b"40"
        winners = list(threads.map(lambda number: docs.setdefault("lock", b"%d" % number), range(8)))
        assert set(winners) == {docs["lock"]}
        popped = list(threads.map(lambda _: docs.pop("lock", None), range(8)))
        assert sorted(content is not None for content in popped) == [False] * 7 + [True]
        for number in range(8):
            docs[f"item{number}"] = b""
        taken = [key for key, _ in threads.map(lambda _: docs.popitem(), range(8))]
        assert sorted(taken) == [f"item{number}" for number in range(8)]


COUNTING = """
import sys
from docstore import Client
with Client(sys.argv[1], create=True) as docs:
    for _ in range(10):
        docs.update("counter", lambda content: b"%d" % (int(content or 0) + 1))
"""


def test_processes_lose_no_update(docs: Client, url: str) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", COUNTING, url]) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert docs["counter"] == b"20"


BOTH = pytest.mark.parametrize("url", ["http-docs", "inside-memory"], indirect=True)


def listed_fields(docs: Client) -> object:
    return next(info.fields for info in docs.documents() if info.key == "a")


def test_update_reads_fields_again_that_change_meanwhile(docs: Client) -> None:
    """Another client changes them between the requests for the content and for the fields."""
    docs.put("a", b"1", fields={"Cache-Control": "no-cache"})
    turns = iter([{"Cache-Control": "max-age=5"}, {}])

    def function(content: StoredContent | None) -> bytes:
        for fields in turns:
            docs.put("a", b"2", fields=fields)
            break
        return (content or b"") + b"+"

    docs.update("a", function)
    assert (listed_fields(docs), docs["a"]) == ({}, b"2+")


@BOTH
def test_update_keeps_type_fields_and_meta(docs: Client) -> None:
    docs.put("a", b"1", type="text/x", fields={"Content-Language": "de"}, meta={"of": "me"})
    docs.update("a", lambda content: (content or b"") + b"2")
    found = docs["a"]
    assert (found, found.info.type, found.info.meta) == (b"12", "text/x", {"of": "me"})
    assert found.info.fields == {"content-language": "de"}
    docs.update("a", lambda _: "text", type="text/y", ttl=100)
    assert (docs.info("a").type, docs.info("a").expires is None) == ("text/y", False)
    seen: list[StoredContent | None] = []
    assert docs.update("new", lambda content: seen.append(content) or b"made").created
    assert seen == [None]
    with pytest.raises(ZeroDivisionError):
        docs.update("a", lambda content: b"%d" % (1 // 0))
    assert docs["a"] == b"text"


@pytest.mark.parametrize("url", ["http-docs", "inside-memory"], indirect=True)
@pytest.mark.parametrize("default", [b"", "", "text", None, bytearray(b"x")])
def test_a_default_is_stored_as_put_stores_it(docs: Client, default: Any) -> None:
    put = docs.put("put", b"" if default is None else default)
    assert docs.setdefault("set", default) == docs["put"]
    assert docs.info("set").version == put.version


def test_a_default_that_is_not_in_memory_is_rejected_and_not_stored(docs: Client, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    not_in_memory: list[Any] = [path, io.BytesIO(b"content"), [b"content"], iter([b"content"])]
    for default in not_in_memory:
        with pytest.raises(TypeError, match="in memory"):
            docs.setdefault("set", default)
    assert list(docs) == []
