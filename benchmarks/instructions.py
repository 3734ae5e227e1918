"""Count the machine instructions of a request. `make bench-instructions`; it needs valgrind.

    python benchmarks/instructions.py [--requests 1920] [--record] [--few | NAME ...]

Bytes of a request in, bytes of its response out, through `http1.Protocol` over transports without sockets, in a child
under callgrind. The child calls `getloadavg` between the cases, before which callgrind writes its count and starts
again at zero. On a shared machine this number is steady where times are not: two runs differ by less than 1 %. A case
`at 64` sends on 64 connections at once, so that durable writes share commits. The stages are the parts of a GET and of
a PUT, called one by one. What the kernel does isn't counted. NAMEs select the cases and stages that contain one; --few
selects those that CI prints. --record writes the counts into release_counts.json, with which later runs compare theirs.
"""

import argparse
import asyncio
import gc
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvloop
from release_counts import ReleaseCounts

from docstore.config import Settings
from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.limits import Limits
from docstore.links import Caveats
from docstore.model import Fields, version_of
from docstore.server import http1
from docstore.server.access_log import AccessLogFormatter
from docstore.server.app import Store
from docstore.server.http1.connection import HEAD_PHASE, Connection
from docstore.server.http1.registry import ConnectionRegistry
from docstore.server.http1.response_head import StatusLineCache, start_response
from docstore.server.mounts import Mount
from docstore.server.run import application
from docstore.server.security.browser_safety import LOOPBACK_NAMES
from docstore.server.security.read_only_switch import ReadOnlySwitch
from docstore.server.security.rights import ALL_RIGHTS
from docstore.server.security.tokens import Token, Tokens

FIRST_REQUESTS = 200
"""Requests of each case that fill caches before any is counted."""
MANY = 64
"""The connections of the cases `at 64`."""

NOW_S = 1_700_000_000

FIELDS = b"Host: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n"
GET = b"GET /%b/key HTTP/1.1\r\n" + FIELDS + b"%b\r\n"
PUT = b"PUT /%b/key HTTP/1.1\r\n" + FIELDS + b"Content-Type: text/plain\r\nContent-Length: 200\r\n\r\n" + b"x" * 200
VERSION = version_of(sha256(b"x" * 200).digest(), Fields("text/plain")).encode("ascii")
NO_TYPE = PUT.replace(b"Content-Type: text/plain\r\n", b"")
SECRET = "5e" * 24
AUTHORIZATION = f"Authorization: Bearer dst_{0:010x}_{SECRET}\r\n".encode()
CASES = {
    "PUT to memory": (PUT % b"memory", b"20", 1),
    "PUT without type": (NO_TYPE % b"memory", b"20", 1),
    "PUT": (PUT % b"docs", b"20", 1),
    "PUT at 64": (PUT % b"docs", b"20", MANY),
    "GET from memory": (GET % (b"memory", b""), b"200", 1),
    "GET": (GET % (b"docs", b""), b"200", 1),
    "GET at 64": (GET % (b"docs", b""), b"200", MANY),
    "304": (GET % (b"docs", b'If-None-Match: "%b"\r\n' % VERSION), b"304", 1),
    "304 at 64": (GET % (b"docs", b'If-None-Match: "%b"\r\n' % VERSION), b"304", MANY),
    "PUT to file": (PUT % b"file", b"20", 1),
    "GET from file": (GET % (b"file", b""), b"200", 1),
    "range": (GET % (b"docs", b"Range: bytes=10-99\r\n"), b"206", 1),
    "range at 64": (GET % (b"docs", b"Range: bytes=10-99\r\n"), b"206", MANY),
    "404": (GET.replace(b"/key", b"/absent") % (b"docs", b""), b"404", 1),
    "404 at 64": (GET.replace(b"/key", b"/absent") % (b"docs", b""), b"404", MANY),
    "GET, logged": (GET % (b"docs", b""), b"200", 1),
    "GET at 64, logged": (GET % (b"docs", b""), b"200", MANY),
    "GET with a token": (GET % (b"docs", AUTHORIZATION), b"200", 1),
    "of 10,000 tokens": (GET % (b"docs", AUTHORIZATION), b"200", 1),
    "GET below prefix": (GET % (b"docs", AUTHORIZATION), b"200", 1),
    "GET by a link": (GET % (b"docs", b""), b"200", 1),
    "GET by new links": (GET % (b"docs", b""), b"200", 1),
}
"""Requests, how the status of their responses begins (the first PUT is 201, the others 200), and connections. Those
that do not name an engine use sqlite. A PUT comes before what reads its document."""
LINKS = ("GET by a link", "GET by new links")
"""The cases whose URL has a signed link; the second forgets that it has verified the link."""
TOKENS = {
    "GET with a token": (10, ""),
    "of 10,000 tokens": (10_000, ""),
    "GET below prefix": (10, "k"),
    **dict.fromkeys(LINKS, (10, "")),
}
"""The number of tokens of the cases that send one or a link, and the prefix of that token."""
STAGES = ("head of a GET", "head of a PUT", "handle a GET", "get of sqlite", "head of a 200", "put of sqlite")
FEW = tuple(f"{name}{at}" for name in ("GET", "304", "404", "range", "PUT") for at in ("", " at 64"))
"""The cases of --few."""


