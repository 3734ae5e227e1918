"""Which requests the fast path answers. That its responses are those of `handle` is compared in tests/both_ways.py."""

import asyncio
from pathlib import Path

import pytest

from docstore.engines.contract import Metered, Recalling
from docstore.engines.registry import EngineURL, open_engine
from docstore.http.message import Headers, Request
from docstore.server.app import Store
from docstore.server.mounts import Mount
from docstore.server.security.audit import AuditLog
from docstore.server.security.proxies import TrustedProxies
from docstore.server.security.tokens import Tokens
from docstore.testing.clock import SetClock
from docstore.units import parse_rate
from tests.both_ways import answer_fast, assert_same
from tests.in_process import InProcess, on_a_store
from tests.linked_store import LinkedStore, linked

LOOPBACK = frozenset({"localhost"})
HOST = (b"host", b"localhost")


def read(path: str, *fields: tuple[bytes, bytes], method: str = "GET", query: str = "") -> Request:
    return Request(method, path, query, Headers([HOST, *fields]))


def answers(inside: InProcess, request: Request) -> int | None:
    response = answer_fast(inside.store, request)
    return None if response is None else response.status


async def recall(inside: InProcess, request: Request) -> int | None:
    """As `answers`, and compare with `handle`. sqlite may forget a document at any time, which is then read again."""
    for _ in range(100):
        fast = answer_fast(inside.store, request)
        full = await inside.store.handle(request)
        if fast is not None:
            assert_same(fast, full)
            return fast.status
    return None


@on_a_store("memory", "docs", hosts=LOOPBACK)
async def test_plain_reads_and_conditional_ones_are_answered(store: InProcess) -> None:
    for mount in ("memory", "docs"):
        for key in ("key", "a/b.txt", "%C3%A4"):
            path = f"/{mount}/{key}"
            etag = (await store.prepare("PUT", path, b"content", {"host": "localhost"}))["etag"].encode("ascii")
            same, other = (b"if-none-match", etag), (b"if-none-match", b'"other"')
            weak, date = (b"if-none-match", b"W/" + etag), (b"if-modified-since", b"Thu, 01 Jan 1970 00:00:00 GMT")
            assert await recall(store, read(path)) == 200
            assert await recall(store, read(path, (b"accept", b"text/html"), (b"cookie", b"a=b"))) == 200
            assert await recall(store, read(path, same)) == await recall(store, read(path, weak)) == 304
            assert await recall(store, read(path, same, date)) == 304
            assert await recall(store, read(path, other)) == await recall(store, read(path, other, date)) == 200


@pytest.mark.parametrize(
    "declined",
    [
        read("/docs/key", method="HEAD"),
        read("/docs/key", method="PUT"),
        read("/docs/key", query="format=json"),
        read("/docs/key", (b"range", b"bytes=0-1")),
        read("/docs/key", (b"if-match", b"*")),
        read("/docs/key", (b"if-none-match", b"*")),
        read("/docs/key", (b"if-none-match", b'""')),
        read("/docs/key", (b"if-none-match", b'"a", "b"')),
        read("/docs/key", (b"if-none-match", b'"a"'), (b"if-none-match", b'"b"')),
        read("/docs/key", (b"if-modified-since", b"Thu, 01 Jan 1970 00:00:00 GMT")),
        read("/docs/key", (b"want-repr-digest", b"sha-256=1")),
        read("/docs/absent"),
        read("/docs/"),
        read("/docs/folder/"),
        read("/docs/%00"),
        read("/docs/%zz"),
        read("/docs"),
        read("/"),
        read("*"),
        read("/-/health"),
        read("/other/key"),
        read("/docs/" + "a" * 300),
        Request("GET", "/docs/key", "", Headers([(b"host", b"elsewhere.example")])),
    ],
    ids=lambda request: f"{request.method} {request.path[:20]} {request.query} {request.headers.pairs()[-1]}",
)
def test_all_other_requests_are_left_to_handle(declined: Request, tmp_path: Path) -> None:
    @on_a_store("docs", hosts=LOOPBACK)
    async def run(store: InProcess) -> None:
        await store.prepare("PUT", "/docs/key", b"content", {"host": "localhost"})
        assert await recall(store, read("/docs/key")) == 200
        assert answers(store, declined) is None

    run(tmp_path)


def test_stores_that_check_more_and_mounts_with_cors_have_no_fast_path(tmp_path: Path) -> None:
    clock = SetClock()
    mounts = [Mount("docs", open_engine(EngineURL.parse("memory:"), clock))]
    for options in (
        {"anonymous": "read"},
        {"tokens": Tokens(tmp_path), "address_rate": parse_rate("1/s")},
        {"address_rate": parse_rate("1/s")},
        {"proxies": TrustedProxies({"127.0.0.1"})},
        {"relative_links": True},
    ):
        assert Store(mounts, clock=clock, **options).fast_path is None, options
    app = Mount("app", open_engine(EngineURL.parse("memory:"), clock), content="app", app_host="apps.example")
    assert Store([*mounts, app], clock=clock).fast_path is None
    audit = AuditLog(tmp_path / "audit", clock)
    assert Store(mounts, clock=clock, audit=audit).fast_path is None
    audit.close()


