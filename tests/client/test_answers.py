"""What the operations give and raise, over HTTP and in this process: one contract, whichever way."""

import asyncio
import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import docstore
from docstore import (
    AsyncClient,
    Client,
    ClientClosed,
    Conflict,
    ContentTooLarge,
    DocstoreError,
    Info,
    NotFound,
    NotModified,
    Page,
    PutResult,
    RequestError,
    StoredContent,
)
from docstore.errors import Problem

BOTH = pytest.mark.parametrize("url", ["http-docs", "inside-memory"], indirect=True)


@BOTH
def test_what_was_stored_is_found_with_all_that_was_said_of_it(docs: Client) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    stored = docs.put(
        "a",
        b"content",
        type="text/plain",
        ttl=timedelta(hours=1),
        fields={"Content-Language": "de", "Cache-Control": "max-age=5"},
        meta={"Author": "me"},
    )
    assert stored == PutResult("a", stored.version, created=True)
    assert docs.put("a", b"x").created is False
    assert docs.put("a", b"content", type="text/plain", meta={"Author": "me"}, ttl=3600).created is False
    found = docs["a"]
    assert (found, found.content, found.text) == (b"content", b"content", "content")
    info = found.info
    assert (info.key, info.size, info.type, info.meta) == ("a", 7, "text/plain", {"author": "me"})
    assert info.modified is not None
    assert info.expires is not None
    assert before <= info.modified <= datetime.now(UTC)
    assert timedelta(seconds=3590) < info.expires - before < timedelta(seconds=3660)
    assert info.etag == f'"{info.version}"'
    assert docs.info("a") == info
    listed = docs.list().documents[0]
    assert (listed.version, listed.digest, listed.meta, listed.type) == (
        info.version,
        info.digest,
        info.meta,
        "text/plain",
    )
    docs.put("a", b"content", fields={"Content-Language": "de", "Cache-Control": "max-age=5"})
    assert docs.info("a").fields == {"content-language": "de", "cache-control": "max-age=5"}


@BOTH
def test_conditions_take_versions_etags_lists_and_the_star(docs: Client) -> None:
    first = docs.put("a", b"1", if_none_match="*")
    with pytest.raises(Conflict) as caught:
        docs.put("a", b"2", if_none_match="*")
    assert caught.value.version == first.version
    assert caught.value.problem is not None
    assert (caught.value.problem.status, caught.value.problem.name) == (412, "precondition-failed")
    assert caught.value.problem.advice
    second = docs.put("a", b"2", if_match=first.version)
    third = docs.put("a", b"3", if_match=second.etag)
    for refused in (
        lambda: docs.put("a", b"4", if_match=first.etag),
        lambda: docs.put("b", b"4", if_match="*"),
        lambda: docs.delete("a", if_match=first.etag),
        lambda: docs.get("a", None, if_match=first.etag),
        lambda: b"".join(docs.iter_content("a", if_match=first.etag)),
    ):
        with pytest.raises(Conflict):
            refused()
    assert docs.get("a", None, if_match=["other", third.etag]) == b"3"
    assert docs.get("a", None, if_none_match=third.etag) == NotModified(third.version)
    assert docs.get("a", None, if_none_match=first.etag) == b"3"
    docs.delete("a", if_match=third.version)


@BOTH
def test_parts_are_slices(docs: Client) -> None:
    content = bytes(range(100))
    docs["a"] = content
    docs["empty"] = b""
    for start, stop in ((0, 10), (90, None), (None, 3), (-7, None), (5, 1000), (99, 100)):
        assert docs.get("a", None, start=start, stop=stop) == content[start:stop]
        assert b"".join(docs.iter_content("a", start=start, stop=stop)) == content[start:stop]
    part = docs.get("a", None, start=10, stop=20)
    assert part is not None
    assert part.info.size == 100
    assert docs.get("empty", None, start=0, stop=5) == b""
    with pytest.raises(RequestError, match="range not satisfiable"):
        docs.get("a", None, start=100)
    for start, stop in ((5, 5), (5, 4), (-5, 3), (0, 0)):
        with pytest.raises(ValueError, match="part"):
            docs.get("a", None, start=start, stop=stop)


