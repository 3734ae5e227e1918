"""The Transport of AsyncClient: requests over HTTP by httpx2, and its errors as TransportError.

It behaves as `socket_transport`, whose docstring says how, but its proxies are those of httpx2.

httpx2 has no setting for the limits of `stalls`, and a network backend of our own cannot be passed to its transports.
But its `trace` extension reports each phase of a request, and each connection when it is opened, whose `read` is
replaced here. Sizes need no limit here: h11 limits heads, trailers and the lines of chunks.
"""

import os
import ssl
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore2
import httpx2

from docstore.client.address import CollectionAddress
from docstore.client.async_transport import AsyncTransport
from docstore.client.socket_transport import CONNECTION_LIMIT, IDLE_LIMIT, IDLE_S
from docstore.client.stalls import ReceiveLimits, head_end_after
from docstore.client.transport import ClientRequest, TransportError
from docstore.errors import ClientClosed, SetupError
from docstore.http.url import is_loopback

_LIMITS: Final = httpx2.Limits(
    max_connections=CONNECTION_LIMIT, max_keepalive_connections=IDLE_LIMIT, keepalive_expiry=IDLE_S
)


class HTTPResponse:
    """A response of httpx2 whose content has not been read yet."""

    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        self._pieces: AsyncIterator[bytes] = response.aiter_raw()

    async def read(self) -> bytes:
        with _transport_errors():
            return await anext(self._pieces, b"")

    async def close(self) -> None:
        await self._response.aclose()


class HTTPTransport(AsyncTransport):
    """A Transport on the caller's event loop."""

    def __init__(self, address: CollectionAddress) -> None:
        self._address = address
        self.connect()

    def connect(self) -> None:
        with _setup_errors(self._address):
            self._client = httpx2.AsyncClient(**_client_options(self._address))
        _transports.add(self)

    async def send(self, request: ClientRequest, timeout_s: float) -> HTTPResponse:
        if self._client.is_closed:
            raise ClientClosed("the client is closed")
        self.check_loop()
        body = request.body
        content = None if body is None else body.data if body.data is not None else body.async_blocks(self.work)
        with _transport_errors(self._address.origin):
            sent = _http_request(self._address.origin, request, content, timeout_s)
            return HTTPResponse(await self._client.send(sent, stream=True))

    def reconnect_after_fork(self) -> None:
        self.forget_loop()
        _inherited.append(self._client)
        if not self._client.is_closed:
            self.connect()

    async def close(self) -> None:
        await self._client.aclose()


_transports: Final["weakref.WeakSet[HTTPTransport]"] = weakref.WeakSet()
_inherited: Final[list[httpx2.AsyncClient]] = []
"""Clients of the parent process, kept so that this process never closes them."""


def _reconnect_all() -> None:
    for transport in list(_transports):
        transport.reconnect_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reconnect_all)


@contextmanager
def _setup_errors(address: CollectionAddress) -> Iterator[None]:
    """Raise SetupError if no client can be created: a proxy needs another package, or the host name is invalid."""
    try:
        # Name resolution does the same, in the middle of a request.
        httpx2.URL(address.origin).raw_host.decode("ascii").encode("idna")
        yield
    except UnicodeError:
        raise SetupError(f"{address.shown}: invalid host name") from None
    except (httpx2.InvalidURL, ImportError, ValueError) as error:
        raise SetupError(f"{address.shown}: {error}") from error


@contextmanager
def _transport_errors(origin: str = "") -> Iterator[None]:
    """Raise TransportError for errors of httpx2; `origin` is the server to which a connection may be opened."""
    try:
        yield
    except httpx2.PoolTimeout as error:
        raise TransportError("all connections of this client are in use", sent=False) from error
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol) as error:
        raise TransportError.unreachable(origin, error) from error
    except httpx2.TimeoutException as error:
        raise TransportError("no response in time") from error
    except (httpx2.HTTPError, httpx2.StreamError) as error:
        raise TransportError(str(error) or type(error).__name__) from error


def _http_request(
    origin: str,
    request: ClientRequest,
    content: bytes | AsyncIterator[bytes] | None,
    timeout_s: float,
) -> httpx2.Request:
    url = httpx2.URL(origin).copy_with(raw_path=request.target.encode("ascii"))
    extensions = {"timeout": httpx2.Timeout(timeout_s).as_dict(), "trace": _trace}
    return httpx2.Request(request.method, url, headers=request.http_headers(), content=content, extensions=extensions)


def _client_options(address: CollectionAddress) -> dict[str, Any]:
    parts = urlsplit(address.origin)
    # With `trust_env` it would also use proxies for this machine; without, not the certificates of SSL_CERT_FILE.
    # PERF: HTTP needs no certificate. Loading those of all authorities takes 20 of the 22 ms of creating a client.
    verify = httpx2.create_ssl_context() if parts.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return {"limits": _LIMITS, "trust_env": not is_loopback(parts.hostname or ""), "verify": verify}


_head_end: Final[ContextVar[float | None]] = ContextVar("docstore_head_end", default=None)
"""The time at which the head of the response must be complete; None while no head is expected."""


async def _trace(event: str, info: dict[str, Any]) -> None:
    """The `trace` extension of a request."""
    if event.endswith("receive_response_headers.started"):
        _head_end.set(head_end_after(info["request"].extensions["timeout"]["read"]))
    elif "receive_response_headers" in event:
        _head_end.set(None)
    elif isinstance(stream := info.get("return_value"), httpcore2.AsyncNetworkStream):
        _limit_reads(stream)


def _limit_reads(stream: httpcore2.AsyncNetworkStream) -> None:
    read: Callable[[int, float], Awaitable[bytes]] = stream.read
    limits = ReceiveLimits()

    async def limited(max_bytes: int, timeout: float) -> bytes:  # noqa: ASYNC109 - the interface of httpcore2
        head_end = _head_end.get()
        data = await read(max_bytes, limits.begin(timeout, head_end))
        limits.end(len(data), timeout, head_end)
        return data

    vars(stream)["read"] = limited
