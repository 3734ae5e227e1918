"""Which writes the fast path takes, and what it answers when they fail. tests/both_ways.py compares its successes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest, Submitting
from docstore.engines.registry import EngineURL, open_engine
from docstore.errors import Conflict, NoSpace, StorageUnavailable
from docstore.http.message import Headers, Request, Response
from docstore.model import ABSENT, Fields, WriteResult
from docstore.server.app import Store
from docstore.server.mounts import Mount
from docstore.server.security.read_only_switch import ReadOnlySwitch
from docstore.server.security.tokens import Tokens
from docstore.testing.clock import SetClock
from tests.both_ways import write_fast
from tests.in_process import Chunked, InProcess, on_a_store
from tests.linked_store import LinkedStore, linked

LOOPBACK = frozenset({"localhost"})
HOST = (b"host", b"localhost")


def put(path: str, *fields: tuple[bytes, bytes], method: str = "PUT", query: str = "", size: int = 9) -> Request:
    return Request(method, path, query, Headers([HOST, *fields]), BytesContent(b"x" * size))


@on_a_store("memory", "docs", "file", hosts=LOOPBACK)
async def test_small_plain_writes_are_taken_and_committed(store: InProcess) -> None:
    for mount in ("memory", "docs", "file"):
        for key, fields, media_type in (
            ("key", [], "text/plain; charset=utf-8"),
            ("%C3%A4.json", [(b"user-agent", b"a"), (b"meta-a", b"b")], "application/json"),
            ("typed", [(b"content-type", b"text/css"), (b"docstore-cache-control", b"no-store")], "text/css"),
        ):
            for status in (201, 200):
                response = await write_fast(store.store, put(f"/{mount}/{key}", *fields))
                assert response is not None
                assert response.status == status
            reply = await store.send("GET", f"/{mount}/{key}", headers={"host": "localhost"})
            assert (reply.content, reply["content-type"]) == (b"x" * 9, media_type)
            assert (b"etag", reply["etag"].encode()) in response.headers


@pytest.mark.parametrize(
    "declined",
    [
        put("/docs/key", method="POST"),
        put("/docs/key", method="GET"),
        put("/docs/key", query="a=b"),
        put("/docs/key", size=1001),
        put("/docs/key", (b"if-match", b"*")),
        put("/docs/key", (b"if-none-match", b"*")),
        put("/docs/key", (b"if-unmodified-since", b"Thu, 01 Jan 1970 00:00:00 GMT")),
        put("/docs/key", (b"ttl", b"9")),
        put("/docs/key", (b"expect", b"100-continue")),
        put("/docs/key", (b"content-range", b"bytes 0-8/9")),
        put("/docs/key", (b"content-digest", b"sha-256=:AAAA:")),
        put("/docs/key", (b"content-md5", b"AAAA")),
        put("/docs/key", (b"prefer", b"return=minimal")),
        put("/docs/key", (b"content-type", b"?")),
        put("/docs/key", (b"origin", b"http://elsewhere.example")),
        put("/docs/key", (b"sec-fetch-site", b"same-origin")),
        put("/docs/key", (b"referer", b"http://localhost/")),
        put("/docs/key", (b"destination", b"/docs/other")),
        put("/docs/key", (b"service-worker", b"script")),
        put("/docs/"),
        put("/docs/folder/"),
        put("/docs/%00"),
        put("/other/key"),
        put("/docs/" + "a" * 300),
        Request("PUT", "/docs/key", "", Headers([HOST]), Chunked([b"a"])),
        Request("PUT", "/docs/key", "", Headers([(b"host", b"elsewhere.example")]), BytesContent(b"a")),
    ],
    ids=lambda request: f"{request.method} {request.path[:20]} {request.query} {request.headers.pairs()[-1]}",
)
def test_all_other_writes_are_left_to_handle(declined: Request, tmp_path: Path) -> None:
    @on_a_store("docs", hosts=LOOPBACK, max_document=1000)
    async def run(store: InProcess) -> None:
        assert await write_fast(store.store, put("/docs/other", size=1000)) is not None
        assert await write_fast(store.store, declined) is None
        assert [meta.key for meta in await store.engines["docs"].list()] == ["other"]

    run(tmp_path)


def test_clients_without_rights_and_mounts_with_more_rules_have_no_fast_writes(tmp_path: Path) -> None:
    clock = SetClock()

    def mount(url: str = "memory:", **options: Any) -> Mount:
        return Mount("docs", open_engine(EngineURL.parse(url), clock), **options)

    async def declines(store: Store) -> bool:
        return store.fast_write is None or await write_fast(store, put("/docs/key")) is None

    async def run() -> None:
        assert not await declines(Store([mount()], clock=clock))
        assert await declines(Store([mount()], clock=clock, anonymous="read"))
        assert await declines(Store([mount()], clock=clock, tokens=Tokens(tmp_path)))
        assert await declines(Store([mount(cors=("http://a.example",))], clock=clock))
        assert await declines(Store([mount(readonly=True)], clock=clock))
        for scheme in ("memory:", f"sqlite:{tmp_path}/bounded.db"):
            bounded = mount(f"{scheme}?max_bytes=1MiB")
            assert await declines(Store([bounded], clock=clock))
            await bounded.engine.close()
        switch = ReadOnlySwitch(tmp_path)
        switch.turn(on=True, names=frozenset({"docs"}))
        assert await declines(Store([mount()], clock=clock, read_only=switch))

    asyncio.run(run())


@linked()
async def test_clients_that_may_do_everything_in_a_mount_are_taken(linked_store: LinkedStore) -> None:
    create = linked_store.tokens.create

    async def status(text: str | None, size: int = 9, query: str = "") -> int | None:
        credentials = [] if text is None else [(b"authorization", f"Bearer {text}".encode())]
        response = await write_fast(linked_store.store.store, put("/docs/key", *credentials, size=size, query=query))
        return None if response is None else response.status

    assert await status(linked_store.made.text) == 201
    assert await status(create(rights=["all"], mount="docs").text) == 200
    assert await status(create(rights=["all"], max_document="9").text) == 200
    assert await status(create(rights=["all"], max_document="9").text, size=10) is None
    for declined in (
        {"mount": "memory"},
        {"mount": "docs", "prefix": "k"},
        {"rights": ["read", "create", "replace"]},
        {"quota": "1MiB"},
        {"rate": "9/s"},
    ):
        assert await status(create(**{"rights": ["all"], **declined}).text) is None, declined
    gone = create(rights=["all"])
    linked_store.tokens.revoke(gone.token.id)
    assert await status(gone.text) is await status(gone.text[:-1] + "x") is await status(None) is None
    link = await linked_store.sign("/docs/key", methods=["PUT"])
    assert await status(None, query=f"link={link}") is await status(gone.text, query=f"link={link}") is None


class Failing:
    """An engine whose writes fail."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def submit(self, request: PutRequest, on_outcome: Callable[[WriteResult | Exception], None]) -> bool:
        asyncio.get_running_loop().call_soon(on_outcome, self._error)
        return True

    async def put(self, request: PutRequest) -> WriteResult:
        raise self._error


