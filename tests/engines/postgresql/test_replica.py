"""A replica that lags: it is never read, whatever its place in the list of hosts, and not when the primary is gone."""

import asyncio
import socket
import subprocess
from collections.abc import Iterator

import pytest

from docstore.engines.registry import EngineURL, open_engine
from docstore.errors import OpenError, StorageUnavailable
from docstore.testing.contract.documents import put_data, read_data
from tests.engines.postgresql.servers import opened, run, until
from tests.postgresql_server import BINARIES, PostgresServer

DISCONNECT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"


class Replica:
    """A hot standby of a server, which receives all writes and applies none until it is told to."""

    def __init__(self, primary: PostgresServer) -> None:
        self._data = primary.folder / "replica"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        address = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "docs"]
        primary.run_program("pg_basebackup", *address, "-D", str(self._data), "-R", "-X", "stream", "-c", "fast")
        settings = f"-c port={self.port} -c listen_addresses=127.0.0.1 -c max_connections=200 -c fsync=off"
        settings += " -c unix_socket_directories="
        log = str(primary.folder / "replica.log")
        primary.run_program("pg_ctl", "start", "-w", "-D", str(self._data), "-l", log, "-o", settings)
        self._primary = primary

    def sql(self, statement: str) -> str:
        command = [BINARIES / "psql", "-XqAt", f"postgresql://docs@127.0.0.1:{self.port}/postgres", "-c", statement]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def stop(self) -> None:
        self._primary.run_program("pg_ctl", "stop", "-w", "-D", str(self._data), "-m", "immediate")


@pytest.fixture(scope="module")
def replica(server: PostgresServer) -> Iterator[Replica]:
    replica = Replica(server)
    try:
        yield replica
    finally:
        replica.stop()


def test_a_replica_that_lags_is_never_read(server: PostgresServer, url: str, replica: Replica) -> None:
    hosts = url.replace(f"127.0.0.1:{server.port}", f"127.0.0.1:{replica.port},127.0.0.1:{server.port}")
    table = url.partition("prefix=")[2] + "_documents"

    async def test() -> None:
        async with opened(hosts) as engine:
            await put_data(engine, "key", b"before")
            await until(lambda: replica.sql(f"SELECT to_regclass('{table}')") == table)
            await until(lambda: replica.sql(f"SELECT count(*) FROM {table}") == "1")
            replica.sql("SELECT pg_wal_replay_pause()")
            await until(lambda: replica.sql("SELECT pg_get_wal_replay_pause_state()") == "paused")
            await put_data(engine, "key", b"after")
            await put_data(engine, "new", b"new")
            assert replica.sql(f"SELECT count(*) FROM {table}") == "1"
            for number in range(20):
                assert await read_data(engine, "key") == b"after"
                assert [meta.key for meta in await engine.list()] == ["key", "new"]
                if number % 5 == 0:
                    await asyncio.to_thread(server.sql, f"{DISCONNECT} AND backend_type = 'client backend'")
            await asyncio.to_thread(server.stop, "immediate")
            for call in (engine.get("key"), engine.list(), put_data(engine, "key", b"lost")):
                with pytest.raises(StorageUnavailable):
                    await call
            await asyncio.to_thread(server.start)
            assert await read_data(engine, "key") == b"after"

    run(test())


def test_a_replica_alone_is_refused_in_one_line(server: PostgresServer, url: str, replica: Replica) -> None:
    with pytest.raises(OpenError, match="no host accepts writes") as refused:
        open_engine(EngineURL.parse(url.replace(f":{server.port}/", f":{replica.port}/")))
    assert "\n" not in str(refused.value)
