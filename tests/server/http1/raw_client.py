"""A client that sends any bytes, valid or not, and reads responses one by one."""

import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass

from tests.lint import lint

TLS_PORTS: dict[int, ssl.SSLContext] = {}
"""The servers that expect TLS, with the context of their clients."""

WAITS_S = 20
"""A timeout for what must arrive; no test asserts on durations."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    content: bytes

    def get(self, name: str) -> str | None:
        values = [value for field, value in self.headers if field == name]
        return ", ".join(values) if values else None


OWN_REFUSALS = (400, 408, 411, 414, 431, 501, 503, 505)
"""Errors that the protocol answers itself, without the handler."""


def lint_refusal(answer: Answer, *, to_head: bool) -> None:
    """Lint a response of the protocol itself; the others here are from handlers made for these tests."""
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    lint("HEAD" if to_head else "GET", "/", [], answer.status, fields, answer.content)


class RawClient:
    """One connection, with the bytes received and not read yet."""

    def __init__(
        self, port: int, *, host: str = "127.0.0.1", receive_size: int | None = None, source: str = ""
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_size is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_size)
        if source:
            self.socket.bind((source, 0))
        self.socket.settimeout(WAITS_S)
        try:
            self.socket.connect((host, port))
        except OSError:
            self.socket.close()
            raise
        if port in TLS_PORTS:
            self.socket = TLS_PORTS[port].wrap_socket(self.socket, server_hostname="localhost")
        self._received = b""
        self._closing = False
        """Whether the last response had `connection: close`."""

    @classmethod
    def over(cls, family: int, address: object) -> "RawClient":
        """Connect over another family of sockets."""
        raw = cls.__new__(cls)
        raw.socket = socket.socket(family, socket.SOCK_STREAM)
        raw.socket.settimeout(WAITS_S)
        raw.socket.connect(address)
        raw._received = b""
        raw._closing = False
        return raw

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def finish_sending(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def answer(self, *, to_head: bool = False) -> Answer:
        """Return the next response, which must be a final one."""
        answer = self.any_answer(to_head=to_head)
        assert answer.status >= 200, answer
        return answer

    def any_answer(self, *, to_head: bool = False) -> Answer:
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, _ = lines[0].split(" ", 2)
        assert version == "HTTP/1.1"
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        answer = Answer(int(status), headers, self._content(int(status), dict(headers), to_head=to_head))
        self._closing = answer.get("connection") == "close"
        if answer.status in OWN_REFUSALS:
            lint_refusal(answer, to_head=to_head)
        return answer

    def _content(self, status: int, headers: dict[str, str], *, to_head: bool) -> bytes:
        if to_head or status < 200 or status in (204, 304):
            return b""
        if headers.get("transfer-encoding") == "chunked":
            return self._chunks()
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        return self.rest()

    def _chunks(self) -> bytes:
        content = b""
        while size := int(self._until(b"\r\n"), 16):
            content += self._exactly(size)
            assert self._exactly(2) == b"\r\n"
        assert self._exactly(2) == b"\r\n"
        return content

    def rest(self) -> bytes:
        """Return everything until the server closes or resets the connection."""
        while self._receive():
            pass
        data, self._received = self._received, b""
        return data

    def is_closed(self) -> bool:
        """Whether the server closes the connection without another byte.

        Over TLS it can't close its half alone: after `connection: close` it waits for the client to close.
        """
        if isinstance(self.socket, ssl.SSLSocket) and self._closing:
            with suppress(ConnectionError):
                self.socket.unwrap()  # raises an error for another byte
            return self._received == b""
        return self.rest() == b""

    def is_open(self) -> bool:
        """Whether another request is answered."""
        self.send(GET)
        return self.answer().status in (200, 404)

    def _until(self, end: bytes) -> bytes:
        while end not in self._received:
            assert self._receive(), f"closed after {self._received[:300]!r}"
        data, _, self._received = self._received.partition(end)
        return data

    def _exactly(self, size: int) -> bytes:
        parts, held = [self._received], len(self._received)
        while held < size:
            self._received = b""
            assert self._receive(), f"closed after {held} of {size} bytes"
            parts.append(self._received)
            held += len(self._received)
        data = b"".join(parts)
        self._received = data[size:]
        return data[:size]

    def _receive(self) -> bool:
        try:
            data = self.socket.recv(1 << 20)
        except (ConnectionResetError, BrokenPipeError):
            return False
        self._received += data
        return bool(data)

    def send_until_it_fails(self) -> None:
        """Send repeatedly until the server has closed the connection in both directions."""
        try:
            while True:
                self.send(b"x" * 1000)
                time.sleep(0.01)
        except OSError:
            return

    def reset(self) -> None:
        """Reset the connection."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


GET = b"GET /docs/known HTTP/1.1\r\nHost: localhost\r\n\r\n"


def request(line: bytes, *fields: bytes, body: bytes = b"", host: bytes = b"localhost") -> bytes:
    """Return a valid request around the part that a test is about."""
    return b"".join(
        [line, b" HTTP/1.1\r\nHost: ", host, b"\r\n", *(field + b"\r\n" for field in fields), b"\r\n", body]
    )


def put(key: bytes, body: bytes, *fields: bytes) -> bytes:
    return request(b"PUT /docs/" + key, b"Content-Length: %d" % len(body), *fields, body=body)


def wait_until_refused(port: int) -> None:
    """Return when the server accepts no new connections."""
    try:
        while True:
            RawClient(port).socket.close()
            time.sleep(0.01)
    except ConnectionRefusedError:
        return


def ask(port: int, data: bytes) -> Answer:
    """Send `data` on a new connection and return one response."""
    with RawClient(port) as raw:
        raw.send(data)
        return raw.answer(to_head=data.startswith(b"HEAD"))