@BOTH
def test_json_is_stored_read_and_patched(docs: Client) -> None:
    docs.put_json("a", {"n": 1, "é": [1, None]}, meta={"kind": "state"})
    assert docs.json("a") == docs["a"].json() == {"n": 1, "é": [1, None]}
    docs.patch("a", {"n": None, "m": 2})
    version = docs.patch("a", [{"op": "add", "path": "/list", "value": []}]).version
    assert docs.json("a") == {"é": [1, None], "m": 2, "list": []}
    assert (docs.info("a").type, docs.info("a").meta) == ("application/json", {"kind": "state"})
    docs.patch("a", {"m": 3}, if_match=version)
    with pytest.raises(Conflict):
        docs.patch("a", {"m": 4}, if_match=version)
    with pytest.raises(RequestError, match="patch conflicts"):
        docs.patch("a", [{"op": "remove", "path": "/none"}])
    with pytest.raises(NotFound):
        docs.patch("missing", {})
    with pytest.raises(NotFound):
        docs.json("missing")
    with pytest.raises(ValueError, match="JSON"):
        docs.put_json("a", float("nan"))


@BOTH
def test_a_listing_comes_by_pages_and_folders(docs: Client) -> None:
    names = sorted(["a", "b/1", "b/2", "c é/%41?#", "z"])
    for name in names:
        docs[name] = name.encode()
    page = docs.list(limit=2)
    assert [info.key for info in page.documents] == names[:2]
    assert page.after == names[1]
    assert [info.key for info in docs.list(after=page.after or "").documents] == names[2:]
    assert docs.list(delimiter="/") == Page(docs.list(delimiter="/").documents, ("b/", "c é/"), None)
    assert [info.key for info in docs.documents("b/")] == ["b/1", "b/2"]
    assert [info.key for info in docs.documents(after="b/2")] == names[3:]
    assert (docs.count(), docs.count("b/"), len(docs), list(docs)) == (5, 2, 5, names)
    with pytest.raises(RequestError, match="limit"):
        docs.list(limit=0)


CACHED = pytest.mark.parametrize("cached", ["max-age=86400", "no-cache", "private, stale-if-error=5", None])
"""Of each the answer of a document that expires tells something else, or the same that it tells of another."""


def listed_fields(docs: Client) -> object:
    return next(info.fields for info in docs.documents() if info.key == "a")


@CACHED
@pytest.mark.parametrize("ttl", [None, 3600])
def test_the_fields_that_are_written_back_are_those_that_are_stored(
    docs: Client, cached: str | None, ttl: int | None
) -> None:
    docs["a/before"] = docs["aa"] = b"others"
    fields = {} if cached is None else {"cache-control": cached}
    stored = docs.put("a", b"1", fields=fields, meta={"of": "me"}, ttl=ttl)
    info = docs.info("a")
    assert (info.fields, info.meta, info.version) == (fields, {"of": "me"}, stored.version)
    docs.update("a", lambda _: b"2", ttl=100)
    assert (listed_fields(docs), docs["a"]) == (fields, b"2")
    assert docs.update("a", lambda _: b"1").version == stored.version


def test_fields_that_change_while_they_are_read_are_read_again(docs: Client) -> None:
    """By another between the content and its fields."""
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
def test_update_keeps_what_is_stored_beside_the_content(docs: Client) -> None:
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


@BOTH
def test_add_chooses_a_key(docs: Client) -> None:
    added = docs.add("text", meta={"a": "b"})
    assert docs[added.key] == b"text"
    assert added.created
    assert docs.info(added.key).meta == {"a": "b"}


