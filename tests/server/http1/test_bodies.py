"""Request and response bodies on a real server: complete or not at all, and in bounded memory."""

import hashlib
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.certificates import make_certificate
from tests.server.http1.raw_client import WAITS_S, RawClient, ask, put, request
from tests.server.http1.server import HTTP1Server

CHUNKED = b"Transfer-Encoding: chunked"
LARGE = os.urandom(1 << 20) * 8


def in_chunks(data: bytes, size: int) -> bytes:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


TRUNCATED = {
    "counted": (b"Content-Length: 100", b"only this"),
    "counted-with-nothing": (b"Content-Length: 100", b""),
    "counted-and-large": (b"Content-Length: 9000000", LARGE),
    "chunked-within-a-chunk": (CHUNKED, b"64\r\nonly this"),
    "chunked-between-chunks": (CHUNKED, b"9\r\nonly this\r\n"),
    "chunked-before-the-end-of-the-trailers": (CHUNKED, b"9\r\nonly this\r\n0\r\n"),
    "chunked-and-large": (CHUNKED, in_chunks(LARGE, 100_000)[:-5]),
}


@pytest.mark.parametrize("leave", ["half-closes", "closes", "resets"])
@pytest.mark.parametrize(("field", "body"), TRUNCATED.values(), ids=TRUNCATED)
@pytest.mark.parametrize("mount", [b"docs", b"file"])
def test_a_truncated_body_is_never_stored(port: int, mount: bytes, field: bytes, body: bytes, leave: str) -> None:
    path = b"/" + mount + b"/truncated"
    with RawClient(port) as raw:
        raw.send(request(b"PUT " + path, field), body)
        if leave == "half-closes":
            raw.finish_sending()
            answer = raw.answer()
            assert answer.status == 400
            assert answer.content.startswith(b"incomplete content")
            assert raw.is_closed()
        elif leave == "resets":
            raw.reset()
    assert ask(port, request(b"GET " + path)).status == 404


def test_a_truncated_body_behind_another_request_is_rejected_in_its_turn(port: int) -> None:
    with RawClient(port) as raw:
        raw.send(
            request(b"GET /test/waits?0.2"), request(b"PUT /docs/behind", b"Content-Length: 100", body=b"only this")
        )
        raw.finish_sending()
        assert raw.answer().content == b"done\n"
        answer = raw.answer()
        assert (answer.status, answer.content[:18]) == (400, b"incomplete content")
        assert raw.is_closed()
    assert ask(port, request(b"GET /docs/behind")).status == 404


def test_a_connection_lost_while_its_response_waits_for_the_reader_is_removed(http1_server: HTTP1Server) -> None:
    assert ask(http1_server.port, put(b"waited-for", LARGE)).status in (200, 201)
    with RawClient(http1_server.port, receive_size=4096) as raw:
        raw.send(request(b"GET /docs/waited-for"))
        raw.socket.recv(1)
        raw.finish_sending()
        assert len(raw.rest()) > len(LARGE)


@pytest.mark.parametrize("mount", [b"docs", b"file"])
def test_the_old_document_stays_when_its_replacement_is_truncated(port: int, mount: bytes) -> None:
    path = b"/" + mount + b"/kept"
    assert ask(port, request(b"PUT " + path, b"Content-Length: 3", body=b"old")).status == 201
    with RawClient(port) as raw:
        raw.send(request(b"PUT " + path, b"Content-Length: 3", body=b"ne"))
        raw.finish_sending()
        assert raw.answer().status == 400
    assert ask(port, request(b"GET " + path)).content == b"old"


@pytest.mark.parametrize("body", [b"abc", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("field", [b"Content-Length: ", CHUNKED], ids=["counted", "chunked"])
def test_a_client_that_disconnects_after_the_last_byte_has_stored_its_document(
    port: int, body: bytes, field: bytes
) -> None:
    key = hashlib.sha256(body + field).hexdigest().encode()
    with RawClient(port) as raw:
        if field == CHUNKED:
            raw.send(request(b"PUT /file/" + key, field), in_chunks(body, 65_536))
        else:
            raw.send(request(b"PUT /file/" + key, field + b"%d" % len(body)), body)
    deadline_s = time.monotonic() + WAITS_S
    while (answer := ask(port, request(b"GET /file/" + key))).status == 404:
        assert time.monotonic() < deadline_s
    assert answer.content == body


def test_a_write_continues_when_its_client_disconnects(http1_server: HTTP1Server) -> None:
    with RawClient(http1_server.port) as raw:
        raw.send(request(b"PUT /test/store", CHUNKED), in_chunks(b"a body", 2))
    assert http1_server.wait_for("stored ") == "stored 6"


@pytest.mark.parametrize("mount", [b"docs", b"file"])
@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000, len(LARGE)])
def test_bodies_of_any_size_come_back_unchanged(port: int, mount: bytes, size: int) -> None:
    body = LARGE[:size]
    path = b"/" + mount + b"/sized"
    with RawClient(port) as raw:
        raw.send(request(b"PUT " + path, b"Content-Length: %d" % size), body)
        assert raw.answer().status in (200, 201)
        raw.send(request(b"GET " + path))
        assert raw.answer().content == body
        raw.send(request(b"PUT " + path, CHUNKED), in_chunks(body, 7777) if body else b"0\r\n\r\n")
        assert raw.answer().status == 200
        raw.send(request(b"GET " + path), request(b"GET " + path, b"Range: bytes=1-3,5-6"), request(b"GET " + path))
        assert raw.answer().content == body
        assert raw.answer().status in (200, 206, 416)
        assert raw.answer().content == body


