"""Every limit of the wire on a real server: what happens at it and one past it. Nothing is asserted on how long."""

import resource
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from docstore.limits import Limits
from tests.server.http1.raw import GET, WAITS_S, Raw, ask, put, request
from tests.server.http1.serving import WireServer

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
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireServer]:
    with WireServer(tmp_path_factory.mktemp("data"), LIMITS) as server:
        assert ask(server.port, put(b"known", b"hello")).status == 201
        yield server


def filled(start: bytes, size: int, end: bytes) -> bytes:
    return start + b"x" * (size - len(start) - len(end)) + end


def test_a_request_line_as_long_as_the_limit_is_taken_and_a_longer_one_is_414(port: int) -> None:
    for size, statuses in ((8000, {404}), (Limits().line_size, {404}), (Limits().line_size + 1, {414})):
        line = filled(b"GET /docs/known?", size, b" HTTP/1.1")
        with Raw(port) as raw:
            raw.send(line, b"\r\nHost: localhost\r\n\r\n")
            answer = raw.answer()
            assert answer.status in statuses | {200, 400} - {414}, size
            assert (answer.status == 414) == (414 in statuses)


def test_a_line_that_never_ends_is_414_before_it_ends(port: int) -> None:
    with Raw(port) as raw:
        raw.send(b"GET /" + b"x" * 20_000)
        assert raw.answer().status == 414
        assert raw.is_closed()


def test_a_header_section_as_large_as_the_limit_is_taken_and_a_larger_one_is_431(port: int) -> None:
    for extra, status in ((0, 200), (1, 431)):
        section = filled(b"Host: localhost\r\nA: ", Limits().head_size + extra, b"")
        with Raw(port) as raw:
            raw.send(b"GET /docs/known HTTP/1.1\r\n", section[:-2], b"\r\n\r\n")
            assert raw.answer().status == status


def test_a_section_that_never_ends_is_431_before_it_ends(port: int) -> None:
    with Raw(port) as raw:
        raw.send(b"GET /docs/known HTTP/1.1\r\n", b"A: b\r\n" * 20_000)
        assert raw.answer().status == 431
        assert raw.is_closed()


def test_as_many_fields_as_the_limit_are_taken_and_one_more_is_431(port: int) -> None:
    for count, status in ((Limits().field_count - 1, 200), (Limits().field_count, 431)):
        assert ask(port, request(b"GET /docs/known", *[b"A: b"] * count)).status == status


@pytest.mark.parametrize("start", [b"G", b"GET /docs/known HTTP/1.1\r\n", GET[:-2]], ids=["letter", "line", "almost"])
def test_a_head_that_takes_too_long_is_408(hurried: WireServer, start: bytes) -> None:
    with Raw(hurried.port) as raw:
        raw.send(start)
        answer = raw.answer()
        assert (answer.status, answer.get("connection")) == (408, "close")
        assert raw.is_closed()


def test_a_head_that_comes_byte_by_byte_is_408_too(hurried: WireServer) -> None:
    with Raw(hurried.port) as raw:
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


def test_a_second_head_has_its_own_time(hurried: WireServer) -> None:
    with Raw(hurried.port) as raw:
        raw.send(GET, GET[:-2])
        assert raw.answer().status == 200
        assert raw.answer().status == 408


def test_a_connection_that_is_silent_from_its_beginning_is_closed(hurried: WireServer) -> None:
    with Raw(hurried.port) as raw:
        assert raw.is_closed()


def test_a_connection_that_is_silent_between_requests_is_closed(hurried: WireServer) -> None:
    with Raw(hurried.port) as raw:
        raw.send(GET)
        assert raw.answer().get("connection") is None
        assert raw.is_closed()


