"""Errors in the headers of a write are reported before the body is requested, and nothing is changed."""

import pytest

from tests.engine_urls import ENGINES
from tests.in_process import InProcess, NeverRead, on_a_store

PATCH = {"content-type": "application/json-patch+json"}
BEYOND = 1001

EARLY: dict[str, tuple[str, str, dict[str, str], int, int | None]] = {
    # method, path below the mount, fields, status, announced size
    "a key that is none": ("PUT", "a.b", {}, 400, None),
    "part of a document": ("PUT", "there", {"content-range": "bytes 0-1/2"}, 400, 2),
    "a media type that is none": ("PUT", "there", {"content-type": "text"}, 400, 2),
    "a range of media types": ("PUT", "there", {"content-type": "text/*"}, 400, 2),
    "a coding that is none": ("PUT", "there", {"content-encoding": "g zip"}, 400, 2),
    "a life that is none": ("PUT", "there", {"ttl": "soon"}, 400, 2),
    "a life of a patch that is none": ("PATCH", "there", PATCH | {"ttl": "-1"}, 400, 2),
    "a patch of nothing": ("PATCH", "missing", PATCH, 404, 2),
    "a deletion of nothing": ("DELETE", "missing", {}, 404, 2),
    "a method that is not for collections": ("PATCH", "", PATCH, 405, 2),
    "another document": ("PUT", "there", {"if-match": '"x"'}, 412, 2),
    "another document, patched": ("PATCH", "there", PATCH | {"if-match": '"x"'}, 412, 2),
    "another document, deleted": ("DELETE", "there", {"if-match": '"x"'}, 412, 2),
    "any document where there is one": ("POST", "there", {"if-none-match": "*"}, 412, 2),
    "a document that is missing": ("PUT", "missing", {"if-match": "*"}, 412, 2),
    "a later date": ("PUT", "there", {"if-unmodified-since": "Mon, 13 Nov 2023 00:00:00 GMT"}, 412, 2),
    "a condition on the collection": ("POST", "", {"if-none-match": "*"}, 412, 2),
    "too much": ("PUT", "there", {}, 413, BEYOND),
    "too much for the collection": ("POST", "", {}, 413, BEYOND),
    "too large a patch": ("PATCH", "there", PATCH, 413, 1024 * 1024 + 1),
    "a patch of another type": ("PATCH", "there", {"content-type": "application/json"}, 415, 2),
    "a patch of no type": ("PATCH", "there", {}, 415, 2),
    "a patch in a coding": ("PATCH", "there", PATCH | {"content-encoding": "gzip"}, 415, 2),
    "an expectation nobody knows": ("PUT", "there", {"expect": "miracles"}, 417, 2),
    "an expectation of a patch": ("PATCH", "there", PATCH | {"expect": "miracles"}, 417, 2),
    "too long a field": ("PUT", "there", {"meta-a": "x" * 9000}, 431, 2),
    "a method nobody knows": ("BREW", "there", {}, 501, 2),
    "another site": ("PUT", "there", {"sec-fetch-site": "cross-site"}, 403, 2),
}


@pytest.mark.parametrize("mount", ENGINES)
@on_a_store(max_document=BEYOND - 1, keys="name")
async def test_errors_in_headers_are_answered_before_the_body_is_read(store: InProcess, mount: str) -> None:
    await store.prepare("PUT", f"/{mount}/there", b"{}", {"content-type": "application/json"})
    before = await store.send("GET", f"/{mount}/?format=json")
    for name, (method, key, fields, status, announced) in EARLY.items():
        reply = await store.send(method, f"/{mount}/{key}", NeverRead(announced), fields)
        assert reply.status == status, name
        assert await store.send("GET", f"/{mount}/?format=json") == before, name


@on_a_store("memory", hosts=frozenset({"localhost"}), anonymous="read")
async def test_a_foreign_host_and_missing_rights_are_rejected_before_the_body(store: InProcess) -> None:
    for host, status in (("elsewhere", 421), ("localhost", 403)):
        assert (await store.send("PUT", "/memory/key", NeverRead(5), {"host": host})).status == status


@on_a_store("memory")
async def test_an_unknown_path_is_rejected_before_the_body(store: InProcess) -> None:
    for path in ("/nowhere", "/nowhere/key", "/-/nothing"):
        assert (await store.send("PUT", path, NeverRead(5))).status == 404


@on_a_store("memory")
async def test_conditions_are_evaluated_after_errors_of_the_request_itself(store: InProcess) -> None:
    """RFC 9110 §13.2.1: a condition is ignored if the request would fail without it."""
    conditions = {"if-match": '"x"'}
    for fields, status in [
        ({"expect": "miracles"}, 417),
        ({"content-range": "bytes 0-1/2"}, 400),
        ({"ttl": "soon"}, 400),
        ({"meta-a": "x" * 9000}, 431),
    ]:
        assert (await store.send("PUT", "/memory/key", NeverRead(2), fields | conditions)).status == status
    assert (await store.send("PUT", "/memory/key", NeverRead(10**9 + 1), conditions)).status == 413
