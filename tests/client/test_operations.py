"""The operations of one request, over HTTP and in this process: one contract for both."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import docstore
from docstore import (
    AsyncClient,
    Client,
    Conflict,
    ContentTooLarge,
    DigestMismatch,
    NotFound,
    NotJSON,
    PutResult,
    RequestError,
)
from docstore.http.digests import structured_digest
from tests.client.faulty_server import FaultyServer, answer

BOTH = pytest.mark.parametrize("url", ["http-docs", "inside-memory"], indirect=True)


@BOTH
def test_a_stored_document_is_returned_with_its_metadata(docs: Client) -> None:
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
def test_json_is_stored_read_and_patched(docs: Client) -> None:
    docs.put_json("a", {"n": 1, "é": [1, None]}, meta={"kind": "state"})
    assert docs.get_json("a") == docs["a"].json() == {"n": 1, "é": [1, None]}
    docs.patch("a", {"n": None, "m": 2})
    version = docs.patch("a", [{"op": "add", "path": "/list", "value": []}]).version
    assert docs.get_json("a") == {"é": [1, None], "m": 2, "list": []}
    assert (docs.info("a").type, docs.info("a").meta) == ("application/json", {"kind": "state"})
    docs.patch("a", {"m": 3}, if_match=version)
    with pytest.raises(Conflict):
        docs.patch("a", {"m": 4}, if_match=version)
    with pytest.raises(RequestError, match="patch conflicts"):
        docs.patch("a", [{"op": "remove", "path": "/none"}])
    with pytest.raises(NotFound):
        docs.patch("missing", {})
    with pytest.raises(NotFound):
        docs.json["missing"]
    assert docs.get_json("missing") is None
    assert docs.get_json("missing", 3) == 3
    with pytest.raises(ValueError, match="JSON"):
        docs.put_json("a", float("nan"))


@BOTH
def test_json_values_are_a_mapping(docs: Client) -> None:
    docs.json["a"] = {"n": [1, None, "é"]}
    docs.json["b"] = 5
    assert (docs.json["a"], docs.info("a").type) == ({"n": [1, None, "é"]}, "application/json")
    assert docs.json == {"a": {"n": [1, None, "é"]}, "b": 5}
    assert (list(docs.json), len(docs.json), "a" in docs.json, "c" in docs.json) == (["a", "b"], 2, True, False)
    assert docs.json.pop("b") == 5
    docs["text"] = "no JSON"
    with pytest.raises(ValueError, match="'text' is not JSON: Expecting value"):
        docs.json["text"]
    del docs.json["text"]
    assert (docs.json.setdefault("c", [1]), docs.json.setdefault("c", [2]), docs.info("c").type) == (
        *([1], [1], "application/json"),
    )
    assert (docs.json.pop("missing", {}), docs.json.setdefault("d"), docs.json.popitem()[0]) == ({}, None, "a")
    with pytest.raises(NotFound):
        docs.json.pop("missing")
    docs.json.update({"e": True}, f=None)
    docs.json.clear()
    assert not docs
    assert repr(docs.json) == f"{docs!r}.json"


@BOTH
@pytest.mark.parametrize("content", [b"no JSON", b"\xff", b"", b"[" * 100_000])
def test_a_document_that_is_not_json_is_named(docs: Client, content: bytes) -> None:
    docs["text"] = content
    reads: list[Callable[[], Any]] = [
        lambda: docs.json["text"],
        lambda: docs.get_json("text"),
        lambda: list(docs.json.items()),
        lambda: list(docs.json.values()),
        lambda: docs.json.setdefault("text", 1),
        lambda: docs.json.update("text", lambda value: value),
        lambda: docs.json.pop("text"),
        lambda: docs.json.pop("text", None),
        lambda: docs.json.popitem(),
    ]
    for read in reads:
        with pytest.raises(NotJSON, match="'text' is not JSON"):
            read()
        assert docs["text"] == content
    assert docs["text"] == content


@BOTH
def test_an_asynchronous_client_names_a_document_that_is_not_json(run: Callable[..., object]) -> None:
    async def test(docs: AsyncClient) -> None:
        await docs.put("text", b"no JSON")
        with pytest.raises(NotJSON, match="'text' is not JSON"):
            await docs.get_json("text")

    run(test)


@BOTH
def test_a_json_value_is_updated(docs: Client) -> None:
    assert docs.json.update("n", lambda value: (value or 0) + 1).created
    docs.json.update("n", lambda value: value + 1, meta={"by": "me"})
    assert (docs.json["n"], docs.info("n").type, docs.info("n").meta) == (2, "application/json", {"by": "me"})


@BOTH
def test_of_several_threads_one_takes_a_json_value(docs: Client) -> None:
    docs.json["a"] = {"n": 1}
    with ThreadPoolExecutor(8) as threads:
        popped = list(threads.map(lambda _: docs.json.pop("a", None), range(8)))
        stored = list(threads.map(lambda number: docs.json.setdefault("b", number), range(8)))
    assert sorted(value is not None for value in popped) == [False] * 7 + [True]
    assert set(stored) == {docs.json["b"]}


@BOTH
@pytest.mark.parametrize("value", [{"a": 1}, {}, 5, 1.5, None, True, ["text"], [{"a": 1}], ("a", "b")])
def test_a_value_that_is_no_content_is_refused_with_the_way_to_store_it(docs: Client, value: Any) -> None:
    with pytest.raises(TypeError, match=r"docs\.json\[key\] = value or put_json"):
        docs["d"] = value
    with pytest.raises(TypeError, match="put_json"):
        docs.update("d", lambda _: value)
    assert "d" not in docs


@BOTH
def test_pieces_that_are_no_bytes_store_nothing(docs: Client) -> None:
    docs["d"] = b"before"
    with pytest.raises(TypeError, match="pieces of content are bytes, not str"):
        docs.put("d", (piece for piece in (b"bytes", "text")))
    assert docs["d"] == b"before"


@BOTH
def test_add_chooses_a_key(docs: Client) -> None:
    added = docs.add("text", meta={"a": "b"})
    assert docs[added.key] == b"text"
    assert added.created
    assert docs.info(added.key).meta == {"a": "b"}


def test_a_too_large_document_is_rejected() -> None:
    with docstore.open("memory:?max_document=10") as docs:
        with pytest.raises(ContentTooLarge):
            docs["a"] = bytes(11)
        with pytest.raises(ContentTooLarge):
            docs.put("a", iter([bytes(6), bytes(6)]))
        assert not docs


def test_content_that_does_not_match_its_digest_raises(faulty: FaultyServer) -> None:
    wrong = structured_digest("sha-256", hashlib.sha256(b"other").digest())
    lying = answer(200, b"hello", etag='"v"', repr_digest=wrong)
    faulty.script = [lying, lying]
    with Client(faulty.url) as docs:
        with pytest.raises(DigestMismatch):
            docs.get("a")
        with pytest.raises(DigestMismatch):
            b"".join(docs.iter_content("a"))
