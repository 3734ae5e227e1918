"""The quota of a token: 507 with the figures, on every engine, with one and with many writes at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.memory import Memory
from docstore.engines.registry import EngineURL, open_engine
from docstore.model import Fields, Meta, WriteResult
from docstore.server.errors import HTTPProblem
from docstore.server.security.token_quota import TokenQuotaEngine, TokenUsage
from docstore.server.security.tokens import Tokens
from docstore.testing.clock import SetClock
from tests.engine_urls import ENGINES
from tests.in_process import Chunked, InProcess, opened

TEXT = Fields("text/plain")


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}", "content-type": "text/plain"}


@pytest.mark.parametrize("mount", ENGINES)
def test_a_write_that_does_not_fit_is_507_with_the_figures_and_changes_nothing(tmp_path: Path, mount: str) -> None:
    async def test() -> None:
        tokens = Tokens(tmp_path / "data")
        admin = bearer(tokens.create(rights=["all"]).text)
        token = bearer(tokens.create(rights=["all"], mount=mount, prefix="in/", quota=1000).text)
        async with opened(tmp_path, [mount], anonymous=None, tokens=tokens) as store:
            await check(store, mount, admin, token)

    asyncio.run(test())


async def check(store: InProcess, mount: str, admin: dict[str, str], token: dict[str, str]) -> None:
    await store.prepare("PUT", f"/{mount}/in/other", b"x" * 300, admin)
    await store.prepare("PUT", f"/{mount}/out", b"x" * 5000, admin)  # does not count
    assert (await store.send("PUT", f"/{mount}/in/a", b"x" * 700, token)).status == 201
    for content in (b"x", Chunked([b"x"])):
        reply = await store.send("PUT", f"/{mount}/in/b", content, token)
        assert (reply.status, reply.content) == (
            507,
            b"quota of the token exceeded: "
            b"the documents of this token take 1,000 of 1,000 bytes, and 1 more do not fit\n",
        )
    assert (await store.send("GET", f"/{mount}/in/b", headers=token)).status == 404
    assert (await store.send("PUT", f"/{mount}/in/empty", b"", token)).status == 201
    # What is replaced makes space, also for an upload of unknown size.
    for content in (b"y" * 700, Chunked([b"y" * 350, b"y" * 350]), b"y" * 400):
        assert (await store.send("PUT", f"/{mount}/in/a", content, token)).status == 200
    assert (await store.send("PUT", f"/{mount}/in/a", Chunked([b"z" * 701]), token)).status == 507
    assert (await store.send("GET", f"/{mount}/in/a", headers=token)).content == b"y" * 400
    assert (await store.send("PUT", f"/{mount}/in/b", b"x" * 300, token)).status == 201
    merge = {**token, "content-type": "application/merge-patch+json"}
    await store.prepare("PUT", f"/{mount}/in/b", b"{}", {**token, "content-type": "application/json"})
    assert (await store.send("PATCH", f"/{mount}/in/b", b'{"a":"%b"}' % (b"x" * 400), merge)).status == 507
    # What others delete makes space after the next count.
    await store.prepare("PUT", f"/{mount}/in/b", b"x" * 300, token)
    await store.prepare("DELETE", f"/{mount}/in/other", headers=admin)
    for _ in range(100):
        if (await store.send("PUT", f"/{mount}/in/c", b"x" * 300, token)).status == 201:
            break
        await asyncio.sleep(0.1)
    assert (await store.send("PUT", f"/{mount}/in/d", b"x", token)).status == 507
    assert (await store.send("DELETE", f"/{mount}/in/c", headers=token)).status == 200
    assert (await store.send("PUT", f"/{mount}/in/d", b"x" * 300, token)).status == 201
    # An administrator without a quota is not limited by that of another token.
    assert (await store.send("PUT", f"/{mount}/in/e", b"x" * 300, admin)).status == 201


def test_writes_at_once_never_exceed_the_quota() -> None:
    async def test() -> None:
        engine = open_engine(EngineURL.parse("memory:"))
        limited = TokenQuotaEngine(engine, TokenUsage([(engine, "")], 1000))

        async def put(number: int) -> bool:
            upload = BytesContent(b"x" * 90) if number % 2 else Chunked([b"x" * 30] * 3)
            try:
                await limited.put(PutRequest(f"k{number % 40}", upload, TEXT))
            except HTTPProblem:
                return False
            return True

        stored = await asyncio.gather(*(put(number) for number in range(200)))
        total = sum(meta.size for meta in await engine.list())
        assert total == 990
        assert 11 <= sum(stored) < 200
        await engine.close()

    asyncio.run(test())


class Late:
    """A body of unknown size that comes when `gate` opens."""

    size: None = None

    def __init__(self, gate: asyncio.Event, content: bytes) -> None:
        self._gate = gate
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await self._gate.wait()
        yield self._content


def test_writes_at_once_to_one_document_free_its_space_once() -> None:
    async def test() -> None:
        engine = open_engine(EngineURL.parse("memory:"))
        usage = TokenUsage([(engine, "")], 1000)
        limited = TokenQuotaEngine(engine, usage)
        await limited.put(PutRequest("a", BytesContent(b"x" * 900), TEXT))
        gate = asyncio.Event()
        writes = [asyncio.create_task(limited.put(PutRequest("a", Late(gate, b"x"), TEXT))) for _ in range(5)]
        await asyncio.sleep(0.01)
        await limited.delete("a")
        await limited.put(PutRequest("b", BytesContent(b"x" * 900), TEXT))
        gate.set()
        await asyncio.gather(*writes)
        assert sum(meta.size for meta in await engine.list()) == 901
        assert (usage.used, usage.pending, usage.targets) == (901, 0, {})
        await engine.close()

    asyncio.run(test())


def test_a_write_that_ends_during_a_count_is_counted() -> None:
    gate = asyncio.Event()

    class Writing(Memory):
        """Finishes the write between two pages."""

        async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
            if after:
                gate.set()
                await write
            return await super().list(prefix=prefix, after=after, limit=limit)

    async def test() -> None:
        nonlocal write
        engine = Writing(SetClock())
        now_s = [0.0]
        usage = TokenUsage([(engine, "")], 10_000, lambda: now_s[0])
        write = asyncio.create_task(TokenQuotaEngine(engine, usage).put(PutRequest("a", Late(gate, b"x" * 9), TEXT)))
        await asyncio.sleep(0.01)
        for number in range(1000):
            await engine.put(PutRequest(f"k{number:04}", BytesContent(b"x"), TEXT))
        now_s[0] += 5
        await usage.count(5)
        assert (usage.used, usage.pending) == (1009, 0)
        await engine.close()

    write: asyncio.Task[WriteResult]
    asyncio.run(test())


def test_counting_many_documents_takes_pages_and_rests() -> None:
    async def test() -> None:
        engine = open_engine(EngineURL.parse("memory:"))
        for number in range(2500):
            await engine.put(PutRequest(f"in/{number:04}", BytesContent(b"xy"), TEXT))
        now_s = [0.0]
        usage = TokenUsage([(engine, "in/"), (engine, "out/")], 10_000, lambda: now_s[0])
        await usage.count(5)
        assert usage.used == 5000
        await engine.delete("in/0000")
        await usage.count(5)
        assert usage.used == 5000
        now_s[0] += 5
        await usage.count(5)
        assert usage.used == 4998
        await engine.close()

    asyncio.run(test())
