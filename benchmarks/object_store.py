"""What Docstore adds to an object store: latency, throughput and memory beside those of the store asked directly.

    python benchmarks/object_store.py 's3://bucket/prefix?endpoint=http://127.0.0.1:7481' [--rounds 300] [--size 256]

Both ask the same store in turn: obstore from this process, and `docstore serve` over HTTP. Latency is the median of
small documents, one request at a time: of new keys, of one key that is replaced, and of reads. Throughput is that of
one document of --size MB. The credentials are those of the environment.
"""

import argparse
import http.client
import re
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from large import Server, pieces, serving

from docstore.engines.object_store.opening import open_bucket
from docstore.engines.registry import EngineURL

CONTENT = b"hello" * 40
PART_SIZE = 8 << 20
Act = Callable[[int], object]


def compare(what: str, rounds: int, direct: Act, served: Act) -> None:
    """Run both in turn, so that a busy machine slows both, and print the medians in milliseconds."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 5):
        for act, spent in zip((direct, served), times, strict=True):
            began = time.perf_counter()
            act(number)
            spent.append((time.perf_counter() - began) * 1000)
    one, other = (statistics.median(spent[5:]) for spent in times)
    print(f"{what:8}  direct {one:7.2f} ms  docstore {other:7.2f} ms  {other / one:.2f}x", flush=True)


def latency(url: str, server: Server, rounds: int) -> None:
    _, store = open_bucket(EngineURL.parse(url))
    connection = socket.create_connection((server.host, int(server.port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(method: str, key: str, content: bytes = b"") -> None:
        """Send a request and receive its response, without a client library that costs more than the server."""
        head = f"{method} /large/{key} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content)
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        end, length = received.index(b"\r\n\r\n") + 4, re.search(rb"(?i)\r\ncontent-length: (\d+)", received)
        while len(received) < end + int(length[1]):
            received += connection.recv(65536)
        assert received[9:12] in (b"200", b"201"), received

    compare("PUT new", rounds, lambda n: store.put(f"y/{n}", CONTENT), lambda n: ask("PUT", f"k{n}", CONTENT))
    compare("PUT same", rounds, lambda n: store.put("y/0", CONTENT), lambda n: ask("PUT", "k0", CONTENT))
    compare("GET", rounds, lambda n: store.get(f"y/{n}").bytes(), lambda n: ask("GET", f"k{n}"))


def throughput(url: str, server: Server, size: int) -> None:
    _, store = open_bucket(EngineURL.parse(url))
    connection = http.client.HTTPConnection(server.host, int(server.port), timeout=600)
    buffer = bytearray(1 << 20)

    def put() -> None:
        connection.request("PUT", "/large/large", pieces(size), {"Content-Length": str(size)})
        assert connection.getresponse().read() == b"large\n"

    def get() -> None:
        connection.request("GET", "/large/large")
        answer, received = connection.getresponse(), 0
        while count := answer.readinto(buffer):
            received += count
        assert received == size

    def timed(act: Callable[[], object]) -> float:
        began = time.perf_counter()
        act()
        return time.perf_counter() - began

    for _ in range(3):
        up = timed(lambda: store.put("y/large", pieces(size), chunk_size=PART_SIZE, max_concurrency=4)), timed(put)
        down = timed(lambda: sum(map(len, store.get("y/large").stream(min_chunk_size=1 << 20)))), timed(get)
        for what, (direct_s, served_s) in (("up", up), ("down", down)):
            rates = f"direct {size / direct_s / 1e6:4.0f}, docstore {size / served_s / 1e6:4.0f} MB/s"
            print(
                f"{size >> 20} MB {what:4}  {rates}  {direct_s / served_s:.2f}x  peak {server.peak_mb():.0f} MB",
                flush=True,
            )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("url")
    arguments.add_argument("--rounds", type=int, default=300)
    arguments.add_argument("--size", type=int, default=256)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(f"large={given.url}", Path(folder)) as server:
        latency(given.url, server, given.rounds)
        throughput(given.url, server, given.size << 20)


if __name__ == "__main__":
    main()