@pytest.mark.parametrize("accept", [b"application/problem+json", b"text/html"])
@pytest.mark.parametrize("error", [NoSpace("full"), StorageUnavailable("gone"), KeyError("a bug")], ids=repr)
def test_a_failure_is_answered_as_by_handle(error: Exception, accept: bytes) -> None:
    store = Store([Mount("docs", Failing(error))])  # type: ignore[arg-type]  # the reading methods are not used

    async def responses() -> tuple[Response | None, Response]:
        request = put("/docs/key", (b"accept", accept))
        return await write_fast(store, request), await store.handle(request)

    fast, full = asyncio.run(responses())
    assert fast is not None
    assert fast.status == full.status >= 500
    assert (fast.headers, fast.content) == (full.headers, full.content)


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
def test_submitted_writes_are_those_of_put(scheme: str, tmp_path: Path) -> None:
    clock = SetClock()

    async def run() -> None:
        engine = open_engine(EngineURL.parse(f"sqlite:{tmp_path}/docs.db" if scheme == "sqlite" else "memory:"), clock)
        assert isinstance(engine, Submitting)

        async def submit(request: PutRequest) -> WriteResult | Exception | None:
            outcome: asyncio.Future[WriteResult | Exception] = asyncio.get_running_loop().create_future()
            return await outcome if engine.submit(request, outcome.set_result) else None

        content = BytesContent(b"content")
        for key, expires_ns in (("a", None), ("b", clock() + 10**9)):
            request = PutRequest(key, content, Fields("text/plain"), expires_ns)
            created = await submit(request)
            assert isinstance(created, WriteResult)
            assert created == WriteResult(await engine.head(key), created=True)  # type: ignore[arg-type]
            assert await submit(request) == WriteResult(created.meta, created=False) == await engine.put(request)
        clock.advance_s(2)
        expired = await submit(PutRequest("b", content, Fields()))
        assert isinstance(expired, WriteResult)
        assert expired.created
        assert isinstance(await submit(PutRequest("a", content, Fields(), expect=ABSENT)), Conflict)
        assert await submit(PutRequest("c", Chunked([b"a"]), Fields())) is None
        assert await submit(PutRequest("c", BytesContent(bytes(2 << 20)), Fields())) is None
        await engine.close()
        if scheme == "sqlite":
            assert await submit(PutRequest("c", content, Fields())) is None

    asyncio.run(run())