def test_a_file_and_the_responses_pipelined_behind_it_keep_their_order(port: int) -> None:
    assert ask(port, request(b"PUT /file/large", b"Content-Length: %d" % len(LARGE), body=LARGE)).status == 201
    with RawClient(port) as raw:
        raw.send(request(b"GET /file/large"), request(b"GET /docs/known"), request(b"GET /file/large"))
        assert raw.answer().content == LARGE
        assert raw.answer().content == b"hello"
        assert raw.answer().content == LARGE


def test_several_ranges_of_a_file_are_joined(port: int) -> None:
    assert ask(port, request(b"PUT /file/ranged", b"Content-Length: %d" % len(LARGE), body=LARGE)).status == 201
    answer = ask(port, request(b"GET /file/ranged", b"Range: bytes=0-999999,2000000-4000000"))
    assert answer.status == 206
    assert LARGE[:1_000_000] in answer.content
    assert LARGE[2_000_000:4_000_001] in answer.content


def test_a_client_that_abandons_a_large_response_leaves_nothing_open(http1_server: HTTP1Server) -> None:
    port, descriptors = http1_server.port, Path(f"/proc/{http1_server.process.pid}/fd")
    assert ask(port, request(b"PUT /file/left", b"Content-Length: %d" % len(LARGE), body=LARGE)).status == 201
    before = len(list(descriptors.iterdir()))
    for _ in range(20):
        with RawClient(port, receive_size=4096) as raw:
            raw.send(request(b"GET /file/left"))
            raw.socket.recv(100)
            raw.reset()
    deadline_s = time.monotonic() + WAITS_S
    while len(list(descriptors.iterdir())) > before:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_nothing_is_generated_for_a_client_that_does_not_read(http1_server: HTTP1Server) -> None:
    with RawClient(http1_server.port, receive_size=65_536) as raw:
        raw.send(request(b"GET /test/endless"))
        raw.socket.recv(100)
        last = ""
        while (made := [line for line in http1_server.output if line.startswith("made")][-1:]) != [last] or not made:
            last = made[0] if made else ""
            time.sleep(0.3)
        megabytes = int(last.split()[1])
        assert megabytes <= 16  # what the buffers of two sockets may hold, and a little
    http1_server.wait_for("endless ended")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_client_that_reads_after_sending_all_gets_a_large_response(tmp_path: Path, loop: str) -> None:
    content, unwanted = LARGE * 3, b"x" * (12 << 20)
    with HTTP1Server(tmp_path, loop=loop) as server:
        for path, *fields in ((b"/docs/large",), (b"/file/large",), (b"/docs/large", b"Range: bytes=0-")):
            stored = request(b"PUT " + path, b"Content-Length: %d" % len(content), body=content)
            assert ask(server.port, stored).status in (200, 201)
            with RawClient(server.port, receive_size=64 * 1024) as raw:
                raw.send(request(b"GET " + path, b"Content-Length: %d" % len(unwanted), *fields, body=unwanted))
                answer = raw.answer()
                assert (answer.status, answer.content == content) == (206 if fields else 200, True)
                assert raw.is_closed()


def test_reading_pauses_when_storage_is_slower(http1_server: HTTP1Server) -> None:
    size = 64 << 20
    with RawClient(http1_server.port) as raw:
        before = http1_server.memory()
        raw.send(request(b"PUT /test/reads_slowly", b"Content-Length: %d" % size))
        raw.send(LARGE[:1000])
        http1_server.wait_for("took one chunk")
        raw.socket.setblocking(False)
        sent, stalls = 1000, 0
        while stalls < 5:
            try:
                sent += raw.socket.send(LARGE[: min(len(LARGE), size - sent)])
                stalls = 0
            except BlockingIOError:
                stalls += 1
                time.sleep(0.1)
        assert sent < size / 2
        assert http1_server.memory() - before < 16 << 20
        raw.socket.settimeout(WAITS_S)
        http1_server.process.send_signal(signal.SIGUSR1)
        while sent < size:
            sent += raw.socket.send(LARGE[: min(len(LARGE), size - sent)])
        assert raw.answer().content == b"%d\n" % size


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_everything_works_over_TLS_and_on_either_loop(tmp_path: Path, loop: str) -> None:
    for tls in (None, make_certificate(tmp_path, "localhost")):
        with HTTP1Server(tmp_path / f"data-{tls is None}", tls=tls, loop=loop) as server:
            with RawClient(server.port) as raw:
                for mount in (b"docs", b"file"):
                    raw.send(request(b"PUT /" + mount + b"/large", CHUNKED), in_chunks(LARGE, 99_999))
                    assert raw.answer().status == 201
                    raw.send(request(b"GET /" + mount + b"/large"), request(b"GET /test/generates"))
                    assert raw.answer().content == LARGE
                    assert raw.answer().content == b"line 0\nline 1\nline 2\n"
            with RawClient(server.port) as raw:
                raw.send(b"nonsense\r\n\r\n")
                assert raw.answer().status == 400


def test_files_are_served_over_a_socket_of_another_family(tmp_path: Path) -> None:
    """A Unix socket, as behind a proxy on the same machine."""
    path = tmp_path / "socket"
    with HTTP1Server(tmp_path / "data", unix=path) as server:
        raw = RawClient.over(socket.AF_UNIX, str(path))
        with raw:
            raw.send(request(b"PUT /file/large", b"Content-Length: %d" % len(LARGE)), LARGE)
            assert raw.answer().status == 201
            raw.send(request(b"GET /file/large"))
            assert raw.answer().content == LARGE
        assert server.process.poll() is None


def test_the_put_helper_is_well_formed() -> None:
    assert put(b"k", b"abc").endswith(b"Content-Length: 3\r\n\r\nabc")
