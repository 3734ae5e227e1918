"""The bytes of a response's head."""

import pytest

from docstore.content import BytesContent
from docstore.http.message import InvalidResponse, Response, add_content_length, header_lines
from docstore.limits import Limits
from docstore.server.http1.connection import Connection
from docstore.server.http1.parser import ERROR_TITLES, ProtocolError
from docstore.server.http1.response_head import JOIN_SIZE, StatusLineCache, error_response, start_response


def test_fields_are_written_unchanged() -> None:
    assert header_lines([(b"a", b"b"), (b"c", b"")]) == b"a: b\r\nc: \r\n"
    assert header_lines([]) == b""


@pytest.mark.parametrize("evil", [b"\r", b"\n", b"\r\n", b"\0", b"x\r\nset-cookie: a"])
@pytest.mark.parametrize("place", ["name", "value"])
def test_a_field_with_a_line_end_is_not_sent(evil: bytes, place: str) -> None:
    field = (b"a" + evil, b"b") if place == "name" else (b"a", b"b" + evil)
    with pytest.raises(InvalidResponse):
        header_lines([(b"x", b"y"), field])


@pytest.mark.parametrize(
    ("lines", "result"),
    [
        (b"", b"content-length: 5\r\n"),
        (b"content-length: 5\r\n", b"content-length: 5\r\n"),
        (b"a: b\r\ncontent-length: 5\r\n", b"a: b\r\ncontent-length: 5\r\n"),
        (b"x-content-length: 5\r\n", b"x-content-length: 5\r\ncontent-length: 5\r\n"),
        (b"content-length: 55\r\n", None),
        (b"a: b\r\ncontent-length: 4\r\n", None),
    ],
)
def test_content_length_matches_the_content(lines: bytes, result: bytes | None) -> None:
    if result is None:
        with pytest.raises(InvalidResponse):
            add_content_length(lines, 5)
    else:
        assert add_content_length(lines, 5) == result


@pytest.mark.parametrize(("size", "joined"), [(0, True), (1, True), (JOIN_SIZE, True), (JOIN_SIZE + 1, False)])
def test_small_content_is_joined_to_the_head(size: int, joined: bool) -> None:
    connection = Connection(Limits())
    connection.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    asked = connection.take_request()
    assert asked is not None
    content = BytesContent(b"x" * size)
    sent, left = start_response(StatusLineCache(), Response(200, [], content), asked, connection)
    head, _, data = sent.partition(b"\r\n\r\n")
    assert head.endswith(b"content-length: %d" % size)
    assert (data, left) == ((content.data, None) if joined else (b"", content))


def test_a_status_line_has_the_current_second(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = StatusLineCache()
    monkeypatch.setattr("time.time", lambda: 784111777.9)
    first = lines.get(200)
    assert first == b"HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    assert lines.get(200) is first
    monkeypatch.setattr("time.time", lambda: 784111778.0)
    assert b"08:49:38" in lines.get(200)
    monkeypatch.setattr("time.time", lambda: 784111777.0)
    assert b"08:49:37" in lines.get(200), "the clock was set back"
    assert lines.get(299).startswith(b"HTTP/1.1 299 \r\n")


@pytest.mark.parametrize("status", ERROR_TITLES)
def test_an_error_response_is_one_line_and_the_last(status: int) -> None:
    head, _, line = error_response(StatusLineCache(), ProtocolError(status, "this")).partition(b"\r\n\r\n")
    assert line == f"{ERROR_TITLES[status]}: this\n".encode()
    assert b"connection: close" in head
    assert b"content-length: %d\r\n" % len(line) in head
