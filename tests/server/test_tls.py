"""https: one certificate after another, with no connection lost, and never half of a pair."""

import errno
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from docstore import Tokens
from docstore.server.tls import Certificate
from tests.certificates import KeyPair, make_certificate, trusting
from tests.server.test_listeners import MOUNT, Serving
from tests.server.test_run import refused

WAITS_S = 30
NAME = "localhost"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[KeyPair]:
    return [make_certificate(tmp_path_factory.mktemp("tls"), NAME) for _ in range(2)]


@pytest.fixture
def installed(pairs: list[KeyPair], tmp_path: Path) -> KeyPair:
    """The first pair where a server reads it."""
    pair = KeyPair(tmp_path / "chain.pem", tmp_path / "key.pem")
    install(pairs[0], pair)
    return pair


def install(source: KeyPair, pair: KeyPair) -> None:
    """Replace both files, as certbot does it, one after the other."""
    for name in ("chain", "key"):
        new = getattr(pair, name).with_suffix(".new")
        shutil.copyfile(getattr(source, name), new)
        new.replace(getattr(pair, name))


def serving(pair: KeyPair, *arguments: str) -> Serving:
    return Serving("--port", "0", "--tls-cert", str(pair.chain), "--tls-key", str(pair.key), *(arguments or (MOUNT,)))


def port_of(server: Serving) -> int:
    start, _, rest = server.first.partition("https://127.0.0.1:")
    assert start == "docstore: serving on ", server.first
    return int(rest.partition("/")[0])


@contextmanager
def connected(port: int, context: ssl.SSLContext, name: str | None = NAME) -> Iterator[ssl.SSLSocket]:
    plain = socket.create_connection(("127.0.0.1", port), WAITS_S)
    with plain, context.wrap_socket(plain, server_hostname=name) as secured:
        yield secured


def status(connection: ssl.SSLSocket) -> bytes:
    connection.sendall(b"HEAD /docs/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return connection.recv(65536)[:12]


def certificate_at(port: int, *, name: str | None = NAME) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connected(port, context, name) as connection:
        return connection.getpeercert(binary_form=True)


def der(pair: KeyPair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.chain.read_text())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_new_certificate_is_used_and_connections_stay(
    installed: KeyPair, pairs: list[KeyPair], tmp_path: Path, workers: str
) -> None:
    mount = f"--mount=docs=sqlite:{tmp_path}/docs.db"
    with serving(installed, "--workers", workers, mount) as server:
        port = port_of(server)
        with connected(port, trusting(pairs[0])) as connection:
            assert status(connection) == b"HTTP/1.1 200"
            install(pairs[1], installed)
            server.process.send_signal(signal.SIGHUP)
            deadline_s, new = time.monotonic() + WAITS_S, 0
            while new < 10:  # in a row, so that each worker is reached; half of them without a name
                assert time.monotonic() < deadline_s
                time.sleep(0.1)
                name = NAME if new % 2 else None
                new = new + 1 if certificate_at(port, name=name) == der(pairs[1]) else 0
            assert status(connection) == b"HTTP/1.1 200"
        assert server.stop() == 0


def test_the_cookie_of_a_login_is_for_https_only(installed: KeyPair, pairs: list[KeyPair], tmp_path: Path) -> None:
    text = Tokens(tmp_path).create(rights=["list"]).text
    with serving(installed, "--data", str(tmp_path), "--auth", "tokens", MOUNT) as server:
        port = port_of(server)
        with closing(HTTPSConnection(NAME, port, timeout=WAITS_S, context=trusting(pairs[0]))) as client:
            client.request("POST", "/-/login", f"token={text}", {"Content-Type": "application/x-www-form-urlencoded"})
            answer = client.getresponse()
            answer.read()
            pair, *attributes = (answer.headers["Set-Cookie"] or "").split("; ")
            assert pair.startswith(f"__Host-docstore-session-{port}=")
            assert {"Path=/", "HttpOnly", "SameSite=Strict", "Secure"} < set(attributes)
            for sent, expected in ((pair, 200), (pair.removeprefix("__Host-"), 401)):
                client.request("HEAD", "/docs/", headers={"Cookie": sent})
                answer = client.getresponse()
                answer.read()
                assert answer.status == expected
        assert server.stop() == 0


def test_a_pair_that_does_not_match_is_not_used(installed: KeyPair, pairs: list[KeyPair]) -> None:
    with serving(installed) as server:
        port = port_of(server)
        for broken in (pairs[1].chain.read_bytes(), b"", b"-----BEGIN CERTIFICATE-----\n"):
            installed.chain.write_bytes(broken)
            line = server.process.stderr.readline()
            while "not used" not in line:
                assert line
                line = server.process.stderr.readline()
            assert certificate_at(port) == der(pairs[0])
        installed.chain.unlink()
        assert "No such file" in server.process.stderr.readline()
        install(pairs[0], installed)
        assert "a new certificate is used" in server.process.stderr.readline()
        assert server.stop() == 0


def test_a_start_without_a_usable_pair_is_one_line(installed: KeyPair, pairs: list[KeyPair], tmp_path: Path) -> None:
    def said(chain: Path, key: Path | None) -> str:
        return refused("--tls-cert", str(chain), *(["--tls-key", str(key)] if key else []), MOUNT)

    none = tmp_path / "none.pem"
    encrypted = tmp_path / "encrypted.pem"
    subprocess.run(
        ["openssl", "ec", "-aes256", "-passout", "pass:secret", "-in", installed.key, "-out", encrypted],
        check=True, capture_output=True,
    )  # fmt: skip
    none.write_text("nothing")
    assert f"No such file or directory: {tmp_path}/gone" in said(tmp_path / "gone", installed.key)
    assert "TLS: key values mismatch" in said(pairs[1].chain, installed.key)
    assert "TLS: " in said(none, installed.key)
    assert "TLS: " in said(installed.chain, None)
    assert "passphrase" in said(installed.chain, encrypted)
    assert "tls_key needs tls_cert" in refused("--tls-key", str(installed.key), MOUNT)
    folder = f"--mount=docs=file:{tmp_path}"
    assert "key.pem, the private key" in refused("--tls-cert", str(none), "--tls-key", str(installed.key), folder)
    assert "none.pem, the private key" in refused("--tls-cert", str(none), folder)


def test_one_file_may_have_both(installed: KeyPair, pairs: list[KeyPair], tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(installed.key.read_bytes() + installed.chain.read_bytes())
    server = Serving("--port", "0", "--tls-cert", str(both), MOUNT)
    with server, connected(port_of(server), trusting(pairs[0])) as connection:
        assert status(connection) == b"HTTP/1.1 200"


def test_old_protocols_and_plain_http_get_nothing(installed: KeyPair, pairs: list[KeyPair]) -> None:
    with serving(installed) as server:
        context = trusting(pairs[0])
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)), connected(port_of(server), context):
            pass
        with socket.create_connection(("127.0.0.1", port_of(server)), WAITS_S) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"HTTP" not in plain.recv(65536)
        with connected(port_of(server), trusting(pairs[0])) as connection:
            assert status(connection) == b"HTTP/1.1 200"
        assert server.stop() == 0
    assert "Traceback" not in server.errors


