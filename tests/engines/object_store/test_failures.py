"""Lost answers, races of deletes and creates, a store that fails: never a wrong success, never a lost document."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from docstore.content import read_all
from docstore.engines.contract import Engine
from docstore.engines.object_store import bucket, collector, engine, opening
from docstore.engines.object_store.engine import ObjectStoreEngine
from docstore.engines.object_store.opening import open_bucket
from docstore.engines.registry import EngineURL, open_engine
from docstore.errors import Conflict, EngineError, NoSpace, OutcomeUnknown, StorageUnavailable
from docstore.model import ABSENT
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import make_data, put_data, read_data, version_of_data
from tests.engines.object_store.faulty_proxy import Proxy, Sent

LARGE = 3_000_000


@asynccontextmanager
async def opened(proxy: Proxy, clock: SetClock | None = None) -> AsyncIterator[Engine]:
    store = open_engine(proxy.url, clock or SetClock())
    proxy.sent.clear()
    try:
        yield store
    finally:
        await store.close()


def first(method: str, folder: str, change: Callable[[Sent], object]) -> Callable[[Sent], None]:
    """Return a rule that changes the first request of this kind."""
    changed = threading.Event()

    def rule(sent: Sent) -> None:
        if sent.method == method and (f"/{folder}/" in sent.path or not folder) and not changed.is_set():
            changed.set()
            change(sent)

    return rule


def lose_answer(sent: Sent) -> None:
    sent.lose_answer = True


def lose_request(sent: Sent) -> None:
    sent.lose_request = True


@pytest.mark.parametrize("lose", [lose_answer, lose_request])
def test_a_write_whose_answer_is_lost_is_applied_once(proxy: Proxy, lose: Callable[[Sent], None]) -> None:
    async def run() -> None:
        async with opened(proxy) as store:
            proxy.rule = first("PUT", "d", lose)
            assert (await put_data(store, "key", b"one", expect=ABSENT)).created
            proxy.rule = first("PUT", "d", lose)
            assert not (await put_data(store, "key", b"two", expect=version_of_data(b"one"))).created
            proxy.rule = first("PUT", "d", lose)
            assert await store.delete("key", expect=version_of_data(b"two")) is not None
            assert await store.get("key") is None
            proxy.rule = first("PUT", "d", lose)
            assert (await put_data(store, "key", b"three")).created

    asyncio.run(run())


@pytest.mark.parametrize("others", [1, 3, 20])
@pytest.mark.parametrize("lose", [lose_answer, lose_request])
def test_a_lost_write_is_not_applied_after_those_of_others(
    proxy: Proxy, lose: Callable[[Sent], None], others: int
) -> None:
    """A second application would undo a later write. After many writes it can't be known whether it was applied."""

    def write_more() -> None:
        async def write() -> None:
            other = open_engine(proxy.url, SetClock())
            for number in range(others):
                await put_data(other, "key", b"other %d" % number)
            await other.close()

        asyncio.run(write())

    def change(sent: Sent) -> None:
        lose(sent)
        if lose is lose_request:
            write_more()
        else:
            sent.after = write_more

    async def run() -> None:
        async with opened(proxy) as store:
            await put_data(store, "key", b"zero")
            proxy.rule = first("PUT", "d", change)
            if others > 8:
                with pytest.raises(OutcomeUnknown, match="may have been applied"):
                    await put_data(store, "key", b"mine", expect=version_of_data(b"zero"))
            elif lose is lose_answer:
                await put_data(store, "key", b"mine", expect=version_of_data(b"zero"))
            else:
                with pytest.raises(Conflict):
                    await put_data(store, "key", b"mine", expect=version_of_data(b"zero"))
            assert await read_data(store, "key") == b"other %d" % (others - 1)

    asyncio.run(run())


