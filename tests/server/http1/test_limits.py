"""Every limit on a real server: what happens at it and one past it. No test asserts on durations."""

import resource
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from docstore.limits import Limits
from docstore.server.errors import PROBLEM_TYPES
from docstore.server.http1.parser import CACHED_HEAD_COUNT, CACHED_HEAD_LINES, CACHED_HEAD_SIZE, take_head
from tests.server.http1.raw_client import GET, WAITS_S, RawClient, ask, put, request
from tests.server.http1.server import HTTP1Server

LIMITS = Limits(
    head_s=0.5,
    body_idle_s=1,
    answer_idle_s=0.5,
    keep_alive_s=0.5,
    linger_s=0.5,
    lowest_rate=1000,
    request_count=5,
    connection_count=3000,
)


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTTP1Server]:
    with HTTP1Server(tmp_path_factory.mktemp("data"), LIMITS) as server:
        assert ask(server.port, put(b"known", b"hello")).status == 201
        yield server


def filled(start: bytes, size: int, end: bytes) -> bytes:
    return start + b"x" * (size - len(start) - len(end)) + end


def test_a_request_line_at_the_limit_is_accepted_and_a_longer_one_is_414(port: int) -> None:
    for size, statuses in ((8000, {404}), (Limits().line_size, {404}), (Limits().line_size + 1, {414})):
        line = filled(b"GET /docs/known?", size, b" HTTP/1.1")
        with RawClient(port) as raw:
            raw.send(line, b"\r\nHost: localhost\r\n\r\n")
            answer = raw.answer()
            assert answer.status in statuses | {200, 400} - {414}, size
            assert (answer.status == 414) == (414 in statuses)


def test_an_endless_request_line_is_414(port: int) -> None:
    with RawClient(port) as raw:
        raw.send(b"GET /" + b"x" * 20_000)
        assert raw.answer().status == 414
        assert raw.is_closed()


def test_a_header_section_at_the_limit_is_accepted_and_a_larger_one_is_431(port: int) -> None:
    for extra, status in ((0, 200), (1, 431)):
        section = filled(b"Host: localhost\r\nA: ", Limits().head_size + extra, b"")
        with RawClient(port) as raw:
            raw.send(b"GET /docs/known HTTP/1.1\r\n", section[:-2], b"\r\n\r\n")
            assert raw.answer().status == status


def test_an_endless_header_section_is_431(port: int) -> None:
    with RawClient(port) as raw:
        raw.send(b"GET /docs/known HTTP/1.1\r\n", b"A: b\r\n" * 20_000)
        assert raw.answer().status == 431
        assert raw.is_closed()


def test_fields_at_the_limit_are_accepted_and_one_more_is_431(port: int) -> None:
    for count, status in ((Limits().field_count - 1, 200), (Limits().field_count, 431)):
        assert ask(port, request(b"GET /docs/known", *[b"A: b"] * count)).status == status


@pytest.mark.parametrize("start", [b"G", b"GET /docs/known HTTP/1.1\r\n", GET[:-2]], ids=["letter", "line", "almost"])
def test_a_head_that_takes_too_long_is_408(hurried: HTTP1Server, start: bytes) -> None:
    with RawClient(hurried.port) as raw:
        raw.send(start)
        answer = raw.answer()
        assert (answer.status, answer.get("connection")) == (408, "close")
        assert raw.is_closed()


def test_a_head_that_arrives_byte_by_byte_is_408(hurried: HTTP1Server) -> None:
    with RawClient(hurried.port) as raw:
        sending = True

        def send() -> None:
            while sending:
                try:
                    raw.send(b"x")
                except OSError:
                    return
                time.sleep(0.02)

        raw.send(b"GET /")
        thread = threading.Thread(target=send)
        thread.start()
        try:
            assert raw.answer().status == 408
        finally:
            sending = False
            thread.join()


def test_a_second_head_has_its_own_time(hurried: HTTP1Server) -> None:
    with RawClient(hurried.port) as raw:
        raw.send(GET, GET[:-2])
        assert raw.answer().status == 200
        assert raw.answer().status == 408


def test_a_new_connection_without_any_byte_is_closed(hurried: HTTP1Server) -> None:
    with RawClient(hurried.port) as raw:
        assert raw.is_closed()


