"""Compare Docstore's HTTP/1.1 protocol with uvicorn's under the same application, and with one that sends a constant.

    python benchmarks/wire.py [--seconds 1] [--rounds 9] [--connections 32] [--idle 10000]

Each server is a process pinned to one core; the client is pinned to another. Rounds are interleaved, and ratios are of
measurements in the same round, because the speed of a shared machine varies. The output has medians.
GET of one document favours a cache, so there are also many documents in random order, and more than the sqlite engine
caches. The server's CPU time a request (user and system) varies less than requests a second on a shared machine, and
does not depend on a client that can't keep up. The last lines are the memory that idle connections take.
"""

import argparse
import itertools
import os
import random
import resource
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SERVERS = ("wire", "uvicorn", "constant")
DOCUMENT = b"x" * 200
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Case:
    """Requests that are repeated in turn, and the servers that answer them."""

    name: str
    requests: list[bytes]
    servers: tuple[str, ...]
    rates: dict[str, list[float]] = field(default_factory=dict)
    costs_us: dict[str, list[float]] = field(default_factory=dict)


HEAD = b"Host: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n"
PUT = b"PUT /%b/bench HTTP/1.1\r\n" + HEAD + b"Content-Type: text/plain\r\nContent-Length: 200\r\n\r\n" + DOCUMENT
GET = b"GET /%b/bench HTTP/1.1\r\n" + HEAD + b"\r\n"


MANY = 10_000
MORE = 50_000
"""Documents of 200 bytes: `RECENT_SIZE` of the sqlite engine holds some 13,700 of them."""


def key(number: int) -> str:
    return f"{number:05}"


def gets(count: int) -> list[bytes]:
    """Return a GET of each of the first documents in sqlite, in a random order that is the same in every run."""
    target = b"GET /docs/%b HTTP/1.1\r\n" + HEAD + b"\r\n"
    return [target % key(number).encode("ascii") for number in random.Random(count).sample(range(count), count)]


def cases() -> list[Case]:
    return [
        Case("GET from memory", [GET % b"memory"], SERVERS),
        Case("GET from sqlite", [GET % b"docs"], SERVERS),
        Case(f"GET of {MANY} from sqlite", gets(MANY), SERVERS),
        Case(f"GET of {MORE} from sqlite", gets(MORE), SERVERS),
        Case("PUT to memory", [PUT % b"memory"], ("wire", "uvicorn")),
        Case("PUT to sqlite, durable", [PUT % b"docs"], ("wire", "uvicorn")),
    ]


def fill(database: Path) -> None:
    """Store the documents that `gets` requests, each with different content."""
    import asyncio

    from docstore.content import BytesContent
    from docstore.engines.contract import PutRequest
    from docstore.engines.registry import EngineURL, open_engine
    from docstore.model import Fields

    async def put_all() -> None:
        engine = open_engine(EngineURL.parse(f"sqlite:{database}"))
        for start in range(0, MORE, 1000):
            some = [key(number) for number in range(start, start + 1000)]
            await asyncio.gather(
                *(engine.put(PutRequest(name, BytesContent(name.encode() * 40), Fields())) for name in some)
            )
        await engine.close()

    asyncio.run(put_all())


def serve(kind: str, data: Path) -> None:
    """Run a server in this process; print its port."""
    import asyncio

    import uvicorn

    from docstore.config import Settings
    from docstore.engines.registry import EngineURL, open_engine
    from docstore.server import http1
    from docstore.server.app import Store
    from docstore.server.mounts import Mount
    from docstore.server.run import application

    class Constant(asyncio.Protocol):
        """Follows no rule and parses nothing: the cost of the loop and the socket alone."""

        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n" + DOCUMENT

        def __init__(self, **_: object) -> None:
            pass

        def connection_made(self, transport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(self.answer)

        def shutdown(self) -> None:
            self.transport.close()

    if kind != "constant":
        fill(data / "docs.db")
    urls = {"memory": "memory:", "docs": f"sqlite:{data}/docs.db"}
    store = Store([Mount(name, open_engine(EngineURL.parse(url))) for name, url in urls.items()])
    http = {"wire": http1.Protocol, "uvicorn": "httptools", "constant": Constant}[kind]
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        application(store, Settings(http="uvicorn" if kind == "uvicorn" else "wire")),
        http=http, loop="uvloop", ws="none", interface="asgi3", log_config=None, access_log=False, server_header=False,
        proxy_headers=False, timeout_keep_alive=600,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])


