"""A client that writes, reads and deletes at random over HTTP, and records its requests and responses.

Every content is unique, tagged by its writer and of random size, so a read identifies the write. The history has
versions, computed here from the content: a response with another ETag is a failure at once, and so is an incomplete
document.

A client ends when it loses its connection. That is a failure unless the server was killed.
"""

import hashlib
import http.client
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from threading import Event
from typing import Final
from urllib.parse import quote

from docstore.model import ABSENT, ANY, DEFAULT_MEDIA_TYPE, Expectation, Fields, version_of
from tests.crash.history import FOREVER, Action, Answer, Operation, State
from tests.http_client import as_pairs
from tests.lint import lint_one_of_many
from tests.server_process import RunningServer

History = dict[str, list[Operation]]
"""By key, in the order of their calls for each client."""

MOUNT: Final = "/docs/"
TIMEOUT_S: Final = 60
SIZES: Final = (0, 20, 700, 5_000, 64 * 1024, 64 * 1024 + 1, 150_000, 1_200_000)
SIZE_WEIGHTS: Final = (1, 12, 6, 4, 2, 2, 3, 1)


def path_of(key: str) -> str:
    return MOUNT + quote(key)


def version_of_content(content: bytes) -> str:
    return version_of(hashlib.sha256(content).digest(), Fields())


def make_content(tag: str, size: int) -> bytes:
    """Make unique content of about `size` bytes."""
    return f"{tag}\n".encode() + (hashlib.sha256(tag.encode()).digest() * (size // 32 + 1))[:size]


def condition_of(expect: Expectation) -> dict[str, str]:
    """Return the header for it."""
    if expect is ANY:
        return {}
    return {"If-None-Match": "*"} if expect is ABSENT else {"If-Match": f'"{expect}"'}


class _Unavailable(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(f"503 for {key}")
        self.key = key


@dataclass
class Client:
    """A client with one connection, and its history."""

    server: RunningServer
    name: str
    """Unique among all clients."""
    chance: Random
    keys: Sequence[str]
    weights: tuple[int, int, int, int, int]
    """Weights of reading, writing, creating, replacing the version last seen, and deleting."""
    history: History = field(default_factory=lambda: defaultdict(list))
    lost: bool = False
    late_s: float | None = None
    """Continue after a 503: the request may take effect up to so many seconds later. None if a 503 is a failure."""
    _seen: dict[str, str] = field(default_factory=dict)
    _count: int = 0

    def run(self, stop: Event, killed: Event) -> None:
        """Run until `stop` is set or the connection is lost. `killed` is set before the server is killed."""
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=TIMEOUT_S)
        try:
            while not stop.is_set():
                try:
                    self._step(connection)
                except _Unavailable as unavailable:
                    assert self.late_s is not None
                    ended = time.monotonic_ns() + int(self.late_s * 10**9)
                    self.history[unavailable.key][-1] = replace(self.history[unavailable.key][-1], returned=ended)
        except (OSError, http.client.HTTPException):
            self.lost = True
            if not killed.is_set():
                raise
        finally:
            connection.close()

    def _step(self, connection: http.client.HTTPConnection) -> None:
        key = self.chance.choice(self.keys)
        (what,) = self.chance.choices(["read", "write", "create", "replace", "delete"], self.weights)
        if what == "read":
            self._read(connection, key)
        elif what == "delete":
            self._delete(connection, key)
        else:
            expect = {"write": ANY, "create": ABSENT, "replace": self._seen.get(key, ABSENT)}[what]
            self._write(connection, key, expect)

    def _read(self, connection: http.client.HTTPConnection, key: str) -> None:
        self._begin(key, Operation(Action.READ, time.monotonic_ns(), FOREVER, Answer.NONE))
        status, tag, content = _request(connection, "GET", key)
        assert status in (200, 404), (status, content)
        version: State = None
        if status == 200:
            version = version_of_content(content)
            assert tag == f'"{version}"', f"{key} is not whole: {len(content)} bytes that begin {content[:40]!r}"
            self._seen[key] = version
        self._end(key, Answer.DONE, version=version)

    def _write(self, connection: http.client.HTTPConnection, key: str, expect: Expectation) -> None:
        self._count += 1
        (size,) = self.chance.choices(SIZES, SIZE_WEIGHTS)
        content = make_content(f"{self.name} {self._count}", size)
        version = version_of_content(content)
        headers = condition_of(expect)
        if self.chance.random() < 0.2:
            headers["TTL"] = "36000"
        self._begin(key, Operation(Action.WRITE, time.monotonic_ns(), FOREVER, Answer.NONE, version, expect))
        status, tag, body = _request(connection, "PUT", key, content, headers)
        if status == 412:
            assert expect is not ANY
            self._seen.pop(key, None)
            self._end(key, Answer.REFUSED, version=version)
            return
        assert status in (200, 201), (status, body)
        assert tag == f'"{version}"'
        self._seen[key] = version
        self._end(key, Answer.DONE, version=version, created=status == 201)

    def _delete(self, connection: http.client.HTTPConnection, key: str) -> None:
        self._begin(key, Operation(Action.DELETE, time.monotonic_ns(), FOREVER, Answer.NONE))
        status, _, body = _request(connection, "DELETE", key)
        assert status in (200, 404), (status, body)
        self._end(key, Answer.DONE if status == 200 else Answer.REFUSED, version=None)

    def _begin(self, key: str, operation: Operation) -> None:
        self.history[key].append(operation)

    def _end(self, key: str, answer: Answer, *, version: State, created: bool | None = None) -> None:
        self.history[key][-1] = replace(
            self.history[key][-1], returned=time.monotonic_ns(), answer=answer, version=version, created=created
        )


def _request(
    connection: http.client.HTTPConnection,
    method: str,
    key: str,
    content: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, str | None, bytes]:
    if content is not None:
        headers = {"Content-Type": DEFAULT_MEDIA_TYPE, **(headers or {})}  # the type of `version_of_content`
    connection.request(method, path_of(key), body=content, headers=headers or {})
    response = connection.getresponse()
    received = response.read()
    asked, fields = as_pairs((headers or {}).items()), as_pairs(response.getheaders())
    lint_one_of_many(method, path_of(key), asked, response.status, fields, received)
    if response.status == 503:
        raise _Unavailable(key)
    return response.status, response.headers["ETag"], received
