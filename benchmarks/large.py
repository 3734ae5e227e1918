"""Upload and download of documents of any size: speed, and the server's peak memory.

    python benchmarks/large.py [--sizes 0,1KiB,1MiB,1GiB,20GiB] [--engines file,sqlite] [--data FOLDER]

The server is `docstore serve`. The client generates content as it sends it and hashes what it receives, so that neither
side holds it; both digests must be equal. Printed for each size: seconds and MB/s each way, and the peak of the
server's resident memory since its start. At the end, a document of one byte more than the limit must get 413 before any
of it is sent when it is announced, and 413 without being stored when it is sent in chunks. FOLDER needs space for one
document.
"""

import argparse
import hashlib
import http.client
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PIECE = 1 << 20
NOISE = bytes((index * index * 31 + index // 251) % 256 for index in range(PIECE))
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def size_of(text: str) -> int:
    match = re.fullmatch(r"(\d+)(|KiB|MiB|GiB)", text)
    if match is None:
        raise SystemExit(f"{text!r} is not a size")
    return int(match[1]) * UNITS[match[2]]


def pieces(size: int) -> Iterator[bytes]:
    """Yield `size` bytes in pieces that all differ."""
    for start in range(0, size, PIECE):
        piece = start.to_bytes(8, "big") + NOISE[8:]
        yield piece[: size - start]


class Server:
    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.host, self.port = re.fullmatch(r"http://([^:]+):(\d+)/?", url).groups()
        self.process = process

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, int(self.port), timeout=600)

    def peak_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1000


@contextmanager
def serving(mount: str, data: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", "docstore", "serve", "--port", "0", "--data", str(data), "--mount", mount]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield Server(re.search(r"http://\S+", process.stdout.readline())[0], process)
    finally:
        process.terminate()
        process.wait(60)


def upload(server: Server, size: int) -> tuple[float, bytes]:
    """Return the seconds, and the digest of what was sent."""
    digest, connection = hashlib.sha256(), server.connect()

    def hashed() -> Iterator[bytes]:
        for piece in pieces(size):
            digest.update(piece)
            yield piece

    began = time.perf_counter()
    connection.request("PUT", "/large/document", hashed(), {"Content-Length": str(size)})
    answer = connection.getresponse()
    assert answer.status in (200, 201), (answer.status, answer.read())
    connection.close()
    return time.perf_counter() - began, digest.digest()


def download(server: Server) -> tuple[float, bytes]:
    digest, connection = hashlib.sha256(), server.connect()
    began = time.perf_counter()
    connection.request("GET", "/large/document")
    answer = connection.getresponse()
    assert answer.status == 200
    piece = bytearray(PIECE)
    while count := answer.readinto(piece):
        digest.update(memoryview(piece)[:count])
    connection.close()
    return time.perf_counter() - began, digest.digest()


def measure(server: Server, engine: str, size: int) -> None:
    up_s, sent = upload(server, size)
    down_s, received = download(server)
    assert sent == received, f"{engine} returned different bytes"
    print(
        f"{engine:8}{size:>14,}  up {up_s:8.2f} s {size / up_s / 1e6:7.0f} MB/s"
        f"  down {down_s:8.2f} s {size / down_s / 1e6:7.0f} MB/s  peak {server.peak_mb():5.0f} MB",
        flush=True,
    )
    connection = server.connect()
    connection.request("DELETE", "/large/document")
    assert connection.getresponse().status == 200


def refuse(server: Server, engine: str, limit: int) -> None:
    """Check for 413 before anything is sent, and for 413 in the middle of chunks."""
    connection = server.connect()
    connection.putrequest("PUT", "/large/document")
    connection.putheader("Content-Length", str(limit + 1))
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    announced = connection.getresponse().status
    connection.close()
    connection = server.connect()
    try:
        connection.request("PUT", "/large/document", pieces(limit + 1), encode_chunked=True)
        chunked: int | str = connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        chunked = connection.getresponse().status
    connection.close()
    connection = server.connect()
    connection.request("HEAD", "/large/document")
    assert connection.getresponse().status == 404, "a refused document was stored"
    assert (announced, chunked) == (413, 413), (announced, chunked)
    print(f"{engine:8}{limit + 1:>14,}  413 announced, 413 in chunks  peak {server.peak_mb():5.0f} MB", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sizes", default="0,1KiB,1MiB,1GiB")
    arguments.add_argument("--engines", default="file,sqlite")
    arguments.add_argument("--data", type=Path)
    given = arguments.parse_args()
    sizes = [size_of(text) for text in given.sizes.split(",")]
    for engine in given.engines.split(","):
        with tempfile.TemporaryDirectory(dir=given.data) as folder:
            data = Path(folder)
            location = data / ("docs.db" if engine == "sqlite" else "documents")
            mount = f"large={engine}:{location}?max_document={max(sizes)}"
            with serving(mount, data) as server:
                for size in sizes:
                    measure(server, engine, size)
                refuse(server, engine, max(sizes))


if __name__ == "__main__":
    main()