class Server:
    def __init__(self, kind: str, data: Path, core: int) -> None:
        self.kind = kind
        data.mkdir()
        command = [sys.executable, __file__, "--serve", kind, "--data", str(data)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        os.sched_setaffinity(self.process.pid, {core})
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def cpu_s(self) -> float:
        """Return user and system time of all its threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def connected(port: int, count: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(count)]


def answer_of(connection: socket.socket, request: bytes) -> bytes:
    """Return one complete response."""
    connection.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < size:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def load(server: Server, requests: list[bytes], connections: int, seconds: float) -> tuple[float, float]:
    """Return requests a second, and microseconds of the server's CPU for each."""
    os.sync()  # Otherwise writes of the case before would reach the disk during this one.
    with connected(server.port, connections) as sockets:
        sizes = {len(answer_of(sockets[0], request)) for request in (requests * 3)[:10]}
        assert len(sizes) == 1, f"answers of {server.kind} differ in size"
        size = sizes.pop()
        poll = select.epoll()
        missing = {}
        request = itertools.cycle(requests)
        for connection in sockets:
            connection.setblocking(False)
            poll.register(connection.fileno(), select.EPOLLIN)
            missing[connection.fileno()] = size
        by_number = {connection.fileno(): connection for connection in sockets}
        started_s, started_cpu_s, done = time.perf_counter(), server.cpu_s(), 0
        for connection in sockets:
            connection.send(next(request))
        while time.perf_counter() - started_s < seconds:
            for number, _ in poll.poll(1):
                got = len(by_number[number].recv(65536))
                assert got, f"{server.kind} closed a connection"
                missing[number] -= got
                if missing[number] == 0:
                    done += 1
                    missing[number] = size
                    by_number[number].send(next(request))
        lasted_s, cpu_s = time.perf_counter() - started_s, server.cpu_s() - started_cpu_s
        poll.close()
    return done / lasted_s, cpu_s / done * 1e6


def idle_memory(server: Server, count: int) -> int:
    """Return the bytes that `count` connections take that are idle after one request."""
    with connected(server.port, 1) as sockets:
        answer_of(sockets[0], GET % b"memory")
    before = server.memory()
    with connected(server.port, count) as sockets:
        for connection in sockets:
            answer_of(connection, GET % b"memory")
        return server.memory() - before


def main(arguments: argparse.Namespace) -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {kind: Server(kind, Path(folder) / kind, cores[0]) for kind in SERVERS}
        for server in servers.values():
            stack.callback(server.stop)
        for kind in ("wire", "uvicorn"):
            with connected(servers[kind].port, 1) as (connection,):
                for mount in (b"memory", b"docs"):
                    assert b" 20" in answer_of(connection, PUT % mount)
        table = cases()
        for _ in range(arguments.rounds):
            for case in table:
                for kind in case.servers:
                    rate, cost_us = load(servers[kind], case.requests, arguments.connections, arguments.seconds)
                    case.rates.setdefault(kind, []).append(rate)
                    case.costs_us.setdefault(kind, []).append(cost_us)
        report(table)
        if arguments.idle:
            for kind in ("wire", "uvicorn"):
                taken = idle_memory(servers[kind], arguments.idle)
                each = taken // arguments.idle
                print(f"{arguments.idle} idle connections of {kind}: {taken / 1e6:.0f} MB, {each} B each")


def ratio(over: list[float], under: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def report(table: list[Case]) -> None:
    print(f"{'':26}{'server':>10}{'requests/s':>12}{'CPU us each':>13}{'rate, wire to it':>18}{'CPU, it to wire':>17}")
    for case in table:
        for kind in case.servers:
            rates, costs_us = case.rates[kind], case.costs_us[kind]
            columns = f"{statistics.median(rates):>12.0f}{statistics.median(costs_us):>13.1f}"
            ratios = f"{ratio(case.rates['wire'], rates):>17.2f}x{ratio(costs_us, case.costs_us['wire']):>16.2f}x"
            print(f"{case.name:26}{kind:>10}{columns}{ratios}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--serve", choices=SERVERS, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.data)
    else:
        main(given)