@linked()
async def test_clients_with_a_token_or_a_link_that_may_read_are_answered(linked_store: LinkedStore) -> None:
    store, tokens = linked_store, linked_store.tokens
    reader = tokens.create(rights=["read"], mount="docs", prefix="in/").text
    limited = tokens.create(rights=["read"], mount="docs", rate="9/s").text
    for key in ("in/a", "out"):
        await store.put(f"/docs/{key}")
        assert await store.content(f"/docs/{key}") == b"1"
    link, once = await store.sign("/docs/in/a"), await store.sign("/docs/in/a", once=True)
    writing, folder = await store.sign("/docs/in/a", methods=["PUT"]), await store.sign("/docs/in/")
    admin = (b"authorization", store.headers["authorization"].encode())
    read_only, counted = ((b"authorization", f"Bearer {text}".encode()) for text in (reader, limited))
    for path, fields, query, status in (
        ("/docs/in/a", [admin], "", 200),
        ("/docs/out", [admin], "", 200),
        ("/docs/in/a", [read_only], "", 200),
        ("/docs/out", [read_only], "", None),
        ("/docs/in/a", [counted], "", None),
        ("/docs/in/a", [(b"authorization", b"Bearer wrong")], "", None),
        ("/docs/in/a", [(b"cookie", b"a=b")], "", None),
        ("/docs/in/a", [], "", None),
        ("/docs/in/a", [admin], "x=1", None),
        ("/docs/in/a", [], f"link={link}", 200),
        ("/docs/in/a", [(b"authorization", b"Bearer wrong")], f"link={link}", 200),
        ("/docs/in/%61", [], f"link={link}&x=1", 200),
        ("/docs/in/a", [], f"link={folder}", 200),
        ("/docs/out", [], f"link={folder}", None),
        ("/docs/out", [admin], f"link={link}", None),
        ("/docs/in/a", [admin], f"link={once}", None),
        ("/docs/in/a", [admin], f"link={writing}", None),
        ("/docs/in/a", [admin], f"link={link}&link={link}", None),
        ("/docs/in/a", [admin], f"link={link}A", None),
    ):
        request = read(path, *fields, query=query)
        if status is None:
            assert answers(store.store, request) is None, (path, fields, query)
        else:
            assert await recall(store.store, request) == status, (path, fields, query)
    store.store.clock.set_ns(store.store.clock() + 3600 * 10**9)
    assert answers(store.store, read("/docs/in/a", query=f"link={link}")) is None


@on_a_store("memory", cors=("https://app.example",))
async def test_mounts_with_cors_are_left_to_handle(store: InProcess) -> None:
    await store.prepare("PUT", "/memory/key", b"content")
    assert answers(store, read("/memory/key")) is None


def test_web_apps_are_left_to_handle() -> None:
    async def run() -> None:
        engine = open_engine(EngineURL.parse("memory:"))
        store = Store([Mount("docs", engine, content="app")])
        assert (await store.handle(Request("PUT", "/docs/key", "", Headers([HOST])))).status == 201
        assert answer_fast(store, read("/docs/key")) is None
        await store.close()

    asyncio.run(run())


@on_a_store("docs")
async def test_expired_and_replaced_documents_are_not_recalled(store: InProcess) -> None:
    await store.prepare("PUT", "/docs/key", b"old", {"TTL": "60"})
    assert await recall(store, read("/docs/key")) == 200
    store.clock.set_ns(store.clock() + 60 * 10**9)
    assert answers(store, read("/docs/key")) is None
    await store.prepare("PUT", "/docs/key", b"new")
    assert (await store.send("GET", "/docs/key")).content == b"new"
    assert await recall(store, read("/docs/key")) == 200
    await store.prepare("DELETE", "/docs/key")
    assert answers(store, read("/docs/key")) is None


@pytest.mark.parametrize("url", ["memory:?max_bytes=1MiB&evict=lru", "sqlite:{}/docs.db?max_bytes=1MiB&evict=lru"])
def test_a_recalled_document_counts_as_one_hit(url: str, tmp_path: Path) -> None:
    async def run() -> None:
        clock = SetClock()
        engine = open_engine(EngineURL.parse(url.format(tmp_path)), clock)
        store = Store([Mount("docs", engine)], clock=clock)
        assert (await store.handle(Request("PUT", "/docs/key", "", Headers([HOST])))).status == 201
        assert (await store.handle(read("/docs/key"))).status == 200
        assert isinstance(engine, Metered)
        assert isinstance(engine, Recalling)
        for fields in ((), ((b"if-none-match", b'"other"'),)):
            before = (await engine.usage()).hits
            request = read("/docs/key", *fields)
            assert (answer_fast(store, request) or await store.handle(request)).status == 200
            assert (await engine.usage()).hits == before + 1
        await store.close()

    asyncio.run(run())
