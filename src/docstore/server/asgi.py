"""The ASGI application of a store, for any ASGI server: it makes a Request from the scope and sends the Response.

It sends Date itself, so that no Last-Modified is later; the server should not add its own. The server is responsible
for malformed requests, time limits and 100-continue, which it sends when the body is first read, so that an error that
needs no body replaces it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final

from docstore.content import BytesContent, Upload
from docstore.errors import IncompleteUpload
from docstore.http.dates import format_http_date
from docstore.http.headers import parse_natural
from docstore.http.message import NO_CONTENT, Handler, Headers, Request, Response
from docstore.http.url import encode
from docstore.server.app import Store

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

_LENGTH_LIMIT: Final = 2**63 - 1


class ASGIBody:
    """The body of a request, in the chunks of the server."""

    __slots__ = ("_receive", "size")

    def __init__(self, receive: Receive, size: int | None) -> None:
        self._receive = receive
        self.size = size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        arrived = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise IncompleteUpload("the client disconnected")
            chunk: bytes = message.get("body", b"")
            if chunk:
                arrived += len(chunk)
                yield chunk
            if not message.get("more_body", False):
                break
        if self.size is not None and arrived != self.size:
            raise IncompleteUpload(f"{arrived} bytes arrived instead of {self.size}")


class _UpgradeBody:
    """The body of an Upgrade request: servers that stop parsing HTTP for it may never deliver the body."""

    size: None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        raise IncompleteUpload("this server does not deliver the content of Upgrade requests")
        yield b""


def asgi(store: Store, handle: Handler | None = None) -> ASGIApplication:
    """Return the ASGI application of a store, which starts and stops with its server. `handle` may wrap the store's."""
    handle = handle or store.handle

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            response = await handle(_request(scope, receive))
            await _send(response, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(store, receive, send)

    return application


def _request(scope: Scope, receive: Receive) -> Request:
    headers = Headers(scope["headers"])
    raw_path: bytes | None = scope.get("raw_path")
    path = encode(scope["path"]) if raw_path is None else raw_path.decode("latin-1")
    return Request(
        method=scope["method"],
        path=path,
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=_body(headers, receive, scope["http_version"]),
        address=(scope.get("client") or [""])[0] or "",
        scheme="https" if scope.get("scheme") == "https" else "",
    )


def _body(headers: Headers, receive: Receive, http_version: str) -> Upload:
    if "upgrade" in headers:
        return _UpgradeBody()
    length = headers.get("content-length")
    if length is None and "transfer-encoding" not in headers and http_version.startswith("1"):
        return NO_CONTENT
    return ASGIBody(receive, None if length is None else parse_natural(length, _LENGTH_LIMIT))


async def _send(response: Response, receive: Receive, send: Send) -> None:
    """Send a response until the client disconnects: some servers accept content afterwards."""
    date = format_http_date(int(time.time())).encode("ascii")
    headers = [*response.headers, (b"date", date)]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    content = response.content
    if response.head_only or isinstance(content, BytesContent):
        body = content.data if isinstance(content, BytesContent) and not response.head_only else b""
        await send({"type": "http.response.body", "body": body})
        return
    disconnected = asyncio.ensure_future(_disconnected(receive))
    try:
        async for chunk in content:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if disconnected.done():
                return
    finally:
        disconnected.cancel()
    await send({"type": "http.response.body", "body": b""})


async def _disconnected(receive: Receive) -> None:
    """Return when the client disconnects; drop the rest of its body."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _lifespan(store: Store, receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            store.start()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await store.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