def test_a_client_that_never_shakes_hands_is_disconnected(installed: KeyPair) -> None:
    server = serving(installed, "--limit", "head_s=0.5", MOUNT)
    with server, socket.create_connection(("127.0.0.1", port_of(server)), WAITS_S) as silent:
        assert silent.recv(10) == b""


def test_content_that_ends_without_a_farewell_is_not_stored(installed: KeyPair, pairs: list[KeyPair]) -> None:
    """Whoever cuts the TCP connection can't make a part of a document look complete."""
    with serving(installed) as server:
        with connected(port_of(server), trusting(pairs[0])) as connection:
            connection.sendall(
                b"PUT /docs/cut HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
            )
            os.close(connection.detach())
        with connected(port_of(server), trusting(pairs[0])) as connection:
            assert status(connection) == b"HTTP/1.1 200"
            connection.sendall(b"GET /docs/cut HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 404"


def test_a_page_on_http_is_another_origin(installed: KeyPair, pairs: list[KeyPair]) -> None:
    """Whoever controls the network can forge pages on http of this host."""
    with serving(installed) as server, connected(port_of(server), trusting(pairs[0])) as connection:
        for scheme, expected in ((b"http", b"HTTP/1.1 403"), (b"https", b"HTTP/1.1 201")):
            connection.sendall(
                b"PUT /docs/a HTTP/1.1\r\nHost: localhost\r\nOrigin: %b://localhost\r\nContent-Length: 1\r\n\r\nx"
                % scheme
            )
            assert connection.recv(65536)[:12] == expected


def test_a_pair_that_could_not_be_read_for_a_moment_is_loaded_later(
    installed: KeyPair, pairs: list[KeyPair], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = Certificate(installed.chain, installed.key)
    certificate.context()

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    install(pairs[1], installed)
    with monkeypatch.context() as patched, caplog.at_level("INFO", "docstore"):
        patched.setattr(ssl.SSLContext, "load_cert_chain", fail)
        for _ in range(3):
            certificate.reload()
    with caplog.at_level("INFO", "docstore"):
        for _ in range(3):
            certificate.reload()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