def test_a_connection_idle_between_requests_is_closed(hurried: HTTP1Server) -> None:
    with RawClient(hurried.port) as raw:
        raw.send(GET)
        assert raw.answer().get("connection") is None
        assert raw.is_closed()


@pytest.mark.parametrize("field", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_a_body_that_pauses_is_408_and_is_not_stored(hurried: HTTP1Server, field: bytes) -> None:
    with RawClient(hurried.port) as raw:
        raw.send(request(b"PUT /docs/paused", field), b"1\r\nx\r\n")
        answer = raw.answer()
        assert (answer.status, answer.get("connection")) == (408, "close")
        assert raw.is_closed()
    assert ask(hurried.port, request(b"GET /docs/paused")).status == 404


def test_a_body_that_is_slower_than_the_lowest_rate_is_408(hurried: HTTP1Server) -> None:
    with RawClient(hurried.port) as raw:
        raw.send(request(b"PUT /docs/slow", b"Content-Length: 100000"))
        ended = threading.Event()

        def send() -> None:
            while not ended.wait(0.05):
                try:
                    raw.send(b"x")
                except OSError:
                    return

        thread = threading.Thread(target=send)
        thread.start()
        try:
            assert raw.answer().status == 408
        finally:
            ended.set()
            thread.join()


def test_a_body_that_keeps_the_lowest_rate_is_accepted_however_long_it_takes(hurried: HTTP1Server) -> None:
    with RawClient(hurried.port) as raw:
        raw.send(request(b"PUT /docs/steady", b"Content-Length: 100000"))
        for _ in range(50):
            raw.send(b"x" * 2000)
            time.sleep(0.05)
        assert raw.answer().status == 201


def test_waiting_for_100_has_no_time_limit(hurried: HTTP1Server) -> None:
    with RawClient(hurried.port) as raw:
        raw.send(request(b"PUT /docs/asked", b"Content-Length: 5", b"Expect: 100-continue"))
        assert raw.any_answer().status == 100
        assert raw.answer().status == 408


def test_waiting_for_the_store_has_no_time_limit(hurried: HTTP1Server) -> None:
    assert ask(hurried.port, request(b"GET /test/waits?2")).content == b"done\n"


@pytest.mark.parametrize("path", [b"/test/endless", b"/file/large"])
def test_a_response_that_the_client_does_not_read_is_aborted(hurried: HTTP1Server, path: bytes) -> None:
    size = 16 << 20
    if path == b"/file/large":
        body = request(b"PUT " + path, b"Content-Length: %d" % size, body=b"x" * size)
        assert ask(hurried.port, body).status in (200, 201)
    before = min(
        sockets_of(hurried) for _ in range(10) if not time.sleep(0.03)
    )  # the previous client may still be disconnecting
    with RawClient(hurried.port, receive_size=4096) as raw:
        raw.send(request(b"GET " + path))
        raw.socket.recv(100)
        deadline_s = time.monotonic() + WAITS_S
        while sockets_of(hurried) > before:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert len(raw.rest()) < size


@pytest.mark.parametrize("path", [b"/docs/slow", b"/file/slow"])
def test_a_client_that_reads_at_the_lowest_rate_gets_the_whole_response(hurried: HTTP1Server, path: bytes) -> None:
    """The system's buffer takes megabytes at once, and then nothing for as long as a third of it is not read."""
    size = 16 << 20
    body = request(b"PUT " + path, b"Content-Length: %d" % size, body=b"x" * size)
    assert ask(hurried.port, body).status in (200, 201)
    with RawClient(hurried.port, receive_size=8192) as raw:
        raw.send(request(b"GET " + path, b"Connection: close"))
        start, end_s = b"", time.monotonic() + 4 * LIMITS.answer_idle_s
        while time.monotonic() < end_s:
            start += raw.socket.recv(2000)
            time.sleep(0.02)
        content = (start + raw.rest()).partition(b"\r\n\r\n")[2]
        assert len(content) == size


def sockets_of(server: HTTP1Server) -> int:
    count = 0
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            count += str(link.readlink()).startswith("socket:")
    return count


def test_the_response_to_the_last_request_has_connection_close(hurried: HTTP1Server) -> None:
    with RawClient(hurried.port) as raw:
        raw.send(GET * 10)
        assert [raw.answer().get("connection") for _ in range(5)] == [None] * 4 + ["close"]
        assert raw.is_closed()


def test_a_client_that_keeps_sending_after_the_last_response_is_disconnected(hurried: HTTP1Server) -> None:
    with RawClient(hurried.port) as raw:
        raw.send(b"nonsense\r\n\r\n")
        assert raw.answer().status == 400
        raw.send_until_it_fails()


@pytest.mark.parametrize("limit", ["connection_count", "address_connection_count"])
def test_one_connection_past_the_limit_is_503_and_the_others_are_served(tmp_path: Path, limit: str) -> None:
    wait = str(PROBLEM_TYPES["unavailable"].retry_after_s)
    with HTTP1Server(tmp_path, Limits(**{limit: 3})) as server:
        raws = [RawClient(server.port) for _ in range(3)]
        for raw in raws:
            raw.send(GET)
            assert raw.answer().status == 404
        with RawClient(server.port) as late:
            answer = late.answer()
            assert (answer.status, answer.get("connection"), answer.get("retry-after")) == (503, "close", wait)
            assert late.is_closed()
        assert raws[0].is_open()
        raws.pop().socket.close()
        deadline_s = time.monotonic() + WAITS_S
        while ask(server.port, GET).status == 503:
            assert time.monotonic() < deadline_s
        for raw in raws:
            raw.socket.close()


def test_connections_far_past_the_limit_are_closed_without_a_response(tmp_path: Path) -> None:
    with HTTP1Server(tmp_path, Limits(connection_count=1)) as server:
        raws = [RawClient(server.port) for _ in range(150)]
        raws[0].send(GET)
        assert raws[0].answer().status == 404
        assert raws[-1].is_closed()
        for raw in raws:
            raw.socket.close()


def test_other_addresses_are_served_when_one_has_too_many_connections(tmp_path: Path) -> None:
    with (
        HTTP1Server(tmp_path, Limits(address_connection_count=2)) as server,
        RawClient(server.port) as one,
        RawClient(server.port) as two,
        RawClient(server.port) as three,
        RawClient(server.port, source="127.0.0.2") as other,
    ):
        one.send(GET)
        two.send(GET)
        assert [one.answer().status, two.answer().status, three.answer().status] == [404, 404, 503]
        assert other.is_open()


SLOW = {
    "silent": b"",
    "half-a-head": GET[:-2],
    "half-a-body": request(b"PUT /docs/slow", b"Content-Length: 100") + b"x",
    "half-a-chunk": request(b"PUT /docs/slow", b"Transfer-Encoding: chunked") + b"5\r\nx",
    "never-reading": request(b"GET /test/large"),
    "waiting": request(b"GET /test/waits?5"),
}


@pytest.mark.parametrize("start", SLOW.values(), ids=SLOW)
def test_a_thousand_slow_clients_do_not_slow_the_others(tmp_path: Path, start: bytes) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    with HTTP1Server(tmp_path) as server:
        raws = [RawClient(server.port, receive_size=4096) for _ in range(1000)]
        for raw in raws:
            raw.send(start)
        with RawClient(server.port) as raw:
            for number in range(300):
                raw.send(put(b"quick", b"%d" % number), request(b"GET /docs/quick"))
                assert raw.answer().status in (200, 201)
                assert raw.answer().content == b"%d" % number
        assert server.memory() < 300 << 20
        for raw in raws:
            raw.reset()


@pytest.mark.parametrize("fields", [3, CACHED_HEAD_LINES, 95])
def test_cached_heads_take_a_bounded_amount_of_memory_however_many_fields_they_have(fields: int) -> None:
    tracemalloc.start()
    try:
        for number in range(CACHED_HEAD_COUNT + 100):
            lines = b"".join(b"%c%c:\r\n" % (97 + each // 26, 97 + each % 26) for each in range(fields))
            head = b"GET / HTTP/1.1\r\nHost:%d\r\n%s" % (number, lines)
            assert len(head) <= CACHED_HEAD_SIZE
            take_head(head, 100)
        assert tracemalloc.get_traced_memory()[0] < 36 << 20, "of whole heads and of sections"
    finally:
        tracemalloc.stop()
