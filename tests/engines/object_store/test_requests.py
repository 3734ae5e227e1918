"""What a call costs: its requests, the bytes of a range, and what it leaves in the bucket."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from docstore.content import read_all
from docstore.engines.contract import Engine, PutRequest
from docstore.engines.object_store import bucket, collector, verify
from docstore.engines.object_store.bucket import Bucket
from docstore.engines.object_store.engine import ObjectStoreEngine
from docstore.engines.object_store.opening import open_bucket
from docstore.engines.shared.verify import Finding, check_store
from docstore.errors import IncompleteUpload
from docstore.model import ABSENT
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import PLAIN, ChunkedUpload, make_data, put_data
from tests.engines.object_store.faulty_proxy import Proxy
from tests.engines.object_store.test_failures import first, lose_request, opened

LARGE = 3_000_000


def objects(proxy: Proxy) -> list[str]:
    """Return the folders of all objects of the store."""
    _, store = open_bucket(proxy.url)
    found = [entry["path"].partition("/")[0] for page in store.list() for entry in page]
    proxy.sent.clear()
    return sorted(folder for folder in found if folder != "clock")


def test_a_small_document_takes_one_request(proxy: Proxy) -> None:
    async def run() -> None:
        async with opened(proxy) as store, opened(proxy) as other:
            await put_data(store, "key", b"data")
            assert proxy.requests() == ["PUT d"]
            await put_data(store, "key", b"again")
            assert proxy.requests() == ["PUT d"]
            await store.get("key")
            await store.head("key")
            assert proxy.requests() == ["GET d", "GET d"]
            await store.delete("key")
            await put_data(store, "key", b"new", expect=ABSENT)
            assert proxy.requests() == ["PUT d", "PUT d"]
            await put_data(other, "key", b"by another process")
            assert proxy.requests() == ["PUT d", "GET d", "PUT d"]

    asyncio.run(run())


def test_a_page_reads_only_documents_that_it_does_not_know(proxy: Proxy) -> None:
    async def run() -> None:
        async with opened(proxy) as store, opened(proxy) as other:
            for number in range(5):
                await put_data(store, f"{number}", b"data")
            await store.delete("0")
            proxy.requests()
            assert len(await store.list()) == 4
            assert proxy.requests() == ["GET "]
            for _ in range(2):
                assert len(await other.list()) == 4
            assert proxy.requests() == ["GET ", *["GET d"] * 4, "GET "]
            await put_data(other, "3", b"new")
            proxy.requests()
            assert [meta.version for meta in await store.list()] == [meta.version for meta in await other.list()]
            assert sorted(proxy.requests()) == ["GET ", "GET ", "GET d"]

    asyncio.run(run())


@pytest.mark.parametrize("size", [2, 3, 5, 1000])
def test_a_listing_of_several_pages_of_the_store_is_complete(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Also if a request of the second page is lost, and the next attempt must continue after the first."""
    monkeypatch.setattr(bucket, "LISTED_AT_ONCE", size)

    async def run() -> None:
        async with opened(proxy) as store:
            keys = [f"{number:02}" for number in range(9)]
            for key in keys:
                await put_data(store, key, b"data")
            for after in ("", "03", "08"):
                proxy.rule = first("GET", "", lose_request)
                expected = [key for key in keys if key > after]
                assert [meta.key for meta in await store.list(after=after)] == expected
                assert [meta.key for meta in await store.list(after=after, limit=4)] == expected[:4]

    asyncio.run(run())


def test_a_range_reads_only_its_bytes(proxy: Proxy) -> None:
    async def run() -> None:
        async with opened(proxy) as store:
            await put_data(store, "key", make_data(LARGE))
            proxy.sent.clear()
            document = await store.get("key")
            assert document is not None
            assert await read_all(document.content.slice(1_000_000, 1_000_100)) == make_data(LARGE)[1_000_000:1_000_100]
            assert [sent.headers.get("range") for sent in proxy.sent] == [None, "bytes=1000000-1000099"]

    asyncio.run(run())