@pytest.mark.parametrize("field", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_a_body_that_pauses_is_408_and_is_not_stored(hurried: WireServer, field: bytes) -> None:
    with Raw(hurried.port) as raw:
        raw.send(request(b"PUT /docs/paused", field), b"1\r\nx\r\n")
        answer = raw.answer()
        assert (answer.status, answer.get("connection")) == (408, "close")
        assert raw.is_closed()
    assert ask(hurried.port, request(b"GET /docs/paused")).status == 404


def test_a_body_that_is_slower_than_the_lowest_rate_is_408(hurried: WireServer) -> None:
    with Raw(hurried.port) as raw:
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


def test_a_body_that_keeps_its_rate_is_taken_however_long_it_lasts(hurried: WireServer) -> None:
    with Raw(hurried.port) as raw:
        raw.send(request(b"PUT /docs/steady", b"Content-Length: 100000"))
        for _ in range(50):
            raw.send(b"x" * 2000)
            time.sleep(0.05)
        assert raw.answer().status == 201


def test_who_was_not_told_to_continue_is_not_hurried(hurried: WireServer) -> None:
    with Raw(hurried.port) as raw:
        raw.send(request(b"PUT /docs/asked", b"Content-Length: 5", b"Expect: 100-continue"))
        assert raw.any_answer().status == 100
        assert raw.answer().status == 408


def test_a_store_that_takes_its_time_is_not_cut_off(hurried: WireServer) -> None:
    assert ask(hurried.port, request(b"GET /test/waits?2")).content == b"done\n"


@pytest.mark.parametrize("path", [b"/test/endless", b"/file/large"])
def test_an_answer_that_nobody_reads_ends(hurried: WireServer, path: bytes) -> None:
    size = 16 << 20
    if path == b"/file/large":
        body = request(b"PUT " + path, b"Content-Length: %d" % size, body=b"x" * size)
        assert ask(hurried.port, body).status in (200, 201)
    before = min(sockets_of(hurried) for _ in range(10) if not time.sleep(0.03))  # who asked before is leaving still
    with Raw(hurried.port, receive_size=4096) as raw:
        raw.send(request(b"GET " + path))
        raw.socket.recv(100)
        deadline_s = time.monotonic() + WAITS_S
        while sockets_of(hurried) > before:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert len(raw.rest()) < size


def sockets_of(server: WireServer) -> int:
    count = 0
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            count += str(link.readlink()).startswith("socket:")
    return count


def test_the_last_request_of_a_connection_says_so(hurried: WireServer) -> None:
    with Raw(hurried.port) as raw:
        raw.send(GET * 10)
        assert [raw.answer().get("connection") for _ in range(5)] == [None] * 4 + ["close"]
        assert raw.is_closed()


def test_a_client_that_sends_on_after_the_last_answer_is_dropped_in_time(hurried: WireServer) -> None:
    with Raw(hurried.port) as raw:
        raw.send(b"nonsense\r\n\r\n")
        assert raw.answer().status == 400
        raw.send_until_it_fails()


@pytest.mark.parametrize("limit", ["connection_count", "address_connection_count"])
def test_one_connection_too_many_is_503_and_the_others_are_served(tmp_path: Path, limit: str) -> None:
    with WireServer(tmp_path, Limits(**{limit: 3})) as server:
        raws = [Raw(server.port) for _ in range(3)]
        for raw in raws:
            raw.send(GET)
            assert raw.answer().status == 404
        with Raw(server.port) as late:
            answer = late.answer()
            assert (answer.status, answer.get("connection"), answer.get("retry-after")) == (503, "close", "1")
            assert late.is_closed()
        assert raws[0].is_open()
        raws.pop().socket.close()
        deadline_s = time.monotonic() + WAITS_S
        while ask(server.port, GET).status == 503:
            assert time.monotonic() < deadline_s
        for raw in raws:
            raw.socket.close()


def test_far_too_many_connections_are_closed_unanswered(tmp_path: Path) -> None:
    with WireServer(tmp_path, Limits(connection_count=1)) as server:
        raws = [Raw(server.port) for _ in range(150)]
        raws[0].send(GET)
        assert raws[0].answer().status == 404
        assert raws[-1].is_closed()
        for raw in raws:
            raw.socket.close()


def test_another_address_is_served_when_one_has_too_many(tmp_path: Path) -> None:
    with (
        WireServer(tmp_path, Limits(address_connection_count=2)) as server,
        Raw(server.port) as one,
        Raw(server.port) as two,
        Raw(server.port) as three,
        Raw(server.port, source="127.0.0.2") as other,
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
    with WireServer(tmp_path) as server:
        raws = [Raw(server.port, receive_size=4096) for _ in range(1000)]
        for raw in raws:
            raw.send(start)
        with Raw(server.port) as raw:
            for number in range(300):
                raw.send(put(b"quick", b"%d" % number), request(b"GET /docs/quick"))
                assert raw.answer().status in (200, 201)
                assert raw.answer().content == b"%d" % number
        assert server.memory() < 300 << 20
        for raw in raws:
            raw.reset()
