"""The rules of RFC 9112 on raw sockets and a real server; ids are the sections they come from."""

import re
import signal
from email.utils import parsedate_to_datetime

import pytest

from docstore.server.http1.parser import ProtocolError, parse_fields
from tests.server.http1.raw_client import GET, RawClient, ask, put, request
from tests.server.http1.server import HTTP1Server

OVER_TLS = True

HOST = b"Host: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked"

REFUSED = {
    "2.2-bare-LF": (b"GET /docs/known HTTP/1.1\nHost: localhost\n\n", 400),
    "2.2-bare-LF-in-the-section": (b"GET /docs/known HTTP/1.1\r\nHost: localhost\nA: b\r\n\r\n", 400),
    "2.2-bare-CR": (b"GET /docs/known HTTP/1.1\r\nHost: localhost\r\nA: b\rc\r\n\r\n", 400),
    "2.2-whitespace-before-the-first-field": (b"GET /docs/known HTTP/1.1\r\n " + HOST + b"\r\n", 400),
    "2.3-HTTP/2.0": (b"GET /docs/known HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    "2.3-HTTP/0.9": (b"GET /docs/known HTTP/0.9\r\n" + HOST + b"\r\n", 505),
    "2.3-no-version": (b"GET /docs/known\r\n" + HOST + b"\r\n", 400),
    "2.3-lower-case-version": (b"GET /docs/known http/1.1\r\n" + HOST + b"\r\n", 400),
    "2.3-another-protocol": (b"GET /docs/known RTSP/1.0\r\n" + HOST + b"\r\n", 400),
    "2.3-two-digits": (b"GET /docs/known HTTP/1.10\r\n" + HOST + b"\r\n", 400),
    "9113-3.4-preface-of-HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "3-two-spaces": (b"GET  /docs/known HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "3-tab": (b"GET\t/docs/known HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "3-space-in-the-target": (b"GET /docs/kno wn HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "3-space-after-the-version": (b"GET /docs/known HTTP/1.1 \r\n" + HOST + b"\r\n", 400),
    "3.1-method-that-is-no-token": (b"G(T /docs/known HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "3.1-endless-method": (b"G" * 70_000, 501),
    "3.2-control-character-in-the-target": (b"GET /docs/\x7f HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "3.2-raw-UTF-8-in-the-target": ("GET /docs/é HTTP/1.1\r\n".encode() + HOST + b"\r\n", 400),
    "3.2-fragment": (b"GET /docs/known#there HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "3.2-fragment-in-absolute-form": (request(b"GET http://localhost/docs/known#there"), 400),
    "3.2-no-slash": (b"GET docs/known HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "3.2-Host-missing": (b"GET /docs/known HTTP/1.1\r\n\r\n", 400),
    "3.2-Host-twice": (b"GET /docs/known HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "3.2-Host-twice-in-HTTP/1.0": (b"GET /docs/known HTTP/1.0\r\n" + HOST + HOST + b"\r\n", 400),
    "3.2-Host-with-a-path": (b"GET /docs/known HTTP/1.1\r\nHost: localhost/docs\r\n\r\n", 400),
    "3.2-Host-with-user": (b"GET /docs/known HTTP/1.1\r\nHost: me@localhost\r\n\r\n", 400),
    "3.2-Host-list": (b"GET /docs/known HTTP/1.1\r\nHost: localhost, other\r\n\r\n", 400),
    "3.2-Host-with-a-port-that-is-none": (b"GET /docs/known HTTP/1.1\r\nHost: localhost:http\r\n\r\n", 400),
    "3.2.2-absolute-form-without-Host": (b"GET http://localhost/docs/known HTTP/1.1\r\n\r\n", 400),
    "3.2.2-absolute-form-with-user": (request(b"GET http://me@localhost/docs/known"), 400),
    "3.2.2-absolute-form-of-another-scheme": (request(b"GET ftp://localhost/docs/known"), 400),
    "3.2.3-authority-form-for-GET": (request(b"GET localhost:80"), 400),
    "3.2.3-CONNECT-with-a-path": (request(b"CONNECT /docs/known"), 400),
    "3.2.4-asterisk-form-for-GET": (request(b"GET *"), 400),
    "5.1-space-before-the-colon": (b"GET /docs/known HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
    "5.1-empty-name": (request(b"GET /docs/known", b": b"), 400),
    "5.1-no-colon": (request(b"GET /docs/known", b"nothing"), 400),
    "5.1-name-that-is-no-token": (request(b"GET /docs/known", b"a b: c"), 400),
    "5.2-obs-fold": (request(b"GET /docs/known", b"A: b", b" c"), 400),
    "5.5-NUL-in-a-value": (request(b"GET /docs/known", b"A: b\0c"), 400),
    "5.5-control-character-in-a-value": (request(b"GET /docs/known", b"A: b\x07c"), 400),
    "6.1-both-framings": (request(b"PUT /docs/x", b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"), 400),
    "6.1-unknown-coding": (request(b"PUT /docs/x", b"Transfer-Encoding: lzma, chunked", body=b"0\r\n\r\n"), 501),
    "6.1-unknown-coding-alone": (request(b"PUT /docs/x", b"Transfer-Encoding: lzma", body=b"0\r\n\r\n"), 501),
    "6.1-coding-that-is-not-undone": (request(b"PUT /docs/x", b"Transfer-Encoding: gzip, chunked", body=b"0"), 501),
    "6.1-HTTP/1.0": (b"PUT /docs/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "6.3-HTTP/1.0-PUT-without-length": (b"PUT /docs/x HTTP/1.0\r\n\r\n", 411),
    "6.3-HTTP/1.0-PUT-without-length-on-the-root": (b"PUT http://localhost/docs/x HTTP/1.0\r\n\r\nabc", 411),
    "6.3-HTTP/1.0-POST-without-length": (b"POST /docs/ HTTP/1.0\r\nHost: localhost\r\n\r\n", 411),
    "7.1-chunk-that-no-document-can-have": (request(b"PUT /docs/x", CHUNKED, body=b"ffffffffffffffff\r\nabc"), 413),
    "7.1-chunk-just-over-the-bound": (request(b"PUT /docs/x", CHUNKED, body=b"10000000001\r\nabc"), 413),
    "6.1-chunked-twice": (request(b"PUT /docs/x", CHUNKED, CHUNKED, body=b"0\r\n\r\n"), 400),
    "6.3-chunked-not-last": (request(b"PUT /docs/x", b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"), 400),
    "6.3-chunked-missing": (request(b"PUT /docs/x", b"Transfer-Encoding: gzip", body=b"0\r\n\r\n"), 400),
    "6.3-no-coding": (request(b"PUT /docs/x", b"Transfer-Encoding: ", body=b"0\r\n\r\n"), 400),
    "6.3-length-negative": (request(b"PUT /docs/x", b"Content-Length: -1"), 400),
    "6.3-length-with-a-sign": (request(b"PUT /docs/x", b"Content-Length: +1", body=b"x"), 400),
    "6.3-length-hexadecimal": (request(b"PUT /docs/x", b"Content-Length: 0x1", body=b"x"), 400),
    "6.3-length-empty": (request(b"PUT /docs/x", b"Content-Length: ", body=b"x"), 400),
    "6.3-length-with-a-space-inside": (request(b"PUT /docs/x", b"Content-Length: 1 0", body=b"x" * 10), 400),
    "6.3-length-list": (request(b"PUT /docs/x", b"Content-Length: 1, 1", body=b"x"), 400),
    "6.3-length-twice": (request(b"PUT /docs/x", b"Content-Length: 1", b"Content-Length: 1", body=b"x"), 400),
    "6.3-length-of-many-digits": (request(b"PUT /docs/x", b"Content-Length: " + b"9" * 5000), 413),
}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED)
def test_an_invalid_request_is_rejected_and_nothing_after_it_is_answered(port: int, data: bytes, status: int) -> None:
    with RawClient(port) as raw:
        raw.send(data, GET, GET)
        answer = raw.answer()
        assert answer.status == status
        assert answer.get("connection") == "close"
        assert answer.get("cache-control") == "no-store"
        assert answer.get("content-type") == "text/plain; charset=utf-8"
        assert re.fullmatch(rb"[^\n]+\n", answer.content)
        assert raw.is_closed()


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED)
def test_an_invalid_request_is_rejected_after_the_responses_before_it(port: int, data: bytes, status: int) -> None:
    with RawClient(port) as raw:
        raw.send(GET, GET, data)
        assert [raw.answer().status for _ in range(3)] == [200, 200, status]


ANSWERED = {
    "2.2-empty-lines-first": (b"\r\n\r\n" + GET, 200),
    "2.3-HTTP/1.9-is-as-1.1": (b"GET /docs/known HTTP/1.9\r\n" + HOST + b"\r\n", 200),
    "3.1-unknown-method": (request(b"BREW /docs/known"), 501),
    "3.1-method-of-odd-characters": (request(b"!#$%&'*+-.^_`|~9 /docs/known"), 501),
    "3.1-methods-are-case-sensitive": (request(b"get /docs/known"), 501),
    "3.1-CONNECT": (request(b"CONNECT localhost:80"), 405),
    "3.1-TRACE": (request(b"TRACE /docs/known"), 405),
    "3.2-empty-Host": (b"GET /docs/known HTTP/1.1\r\nHost:\r\n\r\n", 200),
    "3.2-Host-IPv6": (b"GET /docs/known HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200),
    "3.2.2-absolute-form": (request(b"GET http://localhost/docs/known", host=b"ignored"), 200),
    "3.2.2-absolute-form-in-capitals": (request(b"GET HTTP://LOCALHOST:80/docs/known?"), 200),
    "3.2.4-asterisk-form": (request(b"OPTIONS *"), 204),
    "3.2.4-asterisk-form-through-a-proxy": (request(b"OPTIONS http://localhost"), 204),
    "5.1-no-space-after-the-colon": (b"GET /docs/known HTTP/1.1\r\nHost:localhost\r\n\r\n", 200),
    "5.5-obs-text-in-a-value": (request(b"GET /docs/known", b"A: \xff"), 200),
    "5.1-space-after-the-value": (b"PUT /docs/y HTTP/1.1\r\nHost: a \t\r\nContent-Length: 0 \r\n\r\n", 201),
    "6.3-leading-zeros": (request(b"PUT /docs/zeros", b"Content-Length: " + b"0" * 5000 + b"2", body=b"ab"), 201),
    "6.1-capitals": (request(b"PUT /docs/capitals", b"Transfer-Encoding: ChunkeD", body=b"0\r\n\r\n"), 201),
    "7.1-upgrade-is-ignored": (request(b"GET /docs/known", b"Connection: upgrade", b"Upgrade: websocket"), 200),
    "9110-9.3.1-GET-with-a-body": (request(b"GET /docs/known", b"Content-Length: 3", body=b"abc"), 200),
}


@pytest.mark.parametrize(("data", "status"), ANSWERED.values(), ids=ANSWERED)
def test_a_valid_request_is_answered_and_the_connection_kept(port: int, data: bytes, status: int) -> None:
    with RawClient(port) as raw:
        raw.send(data)
        answer = raw.answer()
        assert answer.status == status
        assert answer.get("connection") is None
        assert raw.is_open()


@pytest.mark.parametrize(("data", "status"), ANSWERED.values(), ids=ANSWERED)
def test_bytes_split_at_every_position_give_the_same_responses(port: int, data: bytes, status: int) -> None:
    statuses = {status} if status != 201 else {200, 201}
    every = 1 if len(data) < 300 else 997
    for position in range(1, len(data), every):
        with RawClient(port) as raw:
            raw.socket.setsockopt(6, 1, 1)  # TCP_NODELAY
            raw.send(data[:position])
            raw.send(data[position:], GET)
            assert raw.answer().status in statuses, position
            assert raw.answer().content == b"hello", position


CHUNK_FAULTS = {
    "no-size": b"\r\nabc\r\n0\r\n\r\n",
    "size-with-a-sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "size-with-0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "size-of-many-digits": b"0" * 17 + b"3\r\nabc\r\n0\r\n\r\n",
    "space-after-the-size": b"3 \r\nabc\r\n0\r\n\r\n",
    "bare-LF-after-the-size": b"3\nabc\r\n0\r\n\r\n",
    "bare-LF-after-two-digits": b"30\nabc\r\n0\r\n\r\n",
    "bare-CR-in-an-extension": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "too-long": b"3\r\nabcd\r\n0\r\n\r\n",
    "bare-LF-after-the-chunk": b"3\r\nabc\n0\r\n\r\n",
    "endless-extension": b"3;" + b"e" * 2000 + b"\r\nabc\r\n0\r\n\r\n",
    "endless-line": b"3" * 2000,
    "many-extensions": b"".join(b"1;" + b"e" * 900 + b"\r\nx\r\n" for _ in range(20)) + b"0\r\n\r\n",
    "trailer-that-is-no-field": b"3\r\nabc\r\n0\r\nnothing\r\n\r\n",
    "endless-trailers": b"3\r\nabc\r\n0\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    "many-trailers": b"3\r\nabc\r\n0\r\n" + b"A: b\r\n" * 101 + b"\r\n",
}


@pytest.mark.parametrize("early", [True, False], ids=["whole", "split"])
@pytest.mark.parametrize("body", CHUNK_FAULTS.values(), ids=CHUNK_FAULTS)
def test_an_invalid_chunked_body_stores_nothing_and_closes_the_connection(port: int, body: bytes, early: bool) -> None:
    with RawClient(port) as raw:
        head = request(b"PUT /docs/faulty", CHUNKED)
        if early:
            raw.send(head, body, GET)
        else:
            raw.send(head, b"2\r\nab\r\n")
            raw.send(body, GET)
        answer = raw.answer()
        assert answer.status in (400, 431)
        assert answer.get("connection") == "close"
        assert raw.is_closed()
    assert ask(port, request(b"GET /docs/faulty")).status == 404


def test_chunk_extensions_and_trailers_are_not_part_of_the_document(port: int) -> None:
    body = b'3;a=b\r\nabc\r\n4 ; q="x;y"\r\ndefg\r\n000;last\r\nContent-Type: text/evil\r\nHost: evil\r\n\r\n'
    with RawClient(port) as raw:
        raw.send(request(b"PUT /docs/chunky", CHUNKED, b"Content-Type: text/plain", body=body), GET)
        assert raw.answer().status == 201
        assert raw.answer().status == 200
        raw.send(request(b"GET /docs/chunky"))
        answer = raw.answer()
    assert (answer.get("content-type"), answer.content) == ("text/plain", b"abcdefg")


def test_a_thousand_requests_in_one_segment_are_answered_in_order(port: int) -> None:
    with RawClient(port) as raw:
        raw.send(b"".join(put(b"n%d" % number, b"%d" % number) for number in range(1000)))
        assert [raw.answer().content for _ in range(1000)] == [b"n%d\n" % number for number in range(1000)]
        raw.send(b"".join(request(b"GET /docs/n%d" % number) for number in range(1000)))
        assert [raw.answer().content for _ in range(1000)] == [b"%d" % number for number in range(1000)]


def test_pipelined_requests_are_answered_in_order_when_the_first_takes_longest(port: int) -> None:
    with RawClient(port) as raw:
        raw.send(request(b"GET /test/waits?0.2"), request(b"GET /test/generates"), GET)
        contents = [raw.answer().content for _ in range(3)]
    assert contents == [b"done\n", b"line 0\nline 1\nline 2\n", b"hello"]


def test_HTTP_1_0_gets_no_chunks_and_is_closed_by_default(port: int) -> None:
    with RawClient(port) as raw:
        raw.send(b"GET /test/generates HTTP/1.0\r\n\r\n")
        answer = raw.answer()
        assert answer.get("transfer-encoding") is None
        assert answer.get("connection") == "close"
        assert answer.content == b"line 0\nline 1\nline 2\n"


def test_HTTP_1_0_is_closed_when_only_that_can_end_the_content(port: int) -> None:
    with RawClient(port) as raw:
        raw.send(b"GET /test/generates HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = raw.answer()
        assert (answer.get("connection"), answer.content) == ("close", b"line 0\nline 1\nline 2\n")


def test_HTTP_1_0_is_kept_on_request(port: int) -> None:
    data = b"GET /docs/known HTTP/1.0\r\nHost: localhost\r\nConnection: Keep-Alive\r\n\r\n"
    with RawClient(port) as raw:
        raw.send(data)
        answer = raw.answer()
        assert (answer.get("connection"), answer.content) == ("keep-alive", b"hello")
        raw.send(data)
        assert raw.answer().content == b"hello"


@pytest.mark.parametrize("option", [b"close", b"Close", b"te, close", b"keep-alive, close"])
def test_connection_close_is_honoured(port: int, option: bytes) -> None:
    with RawClient(port) as raw:
        raw.send(request(b"GET /docs/known", b"Connection: " + option), GET)
        assert raw.answer().get("connection") == "close"
        assert raw.is_closed()


def test_generated_content_is_chunked_in_HTTP_1_1(port: int) -> None:
    answer = ask(port, request(b"GET /test/generates"))
    assert (answer.get("transfer-encoding"), answer.get("content-length")) == ("chunked", None)
    assert answer.content == b"line 0\nline 1\nline 2\n"


@pytest.mark.parametrize("path", [b"/docs/known", b"/docs/missing", b"/docs/", b"/test/generates", b"/test/raises"])
def test_HEAD_is_answered_without_content(port: int, path: bytes) -> None:
    with RawClient(port) as raw:
        raw.send(request(b"HEAD " + path), GET)
        assert raw.answer(to_head=True).status in (200, 404, 500)
        assert raw.answer().content == b"hello"


def test_204_and_304_have_neither_content_nor_its_length(port: int) -> None:
    with RawClient(port) as raw:
        raw.send(request(b"OPTIONS /docs/known"), request(b"GET /docs/known", b"If-None-Match: *"), GET)
        for status in (204, 304):
            answer = raw.answer()
            assert (answer.status, answer.get("content-length")) == (status, None)
            assert answer.get("transfer-encoding") is None
        assert raw.answer().content == b"hello"


def test_every_response_has_one_Date_and_no_Server(port: int) -> None:
    for data in (GET, request(b"GET /docs/missing"), b"nonsense\r\n\r\n", request(b"OPTIONS *")):
        answer = ask(port, data)
        date = answer.get("date")
        assert date is not None
        assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date)
        assert parsedate_to_datetime(date).tzinfo is not None
        assert answer.get("server") is None


def test_a_handlers_error_is_500_and_no_second_response(port: int) -> None:
    with RawClient(port) as raw:
        for path in (b"/test/injects", b"/test/miscounts", b"/test/raises"):
            raw.send(request(b"GET " + path))
            answer = raw.answer()
            assert (answer.status, answer.content) == (500, b"internal error\n"), path
            assert answer.get("set-cookie") is None
        assert raw.is_open()


@pytest.mark.parametrize("path", [b"/test/ends_early", b"/test/breaks"])
def test_incomplete_content_never_looks_complete(http1_server: HTTP1Server, path: bytes) -> None:
    with RawClient(http1_server.port) as raw:
        raw.send(request(b"GET " + path), GET)
        data = raw.rest()
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"only this" in body or b"so far" in body
    assert not body.endswith(b"0\r\n\r\n")
    assert b"hello" not in body


BLANKS = b" " * 60_000
HOSTILE = {
    "blanks before a control character": b"a:" + BLANKS + b"\x01",
    "tabs before a control character": b"a:" + BLANKS.replace(b" ", b"\t") + b"\x7f",
    "blanks within a value": b"a: b" + BLANKS + b"\x01",
    "blanks before the colon": b"a" + BLANKS + b":",
    "a name of many letters": b"a" * 60_000,
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_no_header_line_takes_quadratic_time(line: bytes) -> None:
    """A regular expression that backtracks would take half a minute here."""

    def give_up(*_: object) -> None:
        raise TimeoutError("this line is not read, but tried")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(10)
    try:
        with pytest.raises(ProtocolError):
            parse_fields(b"host: x\r\n" + line + b"\r\n", 100)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
