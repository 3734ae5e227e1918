"""Documents through a real server, the same on each engine: stored whole and under a valid key, or not at all."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.http_client import Client, ask, prepare, send_raw
from tests.server.test_original_session import png
from tests.server_process import MOUNTS, RunningServer

PLAIN_NAMES = True
each_mount = pytest.mark.parametrize("mount", MOUNTS)

CONTENTS = {
    "nothing at all": b"",
    "one NUL byte": b"\0",
    "text with both line ends": b"a\r\nb\nc\r",
    "a picture": png(),
    "every pair of bytes": bytes(n >> s & 0xFF for n in range(65536) for s in (8, 0)),
    "more than goes inline": os.urandom(300_001),
    "several pieces": os.urandom(3 * 1024 * 1024 + 1),
}


@each_mount
@pytest.mark.parametrize("name", CONTENTS)
def test_content_comes_back_byte_for_byte(server: RunningServer, mount: str, name: str) -> None:
    path, content = f"/{mount}/content", CONTENTS[name]
    with Client(server) as client:
        assert client.ask("PUT", path, content, {"content-type": "application/x-test"}).status in (200, 201)
        got = client.ask("GET", path)
        assert (got.status, got.content) == (200, content)
        assert (got["content-type"], got["content-length"]) == ("application/x-test", str(len(content)))
        assert client.ask("DELETE", path).status == 200


@each_mount
def test_chunked_content_is_stored_completely(server: RunningServer, mount: str) -> None:
    chunks = [os.urandom(n) for n in (1, 10_000, 70_000, 200_000, 1)]
    assert ask(server, "PUT", f"/{mount}/chunked", iter(chunks)).status == 201
    assert ask(server, "GET", f"/{mount}/chunked").content == b"".join(chunks)
    prepare(server, "DELETE", f"/{mount}/chunked")


@each_mount
def test_keys_up_to_the_length_limit_are_stored_and_longer_ones_are_rejected(server: RunningServer, mount: str) -> None:
    with Client(server) as client:
        lengths = [*range(1, 10), *range(10, 250, 17), *range(250, 256)]
        for length in lengths:
            key = ("kK0_-" * 51)[:length]
            assert client.ask("PUT", f"/{mount}/{key}", key.encode()).status == 201, length
        for length in lengths:
            key = ("kK0_-" * 51)[:length]
            assert client.ask("GET", f"/{mount}/{key}").content == key.encode()
            assert client.ask("DELETE", f"/{mount}/{key}").status == 200
        assert client.ask("PUT", f"/{mount}/{'k' * 256}", b"").status == 400


@each_mount
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE"])
@pytest.mark.parametrize(
    "key", ["a.b", "a%20b", "%C3%A9", "a%2Fb", "a/b", "%00", "a%0Ab", "a\\b", "%FF", "a%", "k" * 256]
)
def test_an_invalid_key_is_400_for_each_method(server: RunningServer, mount: str, method: str, key: str) -> None:
    assert ask(server, method, f"/{mount}/{key}").status == 400


TRAVERSALS = [
    "..", "../..", "%2e%2e", "%2E%2e/", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..\\..\\etc",
    "..%5c..%5cetc", "%c0%ae%c0%ae/etc/passwd", "%c0%ae%c0%ae%c0%afetc", "%252e%252e%252fetc", "a/../../../etc/passwd",
    "a%00/../../etc/passwd", "%00", "....//....//etc/passwd", "/etc/passwd", "//etc/passwd", "./.docstore/format",
    ".docstore", ".docstore/lock", "%2edocstore%2fformat", "a%ef%bc%8f..", "%uff0e%uff0e", "..;/etc", "file:///etc/passwd",
]  # fmt: skip


@each_mount
def test_traversal_in_any_spelling_reaches_nothing(server: RunningServer, mount: str) -> None:
    for spelling in TRAVERSALS:
        for target in (f"/{mount}/{spelling}", f"http://127.0.0.1:{server.port}/{mount}/{spelling}"):
            for method, content in (("GET", b""), ("PUT", b"root:x:0:0"), ("DELETE", b"")):
                request = (
                    f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n"
                    f"Content-Length: {len(content)}\r\n\r\n"
                ).encode() + content
                answer = send_raw(server, request)
                status = int(answer.split(b" ", 2)[1])
                outside = b"root:" in answer or b"docstore file" in answer  # the mark of a folder of documents
                assert not outside, (target, answer)
                # A path that leaves the mount by plain dot segments is that of the root, or an unknown one.
                assert status in (400, 404, 405) or (status == 200 and method == "GET"), (method, target, answer)


@each_mount
def test_dot_segments_are_removed_before_routing(server: RunningServer, mount: str) -> None:
    assert ask(server, "PUT", f"/{mount}/x/../dotted", b"1").status == 201
    assert ask(server, "GET", f"/{mount}/%2e/dotted").content == b"1"
    assert ask(server, "GET", f"/elsewhere/%2E%2e/{mount}/dotted").content == b"1"
    assert ask(server, "DELETE", f"/{mount}/dotted").status == 200


@each_mount
def test_concurrent_writers_leave_one_complete_document(server: RunningServer, mount: str) -> None:
    contents = [bytes([n]) * (1000 + 20_000 * n) for n in range(12)]

    def write_and_read(content: bytes) -> None:
        with Client(server) as client:
            for _ in range(5):
                assert client.ask("PUT", f"/{mount}/contended", content).status in (200, 201)
                got = client.ask("GET", f"/{mount}/contended")
                assert got.content in contents
                assert int(got["content-length"]) == len(got.content)

    with ThreadPoolExecutor(len(contents)) as pool:
        list(pool.map(write_and_read, contents))
    assert ask(server, "DELETE", f"/{mount}/contended").status == 200


@each_mount
def test_exactly_one_of_many_creations_succeeds(server: RunningServer, mount: str) -> None:
    def create(n: int) -> int:
        return ask(server, "PUT", f"/{mount}/once", b"%d" % n, {"If-None-Match": "*"}).status

    with ThreadPoolExecutor(12) as pool:
        statuses = sorted(pool.map(create, range(12)))
    assert statuses == [201] + [412] * 11
    assert ask(server, "DELETE", f"/{mount}/once").status == 200


@each_mount
@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_truncated_body_changes_nothing(server: RunningServer, mount: str, framing: str) -> None:
    path = f"/{mount}/cut-off"
    assert ask(server, "PUT", path, b"as it was").status in (200, 201)
    part = b"x" * 500 if "Length" in framing else b"1f4\r\n" + b"x" * 500 + b"\r\n"
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode() + part)
    for _ in range(3):
        assert ask(server, "GET", path).content == b"as it was"
    assert ask(server, "DELETE", path).status == 200


def test_documents_survive_a_restart_except_in_memory(data: Path) -> None:
    with RunningServer(data) as server:
        for mount in MOUNTS:
            assert ask(server, "PUT", f"/{mount}/kept", b"kept", {"content-type": "text/x-kept"}).status == 201
        tags = {mount: ask(server, "HEAD", f"/{mount}/kept")["etag"] for mount in MOUNTS}
        assert len(set(tags.values())) == 1, "the same document has the same ETag on every engine"
        server.restart()
        assert ask(server, "GET", "/memory/kept").status == 404
        for mount in MOUNTS[1:]:
            got = ask(server, "GET", f"/{mount}/kept")
            assert (got.content, got["content-type"], got["etag"]) == (b"kept", "text/x-kept", tags[mount])
