"""The cost of `handle` in process: microseconds a request, without sockets. `make bench`.

Each line is the median of several rounds, and its ratio to a plain GET from memory in the same run: ratios differ less
between machines. The other lines show what conditions, ranges and digests add. Writes to sqlite are in `wire.py`: here
each would wait for its own commit.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from docstore.content import BytesContent
from docstore.engines.registry import EngineURL, open_engine
from docstore.http.message import NO_CONTENT, Headers, Request
from docstore.server.app import Store
from docstore.server.mounts import Mount

ROUNDS = 7
REQUESTS = 5000
USUAL = [(b"host", b"localhost"), (b"user-agent", b"bench"), (b"accept", b"*/*")]


def request(method: str, path: str, *more: tuple[bytes, bytes], content: bytes = b"") -> Request:
    return Request(method, path, "", Headers([*USUAL, *more]), BytesContent(content) if content else NO_CONTENT)


async def measure(store: Store, method: str, path: str, *more: tuple[bytes, bytes], content: bytes = b"") -> float:
    """Return the median microseconds of one request."""
    rounds = []
    for _ in range(ROUNDS):
        started_s = time.perf_counter()
        for _ in range(REQUESTS):
            await store.handle(request(method, path, *more, content=content))
        rounds.append((time.perf_counter() - started_s) / REQUESTS * 1e6)
    return statistics.median(rounds)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        urls = {"memory": "memory:", "sqlite": f"sqlite:{Path(folder) / 'bench.db'}"}
        store = Store([Mount(name, open_engine(EngineURL.parse(url)), name) for name, url in urls.items()])
        base = 0.0
        for mount in urls:
            path = f"/{mount}/key"
            written = await store.handle(request("PUT", path, content=b"x" * 300))
            tag = dict(written.headers)[b"etag"]
            cases = {
                "GET": ("GET", path),
                "GET, If-None-Match: 304": ("GET", path, (b"if-none-match", tag)),
                "GET, Range: 206": ("GET", path, (b"range", b"bytes=10-19")),
                "GET, Want-Repr-Digest": ("GET", path, (b"want-repr-digest", b"sha-256=1")),
                "HEAD": ("HEAD", path),
                "GET, not there: 404": ("GET", f"{path}-missing"),
            }
            if mount == "memory":
                cases["PUT"] = ("PUT", path, (b"content-type", b"text/plain"))
                cases["PUT, Meta-A and TTL"] = (*cases["PUT"], (b"meta-a", b"b"), (b"ttl", b"3600"))
            for name, case in cases.items():
                cost = await measure(store, *case, content=b"x" * 300 if case[0] == "PUT" else b"")
                base = base or cost
                print(f"{mount:8} {name:26} {cost:8.1f} us {cost / base:6.2f} x")
        await store.close()


if __name__ == "__main__":
    asyncio.run(main())
