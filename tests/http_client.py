"""A plain HTTP client for tests: it sends paths unchanged and adds nothing. Every response is linted."""

import http.client
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any, Concatenate, ParamSpec

from tests.lint import lint
from tests.server_process import RunningServer

P = ParamSpec("P")

TIMEOUT_S = 60


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    content: bytes

    def __getitem__(self, name: str) -> str:
        """Return the value of a field, which must exist."""
        value = self.headers[name]
        assert value is not None, f"{name} is missing from {self.headers.items()}"
        return value


def as_pairs(fields: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


class Client:
    """One kept-alive connection to a server."""

    def __init__(self, server: RunningServer) -> None:
        self._connection = http.client.HTTPConnection(server.host, server.port, timeout=TIMEOUT_S)

    def ask(
        self,
        method: str,
        path: str,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        self._connection.request(method, path, body=content, headers=dict(headers or {}))
        response = self._connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        asked, fields = as_pairs((headers or {}).items()), as_pairs(response.getheaders())
        lint(method, path, asked, answer.status, fields, answer.content)
        return answer

    def prepare(self, method: str, path: str, *args: Any, **kwargs: Any) -> Answer:
        """As `ask`, for a request that must succeed; there may be nothing to delete."""
        answer = self.ask(method, path, *args, **kwargs)
        assert answer.status < 400 or (method, answer.status) == ("DELETE", 404), f"{method} {path}: {answer}"
        return answer

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def on_a_new_connection(
    method: Callable[Concatenate[Client, P], Answer],
) -> Callable[Concatenate[RunningServer, P], Answer]:
    """Return a function that calls the method of a Client with one connection to a server."""

    def send(server: RunningServer, /, *args: P.args, **kwargs: P.kwargs) -> Answer:
        with Client(server) as client:
            return method(client, *args, **kwargs)

    return send


ask = on_a_new_connection(Client.ask)
prepare = on_a_new_connection(Client.prepare)


def send_raw(server: RunningServer, request: bytes) -> bytes:
    """Send these bytes and return everything until the connection closes."""
    with socket.create_connection((server.host, server.port), timeout=TIMEOUT_S) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    method, target, _ = request.partition(b"\r\n")[0].decode("latin-1").split(" ")
    head, _, content = received.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    fields = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    lint(method, target, [], int(status.split(b" ")[1]), fields, content)
    return received