def clock() -> int:
    return NOW_S * 10**9


class Transport(asyncio.Transport):
    """A client that takes every response at once."""

    def __init__(self) -> None:
        super().__init__()
        self.response = b""
        self.on_response: Callable[[], None] = lambda: None

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def write(self, data: Any) -> None:
        self.response = data
        self.on_response()


class Clients:
    """Connections to one store."""

    def __init__(self, store: Store) -> None:
        config: Any = SimpleNamespace(loaded_app=application(store, Settings(http="wire")))
        state: Any = SimpleNamespace(connections=set(), tasks=set(), total_requests=0)
        self.connections: list[tuple[http1.Protocol, Transport]] = []
        for _ in range(MANY):
            protocol, transport = http1.Protocol(config, state, {}), Transport()
            transport.on_response = self._on_response
            protocol.connection_made(transport)
            self.connections.append((protocol, transport))
        self._store = store
        self._missing = 0
        self._answered = asyncio.Event()

    def _on_response(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._answered.set()

    async def send(self, case: str, count: int) -> None:
        """Send `count` requests, and those of all connections at the same time."""
        request, status, connection_count = CASES[case]
        if case in LINKS:
            request = request.replace(b"/key ", b"/key?link=%b " % await sign(self._store))
        connections = self.connections[:connection_count]
        for _ in range(count // connection_count):
            if case == "GET by new links":
                self._store._access._link_views.clear()
            self._missing = connection_count
            self._answered.clear()
            for protocol, _ in connections:
                protocol.data_received(request)
            await self._answered.wait()
            for _, transport in connections:
                assert transport.response.startswith(b"HTTP/1.1 " + status), transport.response

    def close(self) -> None:
        for protocol, _ in self.connections:
            protocol.connection_lost(None)


def mark() -> None:
    """Have callgrind write its count and begin at zero."""
    gc.collect()
    gc.freeze()  # A collection of all objects, which may happen in a case or not, takes as long as a hundred requests.
    os.getloadavg()


async def count_all(chosen: list[str], count: int) -> None:
    """Run each chosen case and stage between two marks."""
    with tempfile.TemporaryDirectory() as folder:
        urls = {"memory": "memory:", "docs": f"sqlite:{folder}/docs.db", "file": f"file:{folder}/file"}
        mounts = [Mount(name, open_engine(EngineURL.parse(url), clock)) for name, url in urls.items()]
        store = Store(mounts, clock=clock, hosts=LOOPBACK_NAMES, read_only=ReadOnlySwitch(folder))
        guarded = {
            case: Store(mounts, clock=clock, tokens=make_tokens(f"{folder}/{number}", *made), anonymous=None)
            for number, (case, made) in enumerate(TOKENS.items())
            if case in chosen
        }
        clients = {case: Clients(each) for case, each in {"": store, **guarded}.items()}
        for case in (case for case in CASES if case in chosen or case.startswith("PUT")):
            await clients.get(case, clients[""]).send(case, FIRST_REQUESTS)
        for case in chosen:
            if case in CASES:
                logging.getLogger("docstore").setLevel("INFO" if "logged" in case else "WARNING")
                await clients.get(case, clients[""]).send(case, MANY)
                mark()
                await clients.get(case, clients[""]).send(case, count)
            else:
                await count_stage(case, count, store, mounts[1])
            os.getloadavg()
        for each in clients.values():
            each.close()
        await store.close()


async def count_stage(stage: str, count: int, store: Store, mount: Mount) -> None:
    """Call one part of the way of a request, with what the parts before it return."""
    limits, status_lines = Limits(), StatusLineCache()
    connection = Connection(limits)
    data = PUT % b"docs" if "PUT" in stage else GET % (b"docs", b"")
    connection.receive(data)
    request = connection.take_request()
    assert request is not None
    response = await store.handle(request)
    mark()
    for _ in range(count):
        if stage == "head of a 200":
            start_response(status_lines, response, request, connection)
        elif stage.startswith("head"):
            connection.phase, connection.unread_size = HEAD_PHASE, 0
            connection.receive(data)
            connection.take_request()
        elif stage == "handle a GET":
            await store.handle(request)
        elif stage == "get of sqlite":
            await mount.engine.get("key")
        else:
            await mount.engine.put(PutRequest("key", BytesContent(b"x" * 200), Fields("text/plain")))


async def sign(store: Store) -> bytes:
    """Sign a link with the first token of the store."""
    token = next(iter(store._access._file.current().values()))
    caveats = Caveats("docs", key="key", methods=("GET",), until=NOW_S + 3600)
    return (await store._links.sign(token, caveats)).encode().encode()


def make_tokens(folder: str, count: int, prefix: str) -> Tokens:
    """Make the file of `count` tokens, of which the first has SECRET."""
    tokens, digest = Tokens(folder), sha256(SECRET.encode()).hexdigest()
    Path(folder).mkdir()
    limits = {"mount": "docs", "prefix": prefix} if prefix else {}
    tokens._write([Token(f"{number:010x}", digest, ALL_RIGHTS, NOW_S * 10**9, **limits) for number in range(count)])
    return tokens


def instructions(chosen: list[str], count: int) -> list[int]:
    """The instructions that a child under callgrind executes for each of the chosen cases."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "counts"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", "--dump-before=getloadavg"]
        child = subprocess.run(
            [*command, sys.executable, __file__, "--child", "--requests", str(count), *chosen],
            capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False,
        )  # fmt: skip
        if child.returncode:
            raise SystemExit(child.stderr)
        # Before each case there is a mark too, which ends what is not counted.
        counted = [Path(f"{output}.{2 * index + 2}").read_text() for index in range(len(chosen))]
    return [int(found[1]) for text in counted if (found := re.search(r"^totals: (\d+)", text, re.MULTILINE))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a part of the name of a case or a stage")
    parser.add_argument("--few", action="store_true", help="the cases that CI prints")
    parser.add_argument("--record", action="store_true", help="write the counts into release_counts.json")
    parser.add_argument("--requests", type=int, default=1920, help="how many of each case are counted")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        # What happens once a second would count more often on a slow machine: a new Date, and the look for timeouts.
        time.time = lambda: NOW_S
        ConnectionRegistry._sweep_s = 3600.0
        handler = logging.FileHandler(os.devnull)
        handler.setFormatter(AccessLogFormatter("%(asctime)s %(levelname).1s %(message)s", "%Y-%m-%dT%H:%M:%SZ"))
        logging.getLogger().handlers[:] = [handler]
        uvloop.run(count_all(given.names or [*CASES, *STAGES], given.requests))
        return
    count = -(-given.requests // MANY) * MANY
    named = [name for name in (*CASES, *STAGES) if not given.names or any(part in name for part in given.names)]
    chosen = list(FEW) if given.few else named
    counts = {name: round(total / count) for name, total in zip(chosen, instructions(chosen, count), strict=True)}
    release = ReleaseCounts.read()
    print("\n".join(release.lines(counts)))
    if given.record:
        release.replaced_by(counts).write()


if __name__ == "__main__":
    main()
