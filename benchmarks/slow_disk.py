"""Measure whether reads wait for writes that wait for the disk: the latencies of GET while each flush takes 50 ms.

    python benchmarks/slow_disk.py [--flush 0.05] [--seconds 5] [--writers 32]

The server is `docstore serve` with sqlite, over a file system layer (a VFS of SQLite) that sleeps before each flush.
Eight connections read documents that exist; first alone, then while `--writers` connections write others. It prints
the latencies of the reads and of the writes in milliseconds. A read that waited for a commit would take a flush.
"""

import argparse
import asyncio
import re
import statistics
import subprocess
import sys
import tempfile
import time

READERS = 8
SLOW_DISK = """
import sys, time

import apsw

FLUSH_S = float(sys.argv.pop(1))

class SlowFile(apsw.VFSFile):
    def __init__(self, name, flags):
        super().__init__("unix", name, flags)

    def xSync(self, flags):
        time.sleep(FLUSH_S)
        return super().xSync(flags)

class SlowDisk(apsw.VFS):
    def __init__(self):
        super().__init__("slow", "unix", makedefault=True)

    def xOpen(self, name, flags):
        return SlowFile(name, flags)

slow_disk = SlowDisk()
"""
"""Code that makes each flush of SQLite in its process take as many seconds longer as its first argument says."""
SERVER = f"""
{SLOW_DISK}
from docstore.cli.main import main
main()
"""


async def request(port: int, method: str, keys: str, until_s: float, spent_ms: list[float]) -> None:
    """Send one request after another to documents named `keys` and a number, and note how long each takes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0
    while time.perf_counter() < until_s:
        number += 1
        content = b"x" * 100 if method == "PUT" else b""
        head = (
            f"{method} /docs/{keys}{number % 100} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        began_s = time.perf_counter()
        writer.write(head.encode("ascii") + content)
        answer = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.findall(rb"content-length: (\d+)", answer)[0]))
        spent_ms.append((time.perf_counter() - began_s) * 1000)
        assert re.match(rb"HTTP/1.1 20[01] ", answer), answer
    writer.close()


def show(what: str, spent_ms: list[float]) -> None:
    parts = statistics.quantiles(spent_ms, n=1000)
    found = f"p50 {parts[499]:7.2f}  p99 {parts[989]:7.2f}  p99.9 {parts[998]:7.2f}  longest {max(spent_ms):7.2f} ms"
    print(f"{what:24} {len(spent_ms):8,}  {found}", flush=True)


async def measure(port: int, seconds: float, writers: int) -> None:
    async def run(reading: int, writing: int, seconds: float) -> tuple[list[float], list[float]]:
        reads: list[float] = []
        writes: list[float] = []
        until_s = time.perf_counter() + seconds
        await asyncio.gather(
            *(request(port, "GET", "read", until_s, reads) for _ in range(reading)),
            *(request(port, "PUT", f"written{number}-", until_s, writes) for number in range(writing)),
        )
        return reads, writes

    for number in range(100):
        await store(port, f"read{number}")
    show("GET alone", (await run(READERS, 0, seconds))[0])
    reads, writes = await run(READERS, writers, seconds)
    show(f"GET beside {writers} writers", reads)
    show("PUT", writes)


async def store(port: int, key: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"PUT /docs/{key} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx".encode("ascii"))
    assert (await reader.readline()).startswith(b"HTTP/1.1 20")
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flush", type=float, default=0.05, help="seconds of each flush")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--writers", type=int, default=32)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", SERVER, str(given.flush), "serve", "--port", "0", "--data", folder]
        command += ["--mount", f"docs=sqlite:{folder}/docs.db", "--log-level", "warning"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            port = int(re.findall(r"http://[^:]+:(\d+)", server.stdout.readline())[0])
            asyncio.run(measure(port, given.seconds, given.writers))
        finally:
            server.terminate()
            server.wait(60)


if __name__ == "__main__":
    main()
