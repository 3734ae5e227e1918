"""Connections of Client: proxies, TLS, limits."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from docstore import AsyncClient, Client, SetupError, StorageUnavailable
from docstore.client import socket_transport
from docstore.client.retry import RetryPolicy
from tests.certificates import KeyPair, make_certificate
from tests.client.faulty_server import FaultyServer, answer
from tests.server_process import RunningServer


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_proxy_gets_the_whole_url_and_its_password(
    variable: str, faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable == "HTTP_PROXY":
        monkeypatch.delenv("REQUEST_METHOD", raising=False)
    port = faulty.url.split(":")[2].split("/")[0]
    monkeypatch.setenv(variable, f"http://ana:secret@127.0.0.1:{port}")
    faulty.script = [answer(200, b"hello", etag='"v"')]
    with Client("http://store.example:8080/docs/") as docs:
        assert docs["a"] == b"hello"
    assert faulty.asked[0].target == "http://store.example:8080/docs/a"
    assert faulty.asked[0].headers["host"] == "store.example:8080"
    assert faulty.asked[0].headers["proxy-authorization"] == "Basic YW5hOnNlY3JldA=="


def test_no_proxy_is_used_for_this_machine_or_where_the_environment_says_so(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    faulty.script = [answer(200, b"hello", etag='"v"')]
    with Client(faulty.url) as docs:
        assert docs["a"] == b"hello"
    monkeypatch.setenv("no_proxy", "store.invalid")
    with Client("http://store.invalid/docs/", tries=1) as docs, pytest.raises(StorageUnavailable) as raised:
        docs.get("a")
    assert "refused" not in str(raised.value)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_host_whose_name_begins_like_this_machine_is_reached_by_the_proxy(
    faulty: FaultyServer, asynchronous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", faulty.url.removesuffix("/docs/"))
    faulty.script = [answer(200, b"hello", etag='"v"')]
    url = "http://localhost-a.example:8080/docs/"

    async def get() -> object:
        async with AsyncClient(url, tries=1) as docs:
            return await docs.get("a")

    with Client(url, tries=1) as docs:
        assert (asyncio.run(get()) if asynchronous else docs.get("a")) == b"hello"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    """A certificate for store.example and localhost, and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"), "store.example", "localhost")


@contextmanager
def tls_server(certificate: KeyPair, *, first: bytes = b"") -> Iterator[int]:
    """Serve one document once over TLS. As a proxy, expect a request that begins with `first` before."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.settimeout(20)
            if first:
                assert connection.recv(65536).startswith(first)
                connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            with context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(65536)
                secured.sendall(b'HTTP/1.1 200 OK\r\nETag: "v"\r\nContent-Length: 5\r\n\r\nhello')

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_tls_verifies_the_name_and_the_certificate(certificate: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        tls_server(certificate) as port,
        Client(f"https://localhost:{port}/docs/", tries=1) as docs,
        pytest.raises(StorageUnavailable, match=r"(?i)certificate"),
    ):
        docs.get("a")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with tls_server(certificate) as port, Client(f"https://localhost:{port}/docs/") as docs:
        assert docs["a"] == b"hello"
    with (
        tls_server(certificate) as port,
        Client(f"https://127.0.0.1:{port}/docs/", tries=1) as docs,
        pytest.raises(StorageUnavailable, match=r"(?i)certificate"),
    ):
        docs.get("a")


def test_async_client_trusts_the_same_certificates(certificate: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))

    async def get(port: int) -> bytes:
        async with AsyncClient(f"https://localhost:{port}/docs/", tries=1) as docs:
            return bytes(await docs.get("a") or b"")

    with tls_server(certificate) as port:
        assert asyncio.run(get(port)) == b"hello"


def test_tls_passes_through_a_proxy(certificate: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with tls_server(certificate, first=b"CONNECT store.example:443 HTTP/1.1\r\n") as port:
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{port}")
        with Client("https://store.example/docs/") as docs:
            assert docs["a"] == b"hello"


def test_a_proxy_that_refuses_is_an_error(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty.script = [answer(403, b"no")]
    monkeypatch.setenv("https_proxy", faulty.url)
    with (
        Client("https://store.example/docs/", tries=1) as docs,
        pytest.raises(StorageUnavailable, match="the proxy answered 403"),
    ):
        docs.get("a")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "https://127.0.0.1:1", "http://:1", "http://a:99999"])
def test_a_proxy_that_cannot_be_used_is_one_error(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(SetupError, match="proxy"):
        Client("http://store.example/docs/")


def test_threads_wait_for_a_connection(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_transport, "CONNECTION_LIMIT", 2)
    with Client(f"{server.url}/memory/") as docs:
        docs["a"] = bytes(4_000_000)
        streams = [docs.iter_content("a") for _ in range(2)]
        for stream in streams:
            next(stream)
        with monkeypatch.context() as patch:
            patch.setattr(docs._operations, "policy", RetryPolicy(timeout_s=0.1, tries=1))
            with pytest.raises(StorageUnavailable, match="in use"):
                docs.get("a")
        streams.clear()
        del stream
        assert len(docs["a"]) == 4_000_000


def test_a_connection_that_the_server_closed_is_replaced(faulty: FaultyServer) -> None:
    # The server keeps the connection open according to its response, and closes it.
    faulty.script = [answer(200, b"1", etag='"v"', connection="keep-alive"), answer(200, b"2", etag='"w"')]
    with Client(faulty.url) as docs:
        assert (docs["a"], docs["b"]) == (b"1", b"2")


def test_a_line_end_in_a_header_is_refused_before_anything_is_sent(faulty: FaultyServer) -> None:
    with Client(faulty.url) as docs:
        docs._operations.headers = (("accept", "x\r\nY: z"),)  # type: ignore[misc]
        with pytest.raises(ValueError, match="line end"):
            docs.get("a")
    assert faulty.asked == []
