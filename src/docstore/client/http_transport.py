"""Calls over HTTP, by httpx2: its two clients behind the Wire protocol, and its errors turned into `Lost`.

Nothing is followed, nothing is decoded, no cookie is kept: what is stored with a Content-Encoding comes as it was
stored. Proxies of the environment are used, but not for this machine. Connections are kept in a pool for some seconds:
less than the server keeps them, so that seldom a call meets one that is just being closed.
"""

import ssl
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

import httpx2

from docstore.client.address import Address
from docstore.client.transport import Blocking, Call, Lost, Waiting
from docstore.errors import ClientClosed, SetupError

CONNECTIONS: Final = 100
"""Connections of one client; one more call waits for its turn."""
KEPT_S: Final = 15.0
"""Seconds that an idle connection is kept."""
_LIMITS: Final = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=20, keepalive_expiry=KEPT_S)
_UNSENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
_FAILURES: Final = (httpx2.HTTPError, httpx2.StreamError)
_LOOPBACK: Final = ("127.", "localhost", "::1")


@contextmanager
def _possible(address: Address) -> Iterator[None]:
    """Raises SetupError where no client can be made: a proxy needs another package, or no host has that name."""
    try:
        # The look-up of names will do the same, in the middle of a call.
        httpx2.URL(address.origin).raw_host.decode("ascii").encode("idna")
        yield
    except UnicodeError:
        raise SetupError(f"{address.shown}: no host can have this name") from None
    except (httpx2.InvalidURL, ImportError, ValueError) as error:
        raise SetupError(f"{address.shown}: {error}") from error


class _Reply:
    """The head of an answer of httpx2."""

    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._response = response


class BlockingReply(_Reply):
    def __init__(self, response: httpx2.Response) -> None:
        super().__init__(response)
        self._pieces: Iterator[bytes] = response.iter_raw()

    async def read(self) -> bytes | Lost:
        try:
            return next(self._pieces, b"")
        except _FAILURES as error:
            return lost(error)

    async def close(self) -> None:
        self._response.close()


class AsyncReply(_Reply):
    def __init__(self, response: httpx2.Response) -> None:
        super().__init__(response)
        self._pieces: AsyncIterator[bytes] = response.aiter_raw()

    async def read(self) -> bytes | Lost:
        try:
            return await anext(self._pieces, b"")
        except _FAILURES as error:
            return lost(error)

    async def close(self) -> None:
        await self._response.aclose()


class BlockingHTTP(Blocking):
    """A Wire for the plain client: its coroutines never wait, they block."""

    def __init__(self, address: Address) -> None:
        with _possible(address):
            self._client = httpx2.Client(limits=_LIMITS, trust_env=_elsewhere(address), verify=_verified(address))
        self._origin = address.origin
        weakref.finalize(self, self._client.close)

    async def send(self, call: Call, timeout_s: float) -> BlockingReply | Lost:
        if self._client.is_closed:
            raise ClientClosed("the client was closed")
        content = None if call.body is None else call.body.data if call.body.data is not None else call.body.blocks()
        try:
            return BlockingReply(self._client.send(_request(self._origin, call, content, timeout_s), stream=True))
        except _FAILURES as error:
            return lost(error)

    async def close(self) -> None:
        self._client.close()


class AsyncHTTP(Waiting):
    """A Wire for the asynchronous client."""

    def __init__(self, address: Address) -> None:
        with _possible(address):
            self._client = httpx2.AsyncClient(limits=_LIMITS, trust_env=_elsewhere(address), verify=_verified(address))
        self._origin = address.origin

    async def send(self, call: Call, timeout_s: float) -> AsyncReply | Lost:
        if self._client.is_closed:
            raise ClientClosed("the client was closed")
        body = call.body
        content = None if body is None else body.data if body.data is not None else body.blocks_later(self.work)
        try:
            return AsyncReply(await self._client.send(_request(self._origin, call, content, timeout_s), stream=True))
        except _FAILURES as error:
            return lost(error)

    async def close(self) -> None:
        await self._client.aclose()


def lost(error: Exception) -> Lost:
    """What an error of httpx2 means for the call."""
    reason = "no answer in time" if isinstance(error, httpx2.TimeoutException) else str(error) or type(error).__name__
    return Lost(reason, sent=not isinstance(error, _UNSENT))


def _request(
    origin: str, call: Call, content: bytes | Iterator[bytes] | AsyncIterator[bytes] | None, timeout_s: float
) -> httpx2.Request:
    headers = [("accept-encoding", "identity"), ("user-agent", "docstore-python"), *call.headers]
    if call.body is not None:
        size = call.body.size
        headers.append(("transfer-encoding", "chunked") if size is None else ("content-length", str(size)))
    url = httpx2.URL(origin).copy_with(raw_path=call.target.encode("ascii"))
    timeout = httpx2.Timeout(timeout_s).as_dict()
    return httpx2.Request(call.method, url, headers=headers, content=content, extensions={"timeout": timeout})


def _verified(address: Address) -> ssl.SSLContext | bool:
    """How certificates are verified."""
    if address.origin.startswith("http:") and not _elsewhere(address):
        # PERF: no certificate comes here. To load those of all authorities takes 20 of the 22 ms that a client takes.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return True


def _elsewhere(address: Address) -> bool:
    """Whether the store is on another machine, as far as its name tells."""
    name = address.origin.partition("://")[2].strip("[")
    return not name.startswith(_LOOPBACK)
