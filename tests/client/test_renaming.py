"""Copies and renames within a collection: what they keep, what they refuse, and what a failure in between leaves."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from docstore import AsyncClient, Client, Conflict, InvalidKey, NotFound, OutcomeUnknown
from docstore.client.body import SPOOL_SIZE
from tests.client.conftest import WAYS
from tests.client.faulty_server import FaultyServer, answer, hang_up

BOTH = pytest.mark.parametrize("url", ["http-docs", "inside-memory"], indirect=True)


@pytest.mark.parametrize("url", WAYS, indirect=True)
@pytest.mark.parametrize("size", [0, 10, SPOOL_SIZE + 7])
def test_a_copy_has_the_version_of_the_document(docs: Client, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    fields = {"Content-Language": "de", "Cache-Control": "no-cache"}
    stored = docs.put("a", content[:size], type="text/x", fields=fields, meta={"of": "me"})
    assert docs.copy("a", "b/c").version == stored.version
    assert (docs["b/c"], docs["a"]) == (content[:size], content[:size])
    renamed = docs.rename("a", "d")
    assert (renamed.key, renamed.version, renamed.created) == ("d", stored.version, True)
    assert ("a" in docs, docs["d"], docs.info("d").meta) == (False, content[:size], {"of": "me"})


@BOTH
def test_the_remaining_ttl_is_kept(docs: Client) -> None:
    docs.put("a", b"", ttl=3600)
    docs.copy("a", "b")
    docs.rename("a", "c")
    for key in ("b", "c"):
        expires = docs.info(key).expires
        assert expires is not None
        assert timedelta(seconds=3500) < expires - datetime.now(UTC) <= timedelta(seconds=3601)


@BOTH
def test_a_document_is_replaced_only_on_demand(docs: Client) -> None:
    docs["a"], docs["b"] = b"1", b"2"
    for operation in (docs.copy, docs.rename):
        with pytest.raises(Conflict):
            operation("a", "b")
        with pytest.raises(NotFound):
            operation("missing", "b")
        with pytest.raises(InvalidKey):
            operation("a", "..")
    with pytest.raises(ValueError, match="the new key is the old one"):
        docs.rename("a", "a", replace=True)
    assert docs.copy("a", "b", replace=True).created is False
    docs["b"] = b"2"
    docs.rename("b", "a", replace=True)
    assert dict(docs.items()) == {"a": b"2"}


@BOTH
def test_the_asynchronous_client_copies_and_renames(run: Callable[..., object]) -> None:
    async def used(docs: AsyncClient) -> None:
        await docs.put("a", b"x" * 2 * SPOOL_SIZE)
        await docs.copy("a", "b")
        await docs.rename("b", "c")
        assert [info.size async for info in docs.documents()] == [2 * SPOOL_SIZE] * 2

    run(used)


FOUND = answer(200, b"old", etag='"1"', content_type="text/plain", last_modified="Mon, 01 Jan 2024 00:00:00 GMT")
LISTED = answer(200, b'{"documents": [], "next": null}', content_type="application/json")
STORED = answer(201, etag='"1"')


def test_a_document_that_changes_before_it_is_removed_remains(faulty: FaultyServer) -> None:
    faulty.script = [FOUND, LISTED, FOUND, STORED, answer(412, etag='"2"')]
    with Client(faulty.url) as docs, pytest.raises(Conflict, match="'b' is stored; 'a' has changed") as caught:
        docs.rename("a", "b")
    assert caught.value.version == "2"
    methods = [
        (asked.method, asked.headers.get("if-match"), asked.headers.get("if-none-match")) for asked in faulty.asked
    ]
    assert methods[2:] == [("GET", '"1"', None), ("PUT", None, "*"), ("DELETE", '"1"', None)]


def test_a_lost_response_to_the_removal_is_reported(faulty: FaultyServer) -> None:
    faulty.script = [FOUND, LISTED, FOUND, STORED, *[hang_up] * 9]
    with Client(faulty.url) as docs, pytest.raises(OutcomeUnknown, match="'b' is stored; 'a' may remain"):
        docs.rename("a", "b")


def test_a_document_that_changes_while_it_is_read_is_read_again(faulty: FaultyServer) -> None:
    faulty.script = [FOUND, LISTED, answer(412, etag='"2"'), FOUND, LISTED, FOUND, STORED]
    with Client(faulty.url) as docs:
        assert docs.copy("a", "b").version == "1"
