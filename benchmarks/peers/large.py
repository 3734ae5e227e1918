"""What takes seconds once: a document of 1 GiB up and down, and the listing of all of the many keys.

Python is the client. It compares each piece that it receives with what it sent, and each listing with all keys, after
the time was taken. Redis can't store 1 GiB in a value, and etcd not in a request.
"""

import json
import socket
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.peers.requests import FOLDERS, http_request, key_of
from benchmarks.peers.servers import Server

PIECE = 1 << 20
LARGE = 1024 * PIECE
NOISE = bytes((index * index * 31 + index // 251) % 256 for index in range(PIECE))
TIMEOUT_S = 300


def piece_of(number: int) -> bytes:
    return number.to_bytes(8, "big") + NOISE[8:]


@dataclass(frozen=True)
class LargeWorkload:
    """`run` returns how many of the unit a second."""

    name: str
    run: Callable[[Server, int], float]
    servers: tuple[str, ...]
    needs_many: bool = False


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_S)


def read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Return the head of a response, and what came with it."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(1 << 16)
        assert more, f"the response ended in {received!r}"
        received += more
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def upload(folder: str) -> Callable[[Server, int], float]:
    def run(server: Server, many: int) -> float:
        head = http_request("PUT", f"{path_in(folder, server)}large", Content_Length=str(LARGE))
        began = time.perf_counter()
        with connect(server) as connection:
            connection.sendall(head)
            for number in range(LARGE // PIECE):
                connection.sendall(piece_of(number))
            status = read_head(connection)[0].split(b" ")[1]
        assert status in (b"200", b"201", b"204"), status
        return LARGE / 1e6 / (time.perf_counter() - began)

    return run


def download(folder: str) -> Callable[[Server, int], float]:
    """The time includes that of the comparison, which takes a fraction of that of the transfer."""

    def run(server: Server, many: int) -> float:
        buffer, number = bytearray(PIECE), 0
        began = time.perf_counter()
        with connect(server) as connection:
            connection.sendall(http_request("GET", f"{path_in(folder, server)}large"))
            head, rest = read_head(connection)
            assert head.startswith(b"HTTP/1.1 200"), head
            assert b"content-length: %d" % LARGE in head.lower(), head
            buffer[: len(rest)] = rest
            have = len(rest)
            while number < LARGE // PIECE:
                while have < PIECE:
                    count = connection.recv_into(memoryview(buffer)[have:])
                    assert count, f"the response ended after {number} MiB"
                    have += count
                assert buffer == piece_of(number), f"{server.name} returned other bytes in MiB {number}"
                number, have = number + 1, 0
        return LARGE / 1e6 / (time.perf_counter() - began)

    return run


def path_in(folder: str, server: Server) -> str:
    return FOLDERS[folder if server.name == "docs" else server.name]


LISTINGS = {
    "docs": http_request("GET", "/many/", Accept="application/x-ndjson", Connection="close"),
    "nginx": http_request("GET", "/many/", Connection="close"),
    "webdis": http_request("GET", "/KEYS/k*", Connection="close"),
    "etcd": http_request("POST", "/v3/kv/range", b'{"key":"aw==","range_end":"bA==","keys_only":true}',
                         Connection="close"),
}  # fmt: skip


def list_all(server: Server, many: int) -> float:
    """List all keys with what the server says of each: Docstore also sizes, digests and times."""
    received = bytearray()
    began = time.perf_counter()
    with connect(server) as connection:
        connection.sendall(LISTINGS[server.name])
        while more := connection.recv(PIECE):
            received += more
    duration_s = time.perf_counter() - began
    head, _, content = bytes(received).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    if b"transfer-encoding: chunked" in head.lower():
        content = b"".join(chunks(content))
    assert sorted(listed(server.name, content)) == [key_of("k", number) for number in range(many)], server.name
    return many / duration_s


def chunks(content: bytes) -> list[bytes]:
    found: list[bytes] = []
    position = 0
    while True:
        line_end = content.index(b"\r\n", position)
        size = int(content[position:line_end], 16)
        if not size:
            return found
        found.append(content[line_end + 2 : line_end + 2 + size])
        position = line_end + 2 + size + 2


def listed(server: str, content: bytes) -> list[str]:
    if server == "docs":
        return [json.loads(line)["key"] for line in content.splitlines()]
    if server == "nginx":
        return [each["name"] for each in json.loads(content)]
    if server == "webdis":
        keys: list[str] = json.loads(content)["KEYS"]
        return keys
    return [b64decode(each["key"]).decode() for each in json.loads(content)["kvs"]]


LARGE_WORKLOADS = (
    LargeWorkload("whole listing, keys/s", list_all, ("docs", "nginx", "webdis", "etcd"), needs_many=True),
    LargeWorkload("1 GiB up, MB/s", upload("docs"), ("docs", "nginx")),
    LargeWorkload("1 GiB down, MB/s", download("docs"), ("docs", "nginx")),
    LargeWorkload("file: 1 GiB up, MB/s", upload("file"), ("docs", "nginx")),
    LargeWorkload("file: 1 GiB down, MB/s", download("file"), ("docs", "nginx")),
)
