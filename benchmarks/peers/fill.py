"""Store the many documents of which workloads request some at random, in the fastest way that each server has.

Each has 100 bytes that begin with its key (`content_of`). Docstore's are stored through its engine before the server
starts, and nginx's as files; Redis and etcd get them in batches.
"""

import asyncio
import json
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.peers.requests import ask, content_of, http_request, key_of
from benchmarks.peers.servers import Server, redis_socket
from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.model import Fields

SIZE = 100
BATCH = 1000
"""Not more than etcd accepts in a transaction."""


def documents(count: int) -> Iterator[list[tuple[str, bytes]]]:
    """Yield keys and contents in batches."""
    for start in range(0, count, BATCH):
        keys = [key_of("k", number) for number in range(start, min(start + BATCH, count))]
        yield [(key, content_of(key, SIZE, "")) for key in keys]


def fill_docs(server: Server, count: int) -> None:
    asyncio.run(_fill_sqlite(server.folder / "many.db", count))


async def _fill_sqlite(path: Path, count: int) -> None:
    engine = open_engine(EngineURL("sqlite", str(path)))
    fields = Fields("application/octet-stream")
    for batch in documents(count):
        await asyncio.gather(*(engine.put(PutRequest(key, BytesContent(content), fields)) for key, content in batch))
    await engine.close()


def fill_nginx(server: Server, count: int) -> None:
    folder = server.folder / "www" / "many"
    folder.mkdir(parents=True)
    for batch in documents(count):
        for key, content in batch:
            (folder / key).write_bytes(content)


def fill_webdis(server: Server, count: int) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(redis_socket(server)))
        replies = connection.makefile("rb")
        for batch in documents(count):
            command = b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
            connection.sendall(b"".join(command % (len(key), key.encode(), SIZE, content) for key, content in batch))
            assert all(replies.readline() == b"+OK\r\n" for _ in batch)


def fill_etcd(server: Server, count: int) -> None:
    for batch in documents(count):
        puts = [
            {"requestPut": {"key": b64encode(key.encode()).decode(), "value": b64encode(content).decode()}}
            for key, content in batch
        ]
        response = ask(server.port, http_request("POST", "/v3/kv/txn", json.dumps({"success": puts}).encode()))
        assert response.status == 200, response


BEFORE_START: dict[str, Callable[[Server, int], None]] = {"docs": fill_docs, "nginx": fill_nginx}
AFTER_START: dict[str, Callable[[Server, int], None]] = {"webdis": fill_webdis, "etcd": fill_etcd}
