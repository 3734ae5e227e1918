"""Pages, folders and stored fields of a collection."""

import pytest

from docstore import (
    Client,
    EngineError,
    NotFound,
    Page,
    RequestError,
)
from tests.client.faulty_server import FaultyServer, answer
from tests.server_process import RunningServer

BOTH = pytest.mark.parametrize("url", ["http-docs", "inside-memory"], indirect=True)


@BOTH
def test_a_listing_has_pages_and_folders(docs: Client) -> None:
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
"""For a document with a TTL, the Cache-Control of the response differs from the stored one in each of these cases."""


def listed_fields(docs: Client) -> object:
    return next(info.fields for info in docs.documents() if info.key == "a")


@CACHED
@pytest.mark.parametrize("ttl", [None, 3600])
def test_info_and_update_use_the_fields_as_they_are_stored(docs: Client, cached: str | None, ttl: int | None) -> None:
    docs["a/before"] = docs["aa"] = b"others"
    fields = {} if cached is None else {"cache-control": cached}
    stored = docs.put("a", b"1", fields=fields, meta={"of": "me"}, ttl=ttl)
    info = docs.info("a")
    assert (info.fields, info.meta, info.version) == (fields, {"of": "me"}, stored.version)
    docs.update("a", lambda _: b"2", ttl=100)
    assert (listed_fields(docs), docs["a"]) == (fields, b"2")
    assert docs.update("a", lambda _: b"1").version == stored.version


@pytest.mark.parametrize(
    "content", [b"", b"no json", b"[]", b"{}", b'{"documents": 5, "next": null}', b'{"documents": [{}], "next": null}']
)
def test_an_invalid_listing_raises_engine_error(faulty: FaultyServer, content: bytes) -> None:
    faulty.script = [answer(200, content, content_type="application/json")]
    with Client(faulty.url) as docs, pytest.raises(EngineError, match="not a collection"):
        docs.list()


def test_a_listing_that_does_not_advance_is_an_error(faulty: FaultyServer) -> None:
    page = b'{"documents": [], "next": "/docs/?after=a"}'
    faulty.script = [answer(200, page, content_type="application/json")] * 3
    with Client(faulty.url, tries=1) as docs, pytest.raises(EngineError, match="does not advance"):
        list(docs)
    assert len(faulty.asked) == 2


def test_a_listing_that_does_not_end_is_an_error(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docstore.client.listing.LISTING_SIZE_LIMIT", 1000)
    faulty.script = [answer(200, b" " * 100_000, size=10**12, content_type="application/json")] * 3
    with Client(faulty.url, tries=3) as docs, pytest.raises(EngineError, match="more than 1,000 bytes"):
        docs.list()
    assert len(faulty.asked) == 1


def test_an_answer_that_is_no_listing_is_not_read(faulty: FaultyServer) -> None:
    faulty.script = [answer(200, b"<html>", size=10**12, content_type="text/html")]
    with Client(faulty.url, tries=1) as docs, pytest.raises(EngineError, match="not a collection"):
        docs.list()


def test_the_url_of_a_folder_is_no_collection(server: RunningServer, docs: Client) -> None:
    docs["folder/a"] = b"1"
    with Client(f"{server.url}/docs/folder/") as folder:
        for operation in (folder.list, lambda: list(folder), lambda: len(folder), folder.clear):
            with pytest.raises(NotFound, match="is the folder 'folder/' of a collection"):
                operation()
        assert folder["a"] == b"1"