@BOTH
def test_fields_that_no_store_takes_are_refused_before_anything_is_sent(docs: Client) -> None:
    for refused in (
        {"type": "nonsense"},
        {"type": "text/plain\r\nX: y"},
        {"meta": {"a b": "c"}},
        {"meta": {"a": "b\r\nX: y"}},
        {"meta": {"é": "x"}},
        {"meta": {"a": "é"}},
        {"meta": {"a": " b"}},
        {"fields": {"content-language": "en\t"}},
        {"meta": {"a": "x" * 9000}},
    ):
        with pytest.raises(RequestError):
            docs.put("a", b"", **refused)
    for ttl in (-1, 1.5):
        with pytest.raises(ValueError, match="ttl"):
            docs.put("a", b"", ttl=ttl)
    with pytest.raises(RequestError):
        docs.put("a", b"", ttl=10**12)
    assert not docs


@BOTH
def test_an_option_that_is_not_there_is_never_passed_over(docs: Client) -> None:
    for mistaken in (
        lambda: docs.put("a", b"", typ="text/plain"),
        lambda: docs.add(b"", if_match="x"),
        lambda: docs.update("a", lambda _: b"", tll=3),
        lambda: docs.setdefault("a", b"", tll=3),
        lambda: docs.get("a", None, stat=3),
        lambda: Client("memory:", timeout=3),
    ):
        with pytest.raises(TypeError, match="unknown option"):
            mistaken()
    assert not docs


@BOTH
def test_a_closed_client_says_so(docs: Client) -> None:
    docs.close()
    docs.close()
    with pytest.raises(ClientClosed):
        docs.get("a")


def test_too_large_a_document_is_refused() -> None:
    with docstore.open("memory:?max_document=10") as docs:
        with pytest.raises(ContentTooLarge):
            docs["a"] = bytes(11)
        with pytest.raises(ContentTooLarge):
            docs.put("a", iter([bytes(6), bytes(6)]))
        assert not docs


def test_answers_are_frozen_and_go_to_other_processes() -> None:
    info = Info("a", "v", 1, fields={"content-language": "de"}, meta={"a": "b"})
    for answer in (StoredContent(b"1", info), info, PutResult("a", "v", True), Page((info,)), NotModified("v")):
        assert pickle.loads(pickle.dumps(answer)) == answer
        assert copy.deepcopy(answer) == answer
        with pytest.raises((AttributeError, TypeError)):
            answer.key = "b"
    assert pickle.loads(pickle.dumps(StoredContent(b"1", info))).info == info


@pytest.mark.parametrize("error", [Conflict(None, "said", version="v"), ContentTooLarge(5), NotFound("none")], ids=repr)
def test_errors_go_to_other_processes(error: DocstoreError) -> None:
    error.problem = Problem(404, "not-found", "not found")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("url", ["inside-memory", "http-memory"], indirect=True)
def test_the_asynchronous_client_has_the_same_operations(run: Callable[..., object]) -> None:
    async def used(docs: AsyncClient) -> None:
        await docs.put_json("a", {"n": 1})
        await docs.patch("a", {"n": 2})
        assert await docs.json("a") == {"n": 2}
        assert (await docs.info("a")).type == "application/json"

        async def later(content: StoredContent | None) -> bytes:
            await asyncio.sleep(0)
            return b"later"

        await docs.update("b", later)
        assert await docs.get("b") == b"later"
        assert [info.key async for info in docs.documents()] == ["a", "b"]
        assert (await docs.list(limit=1)).after == "a"
        assert await docs.get("a", None, start=0, stop=1) == b"{"
        with pytest.raises(NotFound):
            await docs.pop("missing")
        added = await docs.add(b"x")
        await docs.delete(added.key)

    run(used)


def test_the_plain_client_refuses_what_it_can_not_wait_for(docs: Client) -> None:
    async def pieces() -> Any:
        yield b"1"

    async def slow(content: object) -> bytes:
        await asyncio.sleep(0)
        return b""

    with pytest.raises(TypeError, match="AsyncClient"):
        docs.put("a", pieces())
    with pytest.raises(TypeError, match="AsyncClient"):
        docs.update("a", slow)
    assert not docs


def test_both_clients_offer_the_same_names() -> None:
    def names(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert names(Client) - {"items", "values"} == names(AsyncClient) - {"keys"}
