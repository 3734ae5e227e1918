"""Responses on a socket, of servers that follow RFC 9112 and of those that do not."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from docstore.client import http_connection
from docstore.client.http_connection import HTTPConnection
from docstore.client.transport import TransportError

OK = b"HTTP/1.1 200 OK\r\n"


def exchange(received: bytes, method: str = "GET") -> tuple[int, dict[str, str], bytes, bool]:
    """Return what a connection makes of the bytes that a server sends before it closes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def send() -> None:
            with suppress(BrokenPipeError):
                theirs.sendall(received)
                theirs.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send)
        sending.start()
        connection = HTTPConnection(ours)
        connection.send(b"request", b"", 5)
        try:
            status, headers = connection.receive_head(method)
            content = b"".join(iter(connection.read, b""))
            return status, headers, content, connection.is_reusable
        finally:
            ours.close()
            sending.join()


@pytest.mark.parametrize(
    ("received", "method", "expected"),
    [
        (OK + b"Content-Length: 5\r\n\r\nhello", "GET", (200, b"hello", True)),
        (OK + b"Content-Length: 5, 5\r\n\r\nhello", "GET", (200, b"hello", True)),
        (OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "GET", (200, b"hello", True)),
        (OK + b"Content-Length: 5\r\n\r\nhello and more", "GET", (200, b"hello", False)),
        (OK + b"Content-Length: 5\r\nConnection: Close\r\n\r\nhello", "GET", (200, b"hello", False)),
        (OK + b"Content-Length: 0\r\n\r\n", "GET", (200, b"", True)),
        (OK + b"Content-Length: 5\r\n\r\n", "HEAD", (200, b"", True)),
        (b"HTTP/1.1 204 \r\n\r\n", "DELETE", (204, b"", True)),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", (304, b"", True)),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "GET", (200, b"hello", False)),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", "GET", (200, b"hello", True)),
        (OK + b"\r\nuntil the end", "GET", (200, b"until the end", False)),
        (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", "GET", (200, b"x", True)),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
         "PUT", (200, b"", True)),
        (OK + b"Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n", "GET",
         (200, b"abc0123456789", True)),
        (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n0\r\n\r\n", "GET", (200, b"", False)),
    ],
)  # fmt: skip
def test_a_response_is_delimited_by_its_framing(
    received: bytes, method: str, expected: tuple[int, bytes, bool]
) -> None:
    status, _, content, is_reusable = exchange(received, method)
    assert (status, content, is_reusable) == expected


def test_names_are_in_lower_case_and_lines_of_one_field_are_joined() -> None:
    _, headers, _, _ = exchange(OK + b"A-b:  \xe9 x\t\r\nc:\r\na-B: 2\r\nContent-Length: 0\r\n\r\n")
    assert headers == {"a-b": "é x, 2", "c": "", "content-length": "0"}


@pytest.mark.parametrize(
    ("received", "reason"),
    [
        (b"", "closed the connection"),
        (OK, "ended early"),
        (OK + b"Content-Length: 5\r\n\r\nhell", "ended early"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhell", "ended early"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello", "ended early"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n", "invalid chunk"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", "invalid chunk"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "invalid chunk"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: v\r\n" * 1000, "does not end"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "unknown coding"),
        (OK + b"Content-Length: 5, 6\r\n\r\nhello", "invalid Content-Length"),
        (OK + b"Content-Length: +5\r\n\r\nhello", "invalid Content-Length"),
        (OK + b"Content-Length: \r\n\r\nhello", "invalid Content-Length"),
        (OK + b"A b: c\r\n\r\n", "invalid header"),
        (OK + b"A: b\r\n folded\r\n\r\n", "invalid header"),
        (OK + b"A: b\x00\r\n\r\n", "invalid header"),
        (OK + b"A: b\rc\r\n\r\n", "invalid header"),
        (b"HTTP/2 200\r\n\r\n", "not HTTP"),
        (b"ICY 200 OK\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, "no final response"),
        (OK + b"A: " + b"x" * (2 * http_connection.HEAD_LIMIT), "too large"),
    ],
)
def test_anything_else_is_an_error(received: bytes, reason: str) -> None:
    with pytest.raises(TransportError, match=reason):
        exchange(received)


def test_the_response_to_a_broken_upload_is_read() -> None:
    """A server may reject an upload in the middle, and close."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        theirs.close()
        connection = HTTPConnection(ours)
        blocks: Iterator[bytes] = iter([b"x" * 1000] * 1000)
        connection.send(b"PUT", blocks, 5)
        status, _ = connection.receive_head("PUT")
        assert (status, connection.is_reusable, next(blocks, b"") != b"") == (413, False, True)


def test_silence_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = HTTPConnection(ours)
        connection.send(b"GET", b"", 0.05)
        with pytest.raises(TransportError, match="no response in time"):
            connection.receive_head("GET")
