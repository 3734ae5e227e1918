"""A server in front of a database or a bucket: a fault at the start is one line, and later 503 until it is mended.

The tests of the engines have the same faults in more detail, and networks that hang, which take long.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from docstore.engines.object_store import opening
from docstore.engines.object_store.opening import open_bucket
from docstore.engines.postgresql import connections
from docstore.engines.shared import clocks
from docstore.testing.server import ServerProcess
from tests.engines.object_store.faulty_proxy import Proxy, Sent, faulty_proxy
from tests.engines.postgresql.servers import disconnect, own_server
from tests.http_client import ask, prepare
from tests.postgresql_server import PostgresServer, postgres_url, shared_server
from tests.stores import run

WITHIN_S = 60


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with faulty_proxy(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with own_server() as server:
        yield server


def url_of(proxy: Proxy) -> str:
    return f"{proxy.url.scheme}:{proxy.url.location}?endpoint={proxy.url.options['endpoint']}"


def refused_start(url: str) -> str:
    ended = run("serve", "--port", "0", "--mount", f"docs={url}")
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1), ended
    return ended.err


def refuse(status: int, code: str) -> Callable[[Sent], None]:
    def rule(sent: Sent) -> None:
        sent.refuse = status, code

    return rule


def ignore_conditions(sent: Sent) -> None:
    sent.headers = {name: value for name, value in sent.headers.items() if not name.lower().startswith("if-")}


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (refuse(403, "InvalidAccessKeyId"), "access denied (InvalidAccessKeyId)"),
        (refuse(403, "RequestTimeTooSkewed"), "access denied (RequestTimeTooSkewed)"),
        (refuse(404, "NoSuchBucket"), "the bucket does not exist"),
        (ignore_conditions, "racing writes"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_refused_in_one_line(
    proxy: Proxy, rule: Callable[[Sent], None], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_raced", set())
    proxy.rule = rule
    assert why in refused_start(url_of(proxy))


def test_a_bucket_of_a_newer_format_is_refused_in_one_line(proxy: Proxy) -> None:
    _, direct = open_bucket(proxy.url)
    direct.put("format", b"2")
    assert "newer Docstore" in refused_start(url_of(proxy))


@pytest.mark.parametrize("scheme", ["s3", "postgresql"])
def test_a_storage_that_does_not_answer_is_refused_in_one_line(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "REQUEST_TIMEOUT_S", 1)
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        urls = {"s3": f"s3://docs/silent?endpoint=http://{address}", "postgresql": f"postgresql://docs@{address}/docs"}
        assert "no answer in time" in refused_start(urls[scheme])


@pytest.mark.parametrize("scheme", ["s3", "postgresql"])
def test_a_clock_that_is_ahead_is_refused_in_one_line(
    tmp_path: Path, proxy: Proxy, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_raced", set())
    monkeypatch.setattr(clocks, "time", lambda: time.time() + 600)
    url = url_of(proxy) if scheme == "s3" else postgres_url(tmp_path)
    assert "clock of this machine is" in refused_start(url)


def test_a_database_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path) -> None:
    url, port = postgres_url(tmp_path), shared_server().port
    assert 'role "nobody" does not exist' in refused_start(f"postgresql://nobody@127.0.0.1:{port}/postgres")
    assert 'database "nowhere" does not exist' in refused_start(f"postgresql://docs@127.0.0.1:{port}/nowhere")
    assert run("put", f"{url}#key", data=b"").status == 0
    shared_server().sql(f"UPDATE {url.partition('prefix=')[2]}_schema SET version = 99")
    assert "version 99" in refused_start(url)


@contextmanager
def unavailable(server: ServerProcess) -> Iterator[None]:
    """Check that a server, whose storage has a fault inside, is unavailable, and works again after it."""
    prepare(server, "PUT", "/docs/key", b"before")
    yield
    for method, path in (("GET", "/docs/key"), ("PUT", "/docs/key"), ("GET", "/docs/"), ("GET", "/-/ready")):
        refused = ask(server, method, path, b"refused" if method == "PUT" else None)
        assert (refused.status, refused["Retry-After"]) == (503, "1"), (method, path, refused)
        assert b"unknown" not in refused.content


def assert_recovers(server: ServerProcess) -> None:
    end = time.monotonic() + WITHIN_S
    while (read := ask(server, "GET", "/docs/key")).status == 503:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert (read.status, read.content) == (200, b"before")
    assert ask(server, "PUT", "/docs/key", b"after").status == 200
    assert ask(server, "GET", "/-/ready").status == 200


def test_a_bucket_that_fails_is_unavailable_until_it_is_mended(tmp_path: Path, proxy: Proxy) -> None:
    with ServerProcess(tmp_path, f"--mount=docs={url_of(proxy)}") as server:
        for status, code in ((403, "AccessDenied"), (403, "RequestTimeTooSkewed"), (404, "NoSuchBucket")):
            with unavailable(server):
                proxy.rule = refuse(status, code)
            proxy.rule = lambda sent: None
            assert_recovers(server)
        assert not [line for line in server.errors if "Traceback" in line], server.errors


def test_a_database_that_fails_is_unavailable_until_it_is_mended(tmp_path: Path, database: PostgresServer) -> None:
    database.sql("CREATE DATABASE moving")

    def set_version(version: int) -> None:
        database.sql("\\c moving", f"UPDATE docstore_schema SET version = {version}")

    def make_newer() -> None:
        set_version(99)
        disconnect(database)

    def move() -> None:
        disconnect(database)
        database.sql("ALTER DATABASE moving RENAME TO moved")

    faults: list[tuple[Callable[[], object], Callable[[], object]]] = [
        (make_newer, lambda: set_version(1)),
        (move, lambda: database.sql("ALTER DATABASE moved RENAME TO moving")),
        (lambda: database.stop("immediate"), database.start),
    ]
    with ServerProcess(tmp_path, f"--mount=docs=postgresql://docs@127.0.0.1:{database.port}/moving") as server:
        for begin, end in faults:
            with unavailable(server):
                begin()
            end()
            assert_recovers(server)
        assert not [line for line in server.errors if "Traceback" in line], server.errors
