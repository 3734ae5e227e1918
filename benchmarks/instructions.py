"""Count the machine instructions of a request. `make bench-instructions`; it needs valgrind.

    python benchmarks/instructions.py [--requests 2000]

Each case runs in a child under callgrind: bytes of a request in, bytes of its response out, through `http1.Protocol`
over a transport without a socket. Every child starts the same store and sends the same first requests; one child
stops there, and what the others execute beyond it is divided by the number of their requests. On a shared machine this
number is steady where times are not: two runs differ by less than 1%. Requests run one at a time, so that a durable PUT
bears a whole commit here; `wire.py` measures many at once. What the kernel does isn't counted.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvloop

from docstore.engines.registry import EngineURL, open_engine
from docstore.links import Caveats
from docstore.model import Fields, version_of
from docstore.server import http1
from docstore.server.app import Store
from docstore.server.asgi import asgi
from docstore.server.mounts import Mount
from docstore.server.security.rights import ALL_RIGHTS
from docstore.server.security.tokens import Token, Tokens

FIRST_REQUESTS = 200
"""Requests of each case that fill caches before any is counted."""

NOW_S = 1_700_000_000

FIELDS = b"Host: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n"
GET = b"GET /%b/key HTTP/1.1\r\n" + FIELDS + b"%b\r\n"
PUT = b"PUT /%b/key HTTP/1.1\r\n" + FIELDS + b"Content-Type: text/plain\r\nContent-Length: 200\r\n\r\n" + b"x" * 200
VERSION = version_of(sha256(b"x" * 200).digest(), Fields("text/plain")).encode("ascii")
NO_TYPE = PUT.replace(b"Content-Type: text/plain\r\n", b"")
SECRET = "5e" * 24
AUTHORIZATION = f"Authorization: Bearer dst_{0:010x}_{SECRET}\r\n".encode()
CASES = {
    "PUT to memory": (PUT % b"memory", b"20"),
    "PUT without type": (NO_TYPE % b"memory", b"20"),
    "PUT to sqlite": (PUT % b"docs", b"20"),
    "GET from memory": (GET % (b"memory", b""), b"200"),
    "GET from sqlite": (GET % (b"docs", b""), b"200"),
    "304 from sqlite": (GET % (b"docs", b'If-None-Match: "%b"\r\n' % VERSION), b"304"),
    "range of sqlite": (GET % (b"docs", b"Range: bytes=10-99\r\n"), b"206"),
    "404 from sqlite": (GET.replace(b"/key", b"/absent") % (b"docs", b""), b"404"),
    "GET with a token": (GET % (b"docs", AUTHORIZATION), b"200"),
    "of 10,000 tokens": (GET % (b"docs", AUTHORIZATION), b"200"),
    "GET below prefix": (GET % (b"docs", AUTHORIZATION), b"200"),
    "GET by a link": (GET % (b"docs", b""), b"200"),
    "GET by new links": (GET % (b"docs", b""), b"200"),
}
"""Requests, and how the status of their responses begins: the first PUT is 201, the others 200."""
LINKS = ("GET by a link", "GET by new links")
"""The cases whose URL has a signed link; without its view, a link is as expensive as one that is used first."""
TOKENS = {
    "GET with a token": (10, ""),
    "of 10,000 tokens": (10_000, ""),
    "GET below prefix": (10, "k"),
    **dict.fromkeys(LINKS, (10, "")),
}
"""The number of tokens of the cases that send one or a link, and the prefix of that token."""


def clock() -> int:
    return NOW_S * 10**9


class Transport(asyncio.Transport):
    """A client that takes every response at once; `written` is set by each write."""

    def __init__(self) -> None:
        super().__init__()
        self.written = asyncio.Event()
        self.response = b""

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
        self.written.set()


async def send_requests(case: str, count: int) -> None:
    """Send the first requests of every case, then `count` of `case`."""
    with tempfile.TemporaryDirectory() as folder:
        urls = {"memory": "memory:", "docs": f"sqlite:{folder}/docs.db"}
        mounts = [Mount(name, open_engine(EngineURL.parse(url), clock)) for name, url in urls.items()]
        store = Store(mounts, clock=clock)
        guarded = {
            case: Store(mounts, clock=clock, tokens=make_tokens(f"{folder}/{number}", *made), anonymous=None)
            for number, (case, made) in enumerate(TOKENS.items())
        }
        connections = {case: connect(each) for case, each in {"": store, **guarded}.items()}

        links = {case: await sign(guarded[case]) for case in LINKS}

        async def send(case: str, times: int) -> None:
            request, status = CASES[case]
            request = request.replace(b"/key ", b"/key?link=%b " % links[case]) if case in LINKS else request
            protocol, transport = connections.get(case) or connections[""]
            for _ in range(times):
                if case == "GET by new links":
                    guarded[case]._access._link_views.clear()
                transport.written.clear()
                protocol.data_received(request)
                await transport.written.wait()
                assert transport.response.startswith(b"HTTP/1.1 " + status), transport.response

        for each in CASES:
            await send(each, FIRST_REQUESTS)
        await send(case, count)
        for protocol, _ in connections.values():
            protocol.connection_lost(None)
        await store.close()


def connect(store: Store) -> tuple[http1.Protocol, Transport]:
    config: Any = SimpleNamespace(loaded_app=http1.UvicornApplication(asgi(store), store.handle))
    state: Any = SimpleNamespace(connections=set(), tasks=set(), total_requests=0)
    protocol, transport = http1.Protocol(config, state, {}), Transport()
    protocol.connection_made(transport)
    return protocol, transport


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


def instructions(case: str, count: int) -> int:
    """The instructions of a child that sends `count` requests beyond the first ones."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, __file__]
    child = subprocess.run(
        [*command, "--case", case, "--requests", str(count)],
        capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False,
    )  # fmt: skip
    collected = re.search(r"Collected : (\d+)", child.stderr)
    if child.returncode or collected is None:
        raise SystemExit(child.stderr)
    return int(collected[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000, help="how many of each case are counted")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        # What is formatted once a second, such as Date, would count more often on a slow machine.
        time.time = lambda: NOW_S
        uvloop.run(send_requests(given.case, given.requests))
        return
    with ThreadPoolExecutor(2) as pool:
        start = pool.submit(instructions, next(iter(CASES)), 0)
        counts = {case: pool.submit(instructions, case, given.requests) for case in CASES}
    for case, count in counts.items():
        print(f"{case:16} {(count.result() - start.result()) / given.requests:10,.0f} instructions a request")


if __name__ == "__main__":
    main()
