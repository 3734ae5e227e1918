"""The Transport of Client: requests over HTTP/1.1 by sockets, and the pool of their connections.

Redirects are not followed, content is not decoded, cookies are not kept: content that is stored with a Content-Encoding
arrives as it was stored. Proxies of the environment are used, but not for this machine. Idle connections are kept for
less time than the server keeps them, so that a request seldom meets one that is being closed.

A forked child shares the sockets of its parent, and a response would reach whichever of the two reads first. So every
transport forgets its connections in the child, and does not touch those of the parent.
"""

import os
import socket
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import SplitResult, urlsplit

from docstore.client.address import CollectionAddress, basic_authorization
from docstore.client.http_connection import HTTPConnection
from docstore.client.transport import ClientRequest, RequestHeaders, SyncTransport, TransportError
from docstore.errors import ClientClosed, SetupError
from docstore.http.url import is_loopback

if TYPE_CHECKING:
    import ssl

CONNECTION_LIMIT: Final = 100
"""Connections of one client; further requests wait."""
IDLE_LIMIT: Final = 20
IDLE_S: Final = 15.0
_LABEL_LIMIT: Final = 63


class SocketResponse:
    """A response whose content is read from its connection."""

    def __init__(self, pool: "_Pool", connection: HTTPConnection, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self._pool = pool
        self._connection: HTTPConnection | None = connection

    async def read(self) -> bytes:
        if self._connection is None:
            return b""
        try:
            return self._connection.read()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection)


