"""Clocks that jump back and forward: versions contain no time, dates are never wrong, and the clock decides expiry.

Dates can't distinguish two writes within a second, or a write after the clock was set back. A client that also sends
the ETag never gets 304 for a changed document: If-None-Match takes precedence over dates (§13.2.2).
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from docstore.engines.contract import Sweeping
from docstore.engines.registry import EngineURL, open_engine
from docstore.http.dates import format_http_date
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import list_keys, put_data, read_data, version_of_data
from tests.engine_urls import ENGINES, url_in
from tests.in_process import InProcess, on_a_store

SECOND_NS = 10**9
YEAR_S = 365 * 86_400
JUMPS_S = {"back by a year": -YEAR_S, "back by a second": -1, "not at all": 0, "forward by a year": YEAR_S}

each_mount = pytest.mark.parametrize("mount", ENGINES)
each_jump = pytest.mark.parametrize("jump_s", JUMPS_S.values(), ids=JUMPS_S)


@each_mount
@each_jump
@on_a_store()
async def test_versions_and_compare_and_swap_do_not_depend_on_time(store: InProcess, mount: str, jump_s: int) -> None:
    path = f"/{mount}/key"
    old = (await store.send("PUT", path, b"old"))["etag"]
    store.clock.advance_s(jump_s)
    assert (await store.send("GET", path))["etag"] == old
    assert (await store.send("PUT", path, b"again", {"if-none-match": "*"})).status == 412
    new = await store.send("PUT", path, b"new", {"if-match": old})
    assert (new.status, new["etag"] != old) == (200, True)
    assert (await store.send("PUT", path, b"late", {"if-match": old})).status == 412
    assert (await store.send("PUT", path, b"old", {"if-match": new["etag"]}))["etag"] == old
    store.clock.advance_s(-jump_s)
    assert (await store.send("DELETE", path, headers={"if-match": new["etag"]})).status == 412
    assert (await store.send("DELETE", path, headers={"if-match": old})).status == 200


@each_mount
@each_jump
@on_a_store()
async def test_last_modified_is_never_later_than_the_response(store: InProcess, mount: str, jump_s: int) -> None:
    """RFC 9110 §8.8.2.1: the Last-Modified of a document from the future is now."""
    path = f"/{mount}/key"
    written_s = store.clock() // SECOND_NS
    await store.prepare("PUT", path, b"data")
    store.clock.advance_s(jump_s)
    for method in ("GET", "HEAD"):
        answer = await store.send(method, path)
        assert answer["last-modified"] == format_http_date(min(written_s, written_s + jump_s))
    for format in ("json", "ndjson", "html"):
        listed = (await store.send("GET", f"/{mount}/?format={format}")).content.decode()
        time = datetime.fromtimestamp(min(written_s, written_s + jump_s), UTC)
        moment = time.strftime("%d-%b-%Y %H:%M") if format == "html" else time.isoformat()[:19]
        assert moment in listed, f"a listing and a response have the same time, {moment}"


@each_mount
@each_jump
@on_a_store()
async def test_a_condition_with_a_date_never_hides_a_change_in_a_later_second(
    store: InProcess, mount: str, jump_s: int
) -> None:
    """The client has the date of a response before the change, whatever clock the document was written with."""
    path = f"/{mount}/key"
    await store.prepare("PUT", path, b"old")
    store.clock.advance_s(jump_s)
    date = (await store.send("GET", path))["last-modified"]
    store.clock.advance_s(1)
    await store.prepare("PUT", path, b"new")
    for later_s in (0, 1, YEAR_S):
        store.clock.advance_s(later_s)
        changed = await store.send("GET", path, headers={"if-modified-since": date})
        assert (changed.status, changed.content) == (200, b"new")
        assert (await store.send("PUT", path, b"x", {"if-unmodified-since": date})).status == 412


@each_mount
@pytest.mark.parametrize("jump_s", [0, 0.5, -1, -YEAR_S], ids=["at once", "within the second", "back", "far back"])
@on_a_store()
async def test_an_etag_distinguishes_versions_that_a_date_cannot(store: InProcess, mount: str, jump_s: float) -> None:
    path = f"/{mount}/key"
    await store.prepare("PUT", path, b"old")
    known = await store.send("GET", path)
    store.clock.advance_s(jump_s)
    await store.prepare("PUT", path, b"new")
    dates = {"if-modified-since": known["last-modified"]}
    assert (await store.send("GET", path, headers=dates)).status == 304, "a date is a weak validator (§8.8.2.2)"
    changed = await store.send("GET", path, headers=dates | {"if-none-match": known["etag"]})
    assert (changed.status, changed.content) == (200, b"new")
    refused = {"if-unmodified-since": known["last-modified"], "if-match": known["etag"]}
    assert (await store.send("PUT", path, b"lost", refused)).status == 412
    part = {"range": "bytes=1-", "if-range": known["etag"]}
    assert (await store.send("GET", path, headers=part)).content == b"new"


@each_mount
@on_a_store()
async def test_if_range_with_a_date_within_the_same_second_sends_the_whole_document(
    store: InProcess, mount: str
) -> None:
    path = f"/{mount}/key"
    await store.prepare("PUT", path, b"old")
    part = {"range": "bytes=1-", "if-range": (await store.send("GET", path))["last-modified"]}
    store.clock.advance_s(0.5)
    await store.prepare("PUT", path, b"new")
    assert (await store.send("GET", path, headers=part)).status == 200


@each_mount
@on_a_store()
async def test_an_expired_document_exists_again_if_the_clock_goes_back_before_a_sweep(
    store: InProcess, mount: str
) -> None:
    path, engine = f"/{mount}/key", store.engines[mount]
    await store.prepare("PUT", path, b"data", {"ttl": "60"})
    store.clock.advance_s(60)
    assert (await store.send("GET", path)).status == 404
    store.clock.advance_s(-1)
    assert (await store.send("GET", path)).content == b"data"
    store.clock.advance_s(YEAR_S)
    assert isinstance(engine, Sweeping)
    assert await engine.sweep() == 1
    store.clock.advance_s(-YEAR_S)
    assert (await store.send("GET", path)).status == 404


@each_mount
def test_a_sweep_with_a_clock_a_year_ahead_deletes_only_documents_that_expire(tmp_path: Path, mount: str) -> None:
    async def run() -> None:
        clock = SetClock()
        engine = open_engine(EngineURL.parse(url_in(tmp_path, mount)), clock)
        try:
            await put_data(engine, "in an hour", b"1", expires_ns=clock() + 3600 * SECOND_NS)
            await put_data(engine, "in two years", b"2", expires_ns=clock() + 2 * YEAR_S * SECOND_NS)
            await put_data(engine, "never", b"3")
            clock.advance_s(YEAR_S)
            assert isinstance(engine, Sweeping)
            assert await engine.sweep() == 1
            clock.advance_s(-YEAR_S)
            assert await list_keys(engine) == ["in two years", "never"]
        finally:
            await engine.close()

    asyncio.run(run())


@each_mount
def test_writes_of_the_same_or_an_earlier_time_have_different_versions(tmp_path: Path, mount: str) -> None:
    """No engine identifies a version by its time: two versions of the same time and size differ."""

    async def run() -> None:
        clock = SetClock()
        engine = open_engine(EngineURL.parse(url_in(tmp_path, mount)), clock)
        try:
            for number, jump_s in enumerate((0, 0, -1, 0, 1, -YEAR_S, YEAR_S, 0)):
                clock.advance_s(jump_s)
                data = b"%d" % number * 100_000
                written = await put_data(engine, "key", data)
                assert written.meta.version == version_of_data(data)
                assert written.meta.modified_ns == clock()
                assert await engine.head("key") == written.meta
                assert await read_data(engine, "key") == data
        finally:
            await engine.close()

    asyncio.run(run())
