"""A store in the test's process, with a clock that the test sets: `handle` without a socket.

    @on_a_store(keys="path")
    async def test_something(store: InProcess) -> None:
        assert (await store.send("PUT", "/docs/a/b", b"1")).status == 201

Every response is linted, and those of the fast paths are compared with those of `handle`. A call in Docstore that
blocks the event loop fails the test; calls that block in a library, such as the reads that the sqlite engine does on
the loop on purpose, are not noticed.
"""

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blockbuster import blockbuster_ctx

from docstore.content import BytesContent, Upload, read_all
from docstore.engines.contract import Engine, Metered
from docstore.engines.registry import EngineURL, open_engine
from docstore.http.dates import format_http_date
from docstore.http.message import Headers, Request
from docstore.server.app import Store
from docstore.server.mounts import Mount
from docstore.server.security.tokens import Tokens
from docstore.testing.clock import SetClock
from tests.both_ways import answer_fast, assert_same, write_fast
from tests.engine_urls import url_in
from tests.engines.object_store.s3_server import ON_CLUSTER
from tests.lint import lint
from tests.server_process import MOUNTS

HANGS_AFTER_S = 1200 if ON_CLUSTER else 120


@dataclass(frozen=True)
class Reply:
    status: int
    headers: list[tuple[str, str]]
    """Names in lower case, in the order of the response."""
    content: bytes

    def __getitem__(self, name: str) -> str:
        """Return the value of a field, which must exist once."""
        values = self.all(name)
        assert len(values) == 1, f"{name} is there {len(values)} times in {self.headers}"
        return values[0]

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.headers if field == name]


@dataclass(frozen=True)
class Chunked:
    """A body in chunks, of unknown size."""

    chunks: Sequence[bytes]
    size: None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            await asyncio.sleep(0)
            yield chunk


@dataclass(frozen=True)
class NeverRead:
    """A body that must not be read."""

    size: int | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""


@dataclass
class InProcess:
    """A Store, its engines and the clock that all of them read."""

    store: Store
    clock: SetClock
    engines: dict[str, Engine] = field(default_factory=dict)

    async def send(
        self,
        method: str,
        target: str,
        content: bytes | Upload = b"",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        scheme: str = "",
    ) -> Reply:
        """Return the response to one request; `target` is as in a request line."""
        path, _, query = target.partition("?")
        given = headers.items() if isinstance(headers, Mapping) else headers
        pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given]
        body = BytesContent(content) if isinstance(content, bytes) else content
        request = Request(method, path, query, Headers(pairs), body, scheme=scheme)
        # Both ways count a use of a document in a mount with a quota.
        metered = any(isinstance(engine, Metered) for engine in self.engines.values())
        fast = None if metered else answer_fast(self.store, request)
        response = await write_fast(self.store, request) or await self.store.handle(request)
        if fast is not None:
            assert_same(fast, response)
        sent = b"" if response.head_only else await read_all(response.content)
        now_s = self.clock() // 10**9
        dated = [*response.headers, (b"date", format_http_date(now_s).encode("ascii"))]
        lint(method, target, pairs, response.status, dated, sent, now_s)
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers]
        return Reply(response.status, fields, sent)

    async def prepare(
        self,
        method: str,
        target: str,
        content: bytes | Upload = b"",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> Reply:
        """As `send`, for a request that must succeed; there may be nothing to delete."""
        reply = await self.send(method, target, content, headers)
        assert reply.status < 400 or (method, reply.status) == ("DELETE", 404), f"{method} {target}: {reply}"
        return reply


@asynccontextmanager
async def opened(
    folder: Path,
    mounts: Iterable[str] = MOUNTS,
    *,
    hosts: frozenset[str] | None = None,
    anonymous: str | None = "write",
    tokens: Tokens | None = None,
    sweep_interval_s: float = 60,
    relative_links: bool = False,
    **options: Any,
) -> AsyncIterator[InProcess]:
    """Open a store in `folder` with some of ENGINES, each with these `options` of Mount."""
    clock = SetClock()
    engines = {mount: open_engine(EngineURL.parse(url_in(folder, mount)), clock) for mount in mounts}
    made = [Mount(name, engine, **{"max_document": 10**9, **options}) for name, engine in engines.items()]
    store = Store(
        made,
        clock=clock,
        hosts=hosts,
        anonymous=anonymous,
        tokens=tokens,
        sweep_interval_s=sweep_interval_s,
        relative_links=relative_links,
    )
    inside = InProcess(store, clock, engines)
    try:
        with blockbuster_ctx("docstore") as blocking:
            # Only the first page of a process loads its template.
            for function in blocking.functions.values():
                function.can_block_in("jinja2/loaders.py", {"__init__", "get_source"})
            # HEAD looks for a blob as GET opens it: a thread hop would take ten times as long.
            blocking.functions["os.stat"].can_block_in("docstore/engines/sqlite/blobs.py", {"exists"})
            # A document in memory is compared with its file, in a thirtieth of the time of a thread hop.
            blocking.functions["os.stat"].can_block_in("docstore/engines/file/file_cache.py", {"_look"})
            # Whether a link was revoked or used is looked up in the same way.
            blocking.functions["os.stat"].can_block_in("docstore/server/security/ended.py", {"has"})
            # The file of tokens is looked at twice a second, and read when it has changed.
            for function in blocking.functions.values():
                function.can_block_in("docstore/server/security/state_files.py", {"_check"})
                function.can_block_in("docstore/server/security/tokens.py", {"create", "revoke"})  # by the test
            # A new connection looks for a password file and certificates.
            for function in blocking.functions.values():
                function.can_block_in("asyncpg/connect_utils.py", {"_parse_connect_dsn_and_args"})
            yield inside
    finally:
        await inside.store.close()


def on_a_store(*mounts: str, **options: Any) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Make `async def test(store, ...)` a test for pytest.

    The store has the `mounts`; if none is named, the one in the test's parameter `mount`, or else all four.
    """

    def decorate(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        @functools.wraps(test)
        def collected(tmp_path: Path, **parameters: Any) -> None:
            async def run() -> None:
                chosen = mounts or ((parameters["mount"],) if "mount" in parameters else MOUNTS)
                async with asyncio.timeout(HANGS_AFTER_S), opened(tmp_path, chosen, **options) as store:
                    await test(store, **parameters)

            asyncio.run(run())

        _store, *own = inspect.signature(test).parameters.values()
        folder = inspect.Parameter("tmp_path", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        vars(collected)["__signature__"] = inspect.Signature([folder, *own])
        return collected

    return decorate
