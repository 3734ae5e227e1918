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
    Conflict,
    Info,
    PutOptions,
    StoredContent,
)
from docstore.client import listing
from docstore.client.operations import Operations


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


BOTH_WAYS = pytest.mark.parametrize("url", ["http-docs", "inside-memory", "inside-file"], indirect=True)


@BOTH_WAYS
def test_a_put_drops_what_is_not_given_and_keeps_it_with_keep(docs: Client) -> None:
    given: PutOptions = {"type": "text/html", "fields": {"Cache-Control": "max-age=60"}, "meta": {"a": "1", "b": "2"}}
    docs.put("a", b"1", ttl=1000, **given)
    first = docs.info("a")
    assert not docs.put("a", b"2", keep=True).created
    kept = docs.info("a")
    assert (docs["a"], kept.type, kept.fields, kept.meta) == (b"2", first.type, first.fields, first.meta)
    assert kept.expires is not None
    assert first.expires is not None
    assert abs((kept.expires - first.expires).total_seconds()) <= 60
    docs.put("a", b"3", keep=True, type="text/css", ttl=10**6, meta={"B": "3"}, fields={"Content-Language": "de"})
    changed = docs.info("a")
    assert (changed.type, changed.meta) == ("text/css", {"a": "1", "b": "3"})
    assert changed.fields == {"cache-control": "max-age=60", "content-language": "de"}
    assert changed.expires is not None
    assert (changed.expires - kept.expires).total_seconds() > 10**5
    docs.put_many({"a": b"4"}, keep=True)
    with docs.open("a", "wb", keep=True) as file:
        file.write(b"5")
    assert docs.info("a").meta == changed.meta
    docs.put("a", b"6")
    dropped = docs.info("a")
    assert (dropped.fields, dropped.meta, dropped.expires) == ({}, {}, None)


@BOTH_WAYS
def test_keep_stores_a_new_document_and_obeys_if_match(docs: Client) -> None:
    first = docs.put("a", b"1", keep=True, meta={"a": "1"})
    assert first.created
    second = docs.put("a", b"2", keep=True, if_match=first.etag)
    for condition in (first.etag, [first.version, "x"]):
        with pytest.raises(Conflict) as caught:
            docs.put("a", b"3", keep=True, if_match=condition)
        assert caught.value.version == second.version
    docs.put("a", b"3", keep=True, if_match="*")
    assert (docs["a"], docs.info("a").meta) == (b"3", {"a": "1"})
    with pytest.raises(Conflict):
        docs.put("none", b"", keep=True, if_match="*")
    with pytest.raises(ValueError, match="if_none_match"):
        docs.put("a", b"", keep=True, if_none_match="*")


@pytest.mark.parametrize("replayable", [True, False])
def test_keep_reads_again_what_another_client_changes_meanwhile(
    docs: Client, url: str, replayable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs.put("a", b"1", meta={"a": "1"})
    stored_info, others = listing.stored_info, iter([b"2", b"3"])

    async def changed_after(operations: Operations, answered: Info, /) -> Info:
        info = await stored_info(operations, answered)
        if (other := next(others, None)) is not None:
            with Client(url) as client:
                client.put("a", other, meta={"a": other.decode()})
        return info

    monkeypatch.setattr(listing, "stored_info", changed_after)
    if replayable:
        docs.put("a", b"new", keep=True)
        monkeypatch.undo()
        assert (docs["a"], docs.info("a").meta) == (b"new", {"a": "3"})
    else:
        with pytest.raises(Conflict):
            docs.put("a", iter([b"new"]), keep=True)
        monkeypatch.undo()
        assert (docs["a"], docs.info("a").meta) == (b"2", {"a": "2"})
