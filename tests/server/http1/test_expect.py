"""Expect: 100-continue, and responses to clients that are still sending, on a real server."""

import pytest

from tests.server.http1.raw_client import GET, RawClient, request

OVER_TLS = True

EXPECT = b"Expect: 100-continue"


def test_a_wanted_body_gets_100(port: int) -> None:
    with RawClient(port) as raw:
        raw.send(request(b"PUT /docs/expected", b"Content-Length: 5", EXPECT))
        assert raw.any_answer().status == 100
        raw.send(b"hello")
        assert raw.answer().status == 201
        assert raw.is_open()


def test_a_wanted_chunked_body_gets_100(port: int) -> None:
    with RawClient(port) as raw:
        raw.send(request(b"PUT /docs/expected-chunked", b"Transfer-Encoding: chunked", b"expect: 100-Continue"))
        assert raw.any_answer().status == 100
        raw.send(b"5\r\nhello\r\n0\r\n\r\n")
        assert raw.answer().status == 201


FINAL = {
    "401": (request(b"PUT /test/never_reads?401", b"Content-Length: 5", EXPECT), 401),
    "403": (request(b"PUT /test/never_reads", b"Content-Length: 5", EXPECT), 403),
    "404": (request(b"PUT /nowhere/x", b"Content-Length: 5", EXPECT), 404),
    "405": (request(b"PUT /-/health", b"Content-Length: 5", EXPECT), 405),
    "412": (request(b"PUT /docs/known", b"Content-Length: 5", b"If-None-Match: *", EXPECT), 412),
    "413": (request(b"PUT /small/x", b"Content-Length: 1001", EXPECT), 413),
    "415": (request(b"PATCH /docs/known", b"Content-Length: 5", b"Content-Type: text/plain", EXPECT), 415),
    "417": (request(b"PUT /docs/x", b"Content-Length: 5", b"Expect: the-unexpected"), 417),
    "431": (request(b"PUT /docs/x", b"Content-Length: 5", EXPECT, *[b"A: b"] * 200), 431),
    "501": (request(b"BREW /docs/x", b"Content-Length: 5", EXPECT), 501),
}


@pytest.mark.parametrize(("data", "status"), FINAL.values(), ids=FINAL)
def test_an_unwanted_body_gets_no_100(port: int, data: bytes, status: int) -> None:
    with RawClient(port) as raw:
        raw.send(data)
        answer = raw.any_answer()
        assert answer.status == status
        if EXPECT in data:
            assert answer.get("connection") == "close"
            assert raw.is_closed()


def test_a_body_sent_at_once_needs_no_100(port: int) -> None:
    with RawClient(port) as raw:
        raw.send(request(b"PUT /docs/unasked", b"Content-Length: 10", EXPECT, body=b"hello"))
        raw.send(b"hello")
        assert raw.any_answer().status == 201


def test_no_body_needs_no_100(port: int) -> None:
    with RawClient(port) as raw:
        raw.send(request(b"PUT /docs/empty", b"Content-Length: 0", EXPECT))
        assert raw.any_answer().status == 201


def test_HTTP_1_0_gets_no_100(port: int) -> None:
    with RawClient(port) as raw:
        raw.send(b"PUT /docs/old HTTP/1.0\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        raw.send(b"hello")
        assert raw.any_answer().status == 201


def test_the_100_comes_after_the_responses_before_it(port: int) -> None:
    with RawClient(port) as raw:
        raw.send(request(b"GET /test/waits?0.1"), request(b"PUT /docs/later", b"Content-Length: 5", EXPECT))
        assert raw.any_answer().content == b"done\n"
        assert raw.any_answer().status == 100
        raw.send(b"hello")
        assert raw.answer().status == 201


@pytest.mark.parametrize("framing", ["counted", "chunked"])
def test_after_an_early_response_a_small_rest_is_dropped_and_the_connection_kept(port: int, framing: str) -> None:
    with RawClient(port) as raw:
        if framing == "counted":
            raw.send(request(b"PUT /test/never_reads", b"Content-Length: 100000"), b"x" * 1000)
            rest = b"x" * 99_000
        else:
            raw.send(request(b"PUT /test/never_reads", b"Transfer-Encoding: chunked"), b"3e8\r\n" + b"x" * 1000)
            rest = b"\r\n182b8\r\n" + b"x" * 99_000 + b"\r\n0\r\n\r\n"
        answer = raw.answer()
        assert (answer.status, answer.get("connection")) == (403, None)
        raw.send(rest, GET)
        assert raw.answer().content == b"hello"


@pytest.mark.parametrize("framing", ["counted", "chunked"])
def test_a_client_that_sends_much_more_before_it_reads_gets_an_early_response(port: int, framing: str) -> None:
    size = 8 << 20
    with RawClient(port) as raw:
        if framing == "counted":
            raw.send(request(b"PUT /docs/known", b"Content-Length: %d" % size, b"If-None-Match: *"), b"x" * size)
        else:
            raw.send(request(b"PUT /docs/known", b"Transfer-Encoding: chunked", b"If-None-Match: *"))
            raw.send(b"%x\r\n" % size, b"x" * size, b"\r\n0\r\n\r\n")
        answer = raw.answer()
        assert answer.status == 412
        assert raw.is_closed()


def test_bytes_after_a_rejected_body_are_not_a_request(port: int) -> None:
    with RawClient(port) as raw:
        raw.send(request(b"PUT /small/x", b"Content-Length: 5000000", EXPECT))
        assert raw.answer().status == 413
        raw.send(GET)
        assert raw.is_closed()
