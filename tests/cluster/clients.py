"""Clients of several servers in front of one store: they go on with another server when one fails, and record all.

Each key's history goes to the linearizability checker. Three kinds of answers count: done, refused (412 or 404), and
none (the connection was lost, or 503 `outcome-unknown`: the write may take effect later, even much later). A write with
any other 503 must never take effect, so it is not in the history: a read that shows it is a contradiction.
"""

import http.client
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from threading import Event

from docstore.model import ABSENT, ANY, Expectation
from tests.crash.clients import History, condition_of, make_content, path_of, version_of_content
from tests.crash.history import FOREVER, Action, Answer, Operation, State

SIZES = (20, 700, 70_000, 600_000)
SIZE_WEIGHTS = (12, 6, 2, 1)
TIMEOUT_S = 60
PAUSE_S = 0.1
"""Between attempts while no server accepts anything."""


@dataclass
class Client:
    """A client with one connection at a time."""

    addresses: Callable[[], Sequence[tuple[str, int]]]
    """The servers that run."""
    name: str
    chance: Random
    keys: Sequence[str]
    history: History = field(default_factory=lambda: defaultdict(list))
    acknowledged: list[int] = field(default_factory=list)
    """The times at which writes succeeded, in nanoseconds."""
    created: dict[str, str] = field(default_factory=dict)
    """The versions of keys that only this client creates."""
    unavailable: int = 0
    unknown: int = 0
    _seen: dict[str, str] = field(default_factory=dict)
    _count: int = 0
    _connection: http.client.HTTPConnection | None = None

    def run(self, stop: Event) -> None:
        while not stop.is_set():
            self.step()
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def step(self) -> None:
        what = self.chance.choice(["read", "read", "write", "create", "replace", "replace", "delete", "new"])
        key = self.chance.choice(self.keys)
        if what == "read":
            self.read(key)
        elif what == "delete":
            self._do(key, Operation(Action.DELETE, 0, FOREVER, Answer.NONE), "DELETE")
        elif what == "new":
            self._count += 1
            key = f"new/{self.name}/{self._count}"
            if (version := self._write(key, ABSENT)) is not None:
                self.created[key] = version
        else:
            self._write(key, {"write": ANY, "create": ABSENT, "replace": self._seen.get(key, ABSENT)}[what])

    def read(self, key: str) -> None:
        self._do(key, Operation(Action.READ, 0, FOREVER, Answer.NONE), "GET")

    def _write(self, key: str, expect: Expectation) -> str | None:
        self._count += 1
        (size,) = self.chance.choices(SIZES, SIZE_WEIGHTS)
        content = make_content(f"{self.name} {self._count}", size)
        version = version_of_content(content)
        operation = Operation(Action.WRITE, 0, FOREVER, Answer.NONE, version, expect)
        return self._do(key, operation, "PUT", content, condition_of(expect))

    def _do(
        self,
        key: str,
        operation: Operation,
        method: str,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> str | None:
        """Send a request, record its outcome, and return the version that a write stored."""
        operation = replace(operation, called=time.monotonic_ns())
        try:
            status, tag, received = self._ask(method, key, content, headers or {})
        except (OSError, http.client.HTTPException):
            self.close()
            if operation.act is not Action.READ:
                self.history[key].append(operation)
            time.sleep(PAUSE_S)
            return None
        returned = time.monotonic_ns()
        if status == 503:
            if json.loads(received)["type"].endswith("#outcome-unknown"):
                self.unknown += 1
                self.history[key].append(operation)
            else:
                self.unavailable += 1
            time.sleep(PAUSE_S)
            return None
        operation = replace(operation, returned=returned, answer=Answer.DONE)
        assert status in (200, 201, 404, 412), (method, status, received[:200])
        if operation.act is Action.READ:
            version: State = version_of_content(received) if status == 200 else None
            assert status != 200 or tag == f'"{version}"', f"{key} is not whole: {len(received)} bytes"
            operation = replace(operation, version=version)
            if version is not None:
                self._seen[key] = version
        elif status in (404, 412):
            operation = replace(operation, answer=Answer.REFUSED)
            self._seen.pop(key, None)
        else:
            self.acknowledged.append(returned)
            if operation.act is Action.WRITE:
                operation = replace(operation, created=status == 201)
                self._seen[key] = str(operation.version)
        self.history[key].append(operation)
        return operation.version if operation.act is Action.WRITE and operation.answer is Answer.DONE else None

    def _ask(
        self, method: str, key: str, content: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str | None, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self.chance.choice(self.addresses()), timeout=TIMEOUT_S)
        accept = {"Accept": "application/problem+json, */*;q=0.5"}
        self._connection.request(method, path_of(key), body=content, headers=accept | headers)
        response = self._connection.getresponse()
        return response.status, response.headers["ETag"], response.read()