def test_a_write_that_never_gets_an_answer_is_of_unknown_outcome(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "RETRY_S", 0.5)

    def rule(sent: Sent) -> None:
        sent.lose_answer = "/d/" in sent.path

    async def run() -> None:
        async with opened(proxy) as store:
            proxy.rule = rule
            with pytest.raises(OutcomeUnknown):
                await put_data(store, "key", b"data")
            proxy.rule = lambda sent: None
            assert await read_data(store, "key") == b"data"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (500, "InternalError", StorageUnavailable),
        (503, "SlowDown", StorageUnavailable),
        (403, "AccessDenied", StorageUnavailable),
        (404, "NoSuchBucket", StorageUnavailable),
        (403, "QuotaExceeded", NoSpace),
    ],
)
def test_no_failure_of_the_store_looks_like_an_absent_document(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, status: int, code: str, error: type[Exception]
) -> None:
    monkeypatch.setattr(bucket, "RETRY_S", 0.2)

    def rule(sent: Sent) -> None:
        sent.refuse = status, code

    async def run() -> None:
        async with opened(proxy) as store:
            await put_data(store, "key", b"data")
            await put_data(store, "large", make_data(LARGE))
            document = await store.get("large")
            assert document is not None
            proxy.rule = rule
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: store.get("key"),
                lambda: store.head("key"),
                lambda: store.list(),
                lambda: store.delete("key"),
                lambda: put_data(store, "key", b"new"),
                lambda: put_data(store, "other", make_data(LARGE)),
                lambda: read_all(document.content),
            ]
            for call in calls:
                with pytest.raises(error) as failed:
                    await call()
                assert "\n" not in str(failed.value)
            proxy.rule = lambda sent: None
            assert await read_data(store, "key") == b"data"
            assert (await put_data(store, "other", make_data(LARGE))).created

    asyncio.run(run())


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (404, "NoSuchBucket"), (403, "QuotaExceeded")])
def test_what_would_be_refused_again_is_not_tried_again(proxy: Proxy, status: int, code: str) -> None:
    """Also a listing, of which the driver reports every failure in the same way."""

    def rule(sent: Sent) -> None:
        sent.refuse = status, code

    async def run() -> None:
        async with opened(proxy) as store:
            proxy.rule = rule
            for call in (store.list(), store.head("key"), put_data(store, "key", b"data")):
                with pytest.raises(EngineError):
                    await call
            assert len(proxy.sent) == 3

    asyncio.run(run())


def test_a_document_of_a_newer_format_is_unavailable_and_stays(proxy: Proxy) -> None:
    """A newer Docstore may be started beside this one."""

    async def run() -> None:
        async with opened(proxy) as store:
            await put_data(store, "key", b"data")
            _, direct = open_bucket(proxy.url)
            newer = b"docstore 2 in another way\n" + bytes(300)
            direct.put("d/key!", newer)
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: store.get("key"),
                lambda: store.list(),
                lambda: put_data(store, "key", b"new"),
                lambda: store.delete("key"),
            ]
            for call in calls:
                with pytest.raises(StorageUnavailable, match="newer") as refused:
                    await call()
                assert not isinstance(refused.value, OutcomeUnknown)
            assert bytes(direct.get("d/key!").bytes()) == newer

    asyncio.run(run())


def test_a_network_that_hangs_is_unavailable_and_a_write_in_it_unknown(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "RETRY_S", 0.2)
    moving = threading.Event()
    name, prefix = proxy.url.location[2:].split("/")
    impatient = opening._store(proxy.url, name, prefix, proxy.url.options["endpoint"], 0.3, 0)

    async def run() -> None:
        async with opened(proxy) as store:
            await put_data(store, "key", b"before")
            assert isinstance(store, ObjectStoreEngine)
            stores, store._bucket._stores = store._bucket._stores, [impatient]
            proxy.rule = lambda sent: moving.wait(60)
            for call in (store.get, store.head, lambda key: store.list(after=key)):
                with pytest.raises(StorageUnavailable, match="no answer in time"):
                    await call("key")
            with pytest.raises(OutcomeUnknown):
                await put_data(store, "key", b"unknown")
            moving.set()
            store._bucket._stores = stores
            assert await read_data(store, "key") in (b"before", b"unknown")
            await put_data(store, "key", b"after")

    try:
        asyncio.run(run())
    finally:
        moving.set()


def test_the_next_endpoint_is_used_when_one_does_not_answer(proxy: Proxy) -> None:
    working = proxy.url.options["endpoint"]

    async def run(endpoint: str) -> None:
        store = open_engine(EngineURL("s3", proxy.url.location, {"endpoint": endpoint}), SetClock())
        for size in (LARGE, 10):
            await put_data(store, f"{size}", make_data(size))
            assert await read_data(store, f"{size}") == make_data(size)
        assert [meta.key for meta in await store.list()] == ["10", str(LARGE)]
        await store.close()

    for endpoint in (f"http://127.0.0.1:9,{working}", f"{working},http://127.0.0.1:9"):
        asyncio.run(run(endpoint))


