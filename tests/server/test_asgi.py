"""The ASGI adapter alone: how it reads a scope, and when it stops."""

import asyncio
import os
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest

from docstore.content import BytesContent, Descriptor, FileContent, Stream
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.errors import EngineError
from docstore.http.message import Handler, Request, Response
from docstore.model import Fields
from docstore.server.app import Store
from docstore.server.asgi import asgi
from docstore.server.mounts import Mount


def memory_store() -> Store:
    return Store([Mount("m", open_engine(EngineURL.parse("memory:")), keys="path")])


async def call(store: Store, handle: Handler | None = None, *, leaves: bool = False, **scope: Any) -> list[Any]:
    """The messages that the application sends for one request; with `leaves`, the client disconnects at once."""
    sent: list[MutableMapping[str, Any]] = []
    incoming = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> MutableMapping[str, Any]:
        if incoming:
            return incoming.pop()
        if not leaves:
            await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)
        await asyncio.sleep(0)

    defaults = {"type": "http", "http_version": "1.1", "method": "GET", "query_string": b"", "headers": []}
    await asgi(store, handle)({**defaults, **scope}, receive, send)
    return sent


@pytest.mark.parametrize("key", ["a%2Fb", "100%", "é b", "a/b"])
def test_a_path_without_its_raw_form_is_not_decoded_twice(key: str) -> None:
    async def main() -> None:
        store = memory_store()
        [mount] = store.mounts
        await mount.engine.put(PutRequest(key, BytesContent(b"found"), Fields.make()))
        sent = await call(store, path=f"/m/{key}")
        assert (sent[0]["status"], sent[1]["body"]) == (200, b"found")

    asyncio.run(main())


@pytest.mark.parametrize("length", [b"0" * 5000 + b"3", b"9" * 40])
def test_a_content_length_of_many_digits_causes_no_error(length: bytes) -> None:
    async def main() -> None:
        scope = {"path": "/m/a", "method": "PUT", "headers": [(b"content-length", length)]}
        sent = await call(memory_store(), **scope)
        assert sent[0]["status"] in (201, 400, 413)

    asyncio.run(main())


def test_a_server_that_stops_parsing_at_an_upgrade_stores_nothing() -> None:
    async def main() -> None:
        store = memory_store()
        [mount] = store.mounts
        await mount.engine.put(PutRequest("a", BytesContent(b"old"), Fields.make()))
        headers = [(b"transfer-encoding", b"chunked"), (b"upgrade", b"h2c"), (b"connection", b"Upgrade")]
        sent = await call(store, path="/m/a", method="PUT", headers=headers)
        assert sent[0]["status"] == 400
        document = await mount.engine.get("a")
        assert document is not None
        assert document.content == BytesContent(b"old")

    asyncio.run(main())


def test_content_is_not_generated_for_a_disconnected_client() -> None:
    made = 0

    async def endless(start: int, stop: int) -> AsyncIterator[bytes]:
        nonlocal made
        while made < 1000:
            made += 1
            yield b"x"

    async def handle(request: Request) -> Response:
        return Response(200, [], Stream(endless, 0, 10**9))

    sent = asyncio.run(call(memory_store(), handle, leaves=True, path="/"))
    assert made < 10
    assert sent[-1].get("more_body"), "an answer that broke off does not end as if it were whole"


def test_a_file_that_cannot_be_read_is_an_error_and_not_a_short_response(tmp_path: Any) -> None:

    descriptor = Descriptor(os.open(tmp_path, os.O_RDONLY))  # a folder can't be read

    async def handle(request: Request) -> Response:
        return Response(200, [], FileContent(descriptor, 0, 10))

    with pytest.raises(EngineError):
        asyncio.run(call(memory_store(), handle, path="/"))


def test_all_engines_are_closed_when_one_fails_to() -> None:
    closed = []

    class Failing:
        def __init__(self, name: str, error: Exception | None) -> None:
            self.name, self.error = name, error

        async def close(self) -> None:
            closed.append(self.name)
            if self.error:
                raise self.error

    engines = [Failing("a", RuntimeError("no")), Failing("b", EngineError("no")), Failing("c", None)]
    asyncio.run(Store([Mount(engine.name, engine) for engine in engines]).close())  # type: ignore[arg-type]
    assert closed == ["a", "b", "c"]