class SocketTransport(SyncTransport):
    """A Transport whose coroutines block and never suspend."""

    def __init__(self, address: CollectionAddress) -> None:
        self._route = _Route(address)
        self._closed = False
        self.reset()
        _transports.add(self)

    def reset(self) -> None:
        """Start without connections: at first, and in a forked child."""
        self._pool = _Pool(self._route)
        self._finalizer = weakref.finalize(self, self._pool.close)

    async def send(self, request: ClientRequest, timeout_s: float) -> SocketResponse:
        if self._closed:
            raise ClientClosed("the client is closed")
        pool, body = self._pool, request.body
        headers = dict(self._route.headers) | request.http_headers()
        content: bytes | Iterator[bytes] = b""
        if body is not None:
            content = body.data if body.data is not None else body.blocks()
        lines = [f"{request.method} {self._route.prefix}{request.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join((*lines, "\r\n")).encode("latin-1")
        if head.count(b"\n") != len(lines) + 1 or head.count(b"\r") != len(lines) + 1:
            raise ValueError("a header contains a line end")
        connection = pool.take(timeout_s)
        try:
            connection.send(head, content, timeout_s, chunked=body is not None and body.size is None)
            status, received = connection.receive_head(request.method)
        except BaseException:
            pool.release(connection, broken=True)
            raise
        return SocketResponse(pool, connection, status, received)

    def forget_connections(self) -> None:
        """In a forked child, keep those of the parent so that this process never closes them."""
        self._finalizer.detach()
        _inherited.append(self._pool)
        self.reset()

    async def close(self) -> None:
        self._closed = True
        self._finalizer()


class _Pool:
    """The connections of one transport. Threads share it."""

    def __init__(self, route: "_Route") -> None:
        self._route = route
        self._lock = threading.Lock()
        self._free = threading.Semaphore(CONNECTION_LIMIT)
        self._idle: list[tuple[float, HTTPConnection]] = []
        self._used: set[HTTPConnection] = set()
        self._closed = False

    def take(self, timeout_s: float) -> HTTPConnection:
        """Return an idle connection, or a new one. Raise TransportError."""
        if not self._free.acquire(timeout=timeout_s):
            raise TransportError("all connections of this client are in use", sent=False)
        try:
            connection = self._take_idle() or self._route.connect(timeout_s)
        except BaseException:
            self._free.release()
            raise
        self._used.add(connection)
        return connection

    def _take_idle(self) -> HTTPConnection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                since, connection = self._idle.pop()
            if time.monotonic() - since < IDLE_S and connection.is_idle():
                return connection
            connection.close()

    def release(self, connection: HTTPConnection, *, broken: bool = False) -> None:
        """Take back a connection, which is closed if it can't be used again."""
        with self._lock:
            if connection not in self._used:
                return
            self._used.discard(connection)
            keep = not broken and not self._closed and len(self._idle) < IDLE_LIMIT and connection.is_reusable
            if keep:
                self._idle.append((time.monotonic(), connection))
        if not keep:
            connection.close()
        self._free.release()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            connections = [*self._used, *(connection for _, connection in self._idle)]
            self._used.clear()
            self._idle.clear()
        for connection in connections:
            connection.close()


class _Route:
    """The way to the server of an address: directly or through a proxy."""

    def __init__(self, address: CollectionAddress) -> None:
        """Raise SetupError for an invalid host name, and for a proxy that can't be used."""
        parts = urlsplit(address.origin)
        self._host, self._tls = _ascii_host(parts, address.shown), parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        authority = f"[{self._host}]" if ":" in self._host else self._host
        self._proxy = _proxy_of(parts, self._host, address.shown)
        self._shown = address.origin
        self._proxy_headers: RequestHeaders = ()
        if self._proxy is not None and self._proxy.username is not None:
            value = basic_authorization(self._proxy)
            self._proxy_headers = (("proxy-authorization", value),)
        forwarded = self._proxy is not None and not self._tls
        self.prefix: Final = address.origin if forwarded else ""
        """Precedes the path in a request: a proxy gets the whole URL, unless it only connects."""
        host = authority if parts.port is None else f"{authority}:{parts.port}"
        self.headers: Final[RequestHeaders] = (("host", host), *(self._proxy_headers if forwarded else ()))
        self._tunnel = f"{authority}:{self._port}" if self._proxy is not None and self._tls else ""
        self._context: ssl.SSLContext | None = None

    def connect(self, timeout_s: float) -> HTTPConnection:
        """Raise TransportError if the server can't be reached."""
        proxy = self._proxy
        place = (self._host, self._port) if proxy is None else (proxy.hostname or "", proxy.port or 80)
        # PERF: as bytes, an ASCII name needs no codec, which takes 2 ms to load.
        place = (cast(str, place[0].encode("ascii")) if place[0].isascii() else place[0], place[1])
        sock: socket.socket | None = None
        try:
            sock = socket.create_connection(place, timeout_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tunnel:
                self._open_tunnel(sock, timeout_s)
            if self._tls:
                sock = self._tls_context().wrap_socket(sock, server_hostname=self._host)
        except BaseException as error:
            if sock is not None:
                sock.close()
            if isinstance(error, OSError | UnicodeError | TransportError):
                raise TransportError.unreachable(self._shown, error) from error
            raise
        return HTTPConnection(sock)

    def _open_tunnel(self, sock: socket.socket, timeout_s: float) -> None:
        """Let the proxy connect (RFC 9110 §9.3.6)."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in (("host", self._tunnel), *self._proxy_headers))
        connection = HTTPConnection(sock)
        connection.send(f"CONNECT {self._tunnel} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"), b"", timeout_s)
        status, _ = connection.receive_head("CONNECT")
        if not 200 <= status < 300:
            raise TransportError(f"the proxy answered {status}")

    def _tls_context(self) -> "ssl.SSLContext":
        if self._context is None:
            if sys.platform in ("darwin", "win32"):  # the certificates of the system
                from httpx2 import create_ssl_context as create_context
            else:
                from ssl import create_default_context as create_context
            self._context = create_context()
        return self._context


def _ascii_host(parts: SplitResult, shown: str) -> str:
    host = parts.hostname or ""
    try:
        # Name resolution does the same, in the middle of a request.
        name = host if host.isascii() else host.encode("idna").decode("ascii")
        if ":" not in name and not all(0 < len(label) <= _LABEL_LIMIT for label in name.removesuffix(".").split(".")):
            raise SetupError(f"{shown}: invalid host name")
    except UnicodeError:
        raise SetupError(f"{shown}: invalid host name") from None
    return name


def _proxy_of(parts: SplitResult, host: str, shown: str) -> SplitResult | None:
    """Return the URL of the proxy for a server, from the environment or the system. Raise SetupError."""
    named = any(name.lower().endswith("_proxy") for name in os.environ) or sys.platform in ("darwin", "win32")
    if is_loopback(host) or not named:
        return None
    from urllib.request import getproxies, proxy_bypass  # loads http.client

    proxies = getproxies()
    text = proxies.get(parts.scheme) or proxies.get("all")
    if not text or proxy_bypass(host):
        return None
    proxy = urlsplit(text if "://" in text else f"http://{text}")
    try:
        if proxy.scheme != "http" or not proxy.hostname or proxy.port == 0:
            kind = "SOCKS" if proxy.scheme.startswith("socks") else proxy.scheme
            raise SetupError(f"{shown}: a {kind} proxy can't be used, only one whose URL begins with http://")
    except ValueError:
        raise SetupError(f"{shown}: the URL of the proxy is invalid") from None
    return proxy


_transports: Final["weakref.WeakSet[SocketTransport]"] = weakref.WeakSet()
_inherited: Final[list[_Pool]] = []


def _forget_all() -> None:
    for transport in list(_transports):
        transport.forget_connections()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