def test_an_upload_that_fails_leaves_nothing(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that has sent no complete part, and one with parts in flight."""
    monkeypatch.setattr(bucket, "PART_SIZE", 1_000_000)  # S3 demands more of an upload that is completed only.

    async def run() -> None:
        async with opened(proxy) as store:
            for sizes in ([100], [500_000], [1_500_000] * 3):
                pieces = [make_data(size) for size in sizes]
                with pytest.raises(IncompleteUpload):
                    await store.put(PutRequest("key", ChunkedUpload(pieces, IncompleteUpload("gone")), PLAIN))
            begun = sum(sent.method == "POST" and "uploads" in sent.path for sent in proxy.sent)
            ended = {sent.path for sent in proxy.sent if sent.method == "DELETE" and "uploadId" in sent.path}
            assert begun == len(ended) > 0

    asyncio.run(run())
    assert objects(proxy) == []


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collect without waiting for readers and lost answers."""
    monkeypatch.setattr(collector, "GRACE_S", 0)
    real = Bucket.now

    async def later(self: Any) -> datetime:
        return await real(self) + timedelta(seconds=2)

    monkeypatch.setattr(Bucket, "now", later)


async def sweep(engine: Engine) -> int:
    assert isinstance(engine, ObjectStoreEngine)
    return await engine.sweep()


@pytest.mark.usefixtures("at_once")
def test_what_is_deleted_replaced_or_expired_is_collected(proxy: Proxy) -> None:
    async def run() -> None:
        clock = SetClock()
        async with opened(proxy, clock) as store:
            await put_data(store, "kept", make_data(LARGE))
            await put_data(store, "replaced", make_data(LARGE), expires_ns=clock() + 5)
            await put_data(store, "replaced", b"small")
            for key in ("deleted", "expired"):
                await put_data(store, key, make_data(LARGE), expires_ns=clock() + 5 if key == "expired" else None)
            await store.delete("deleted")
            assert (await sweep(store), await sweep(store)) == (0, 0)
            assert objects(proxy) == ["b", "b", "d", "d", "d", "x"]
            clock.advance_s(1)
            assert (await sweep(store), await sweep(store)) == (1, 0)
            assert objects(proxy) == ["b", "d", "d"]

    asyncio.run(run())


@pytest.mark.usefixtures("at_once")
def test_what_killed_processes_left_is_collected_by_the_next(proxy: Proxy) -> None:
    async def leave() -> None:
        async with opened(proxy) as store:  # whose queue is lost with it
            await put_data(store, "kept", make_data(LARGE))
            await put_data(store, "replaced", make_data(LARGE))
            await put_data(store, "replaced", make_data(LARGE, "new"))
            await put_data(store, "deleted", make_data(LARGE))
            await store.delete("deleted")

    async def collect() -> None:
        async with opened(proxy) as store:
            await sweep(store)
            await sweep(store)

    asyncio.run(leave())
    assert objects(proxy) == ["b", "b", "b", "b", "d", "d", "d"]
    asyncio.run(collect())
    assert objects(proxy) == ["b", "b", "d", "d"]


@pytest.mark.parametrize("end", ["replaced", "deleted"])
def test_a_scan_keeps_old_content_that_was_replaced_or_deleted_just_now(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(collector, "GRACE_S", 1)

    async def run() -> None:
        async with opened(proxy) as store, opened(proxy) as other:
            await put_data(store, "key", make_data(LARGE))
            document = await store.get("key")
            assert document is not None
            await asyncio.sleep(2.1)  # The store's times are in seconds.
            await (put_data(store, "key", b"new") if end == "replaced" else store.delete("key"))
            _, direct = open_bucket(proxy.url)
            ended = direct.head("d/key!")["last_modified"]

            async def now(self: Any) -> datetime:
                return ended

            monkeypatch.setattr(Bucket, "now", now)
            assert isinstance(other, ObjectStoreEngine)
            assert await other.sweep() == await other.sweep() == 0
            assert await read_all(document.content) == make_data(LARGE)

    asyncio.run(run())


@pytest.mark.usefixtures("at_once")
def test_a_scan_that_fails_begins_again(proxy: Proxy) -> None:
    async def run() -> None:
        async with opened(proxy) as store, opened(proxy) as other:
            await put_data(other, "key", b"data")
            await other.delete("key")
            proxy.rule = first("GET", "d", lose_request)
            for _ in range(3):
                await sweep(store)

    asyncio.run(run())
    assert objects(proxy) == []


def test_check_reports_damage_and_removes_orphans(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    async def leave() -> None:
        async with opened(proxy) as store:
            for key in ("sound", "lost", "cut", "replaced", "damaged", "moved"):
                await put_data(store, key, make_data(LARGE if key in ("sound", "lost", "cut", "replaced") else 10, key))
            await put_data(store, "replaced", b"small")

    asyncio.run(leave())
    _, direct = open_bucket(proxy.url)
    blobs = {entry["path"].split("/")[1]: entry["path"] for page in direct.list("b") for entry in page}
    direct.delete(blobs["lost!"])
    direct.put(blobs["cut!"], b"short")
    direct.put("d/damaged!", b"x" * 300)
    direct.put("d/elsewhere!", bytes(direct.get("d/moved!").bytes()))
    found = list(check_store(proxy.url))
    assert [str(each).rpartition(": ")[2] for each in found if isinstance(each, Finding)] == [
        "its content has 5 bytes of 3000000",
        "d/damaged! is not an object of Docstore",
        "it is stored under the name of another key, d/elsewhere!",
        f"its content, {blobs['lost!']}, is missing",
    ]
    assert sorted(each.key for each in found if not isinstance(each, Finding)) == ["moved", "replaced", "sound"]
    monkeypatch.setattr(verify, "GRACE_S", -2)
    orphans = [each for each in check_store(proxy.url, repair=True) if isinstance(each, Finding) and each.orphan]
    assert [orphan.removed for orphan in orphans] == [True]
    assert [each for each in check_store(proxy.url) if isinstance(each, Finding) and each.orphan] == []