class Seal:
    """Holds the DELETE of a tombstone back until it is released."""

    def __init__(self) -> None:
        self.arrived, self.release = threading.Event(), threading.Event()

    def rule(self, sent: Sent) -> None:
        if sent.method == "DELETE" and "/d/" in sent.path:
            self.arrived.set()
            assert self.release.wait(30)


def test_a_create_waits_for_the_removal_of_a_tombstone(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DELETE that is on its way when the key is created again would remove the new document."""
    monkeypatch.setattr(collector, "GRACE_S", 0)
    monkeypatch.setattr(engine, "SEAL_WAIT_S", 0.3)
    seal = Seal()

    async def run() -> None:
        async with opened(proxy) as collecting, opened(proxy) as store:
            await put_data(collecting, "key", b"old")
            await collecting.delete("key")
            assert await store.get("key") is None
            proxy.rule = seal.rule
            assert isinstance(collecting, ObjectStoreEngine)
            sweeping = asyncio.create_task(collecting.sweep())
            await asyncio.to_thread(seal.arrived.wait, 30)
            assert await store.get("key") is None
            assert await store.list() == []
            with pytest.raises(StorageUnavailable, match="removal"):
                await put_data(store, "key", b"new")
            monkeypatch.setattr(engine, "SEAL_WAIT_S", 30)
            creating = asyncio.create_task(put_data(store, "key", b"new", expect=ABSENT))
            await asyncio.sleep(0.1)
            seal.release.set()
            assert (await creating).created
            assert await sweeping == 0
            assert await read_data(store, "key") == b"new"

    asyncio.run(run())


def test_the_seal_of_a_killed_collector_is_taken_over_at_last(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "GRACE_S", 0)
    monkeypatch.setattr(engine, "SEAL_WAIT_S", 0.2)

    async def run() -> None:
        async with opened(proxy) as store:
            await put_data(store, "key", b"old")
            await store.delete("key")
            proxy.rule = first("DELETE", "d", lose_request)
            assert isinstance(store, ObjectStoreEngine)
            await store.sweep()
            with pytest.raises(StorageUnavailable):
                await put_data(store, "key", b"new")
            monkeypatch.setattr(collector, "SEAL_TIMEOUT_S", 0)
            assert (await put_data(store, "key", b"new")).created
            assert await read_data(store, "key") == b"new"

    asyncio.run(run())


def test_a_create_before_the_collector_keeps_its_document(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "GRACE_S", 0)

    async def run() -> None:
        async with opened(proxy) as collecting, opened(proxy) as store:
            await put_data(collecting, "key", b"old")
            await collecting.delete("key")
            await put_data(store, "key", b"new")
            assert isinstance(collecting, ObjectStoreEngine)
            await collecting.sweep()
            assert await read_data(store, "key") == b"new"

    asyncio.run(run())


def test_a_download_continues_when_connections_break(proxy: Proxy) -> None:
    async def run() -> None:
        async with opened(proxy) as store:
            await put_data(store, "key", make_data(LARGE))
            document = await store.get("key")
            assert document is not None

            def rule(sent: Sent) -> None:
                sent.cut_after = 1_000_000

            proxy.rule = rule
            proxy.sent.clear()
            assert await read_all(document.content) == make_data(LARGE)
            assert len(proxy.sent) >= 3
            proxy.sent.clear()
            assert await read_all(document.content.slice(7, 2_000_000)) == make_data(LARGE)[7:2_000_000]
            assert proxy.sent[0].headers["range"] == "bytes=7-1999999"

    asyncio.run(run())


def test_a_server_whose_clock_is_ahead_removes_nothing_early(proxy: Proxy) -> None:
    async def run() -> None:
        now_ns = time.time_ns()
        async with opened(proxy, SetClock(now_ns)) as store, opened(proxy, SetClock(now_ns + 3600 * 10**9)) as ahead:
            await put_data(store, "past", b"", expires_ns=now_ns - 10 * 10**9)
            await put_data(store, "soon", b"data", expires_ns=now_ns + 600 * 10**9)
            assert isinstance(ahead, ObjectStoreEngine)
            assert await ahead.sweep() == 1
            assert await read_data(store, "soon") == b"data"

    asyncio.run(run())
