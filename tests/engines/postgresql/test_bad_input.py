"""What may become wrong while a server runs: it is unavailable meanwhile, and works again without a restart."""

import asyncio
import time
from collections.abc import Callable

import pytest

from docstore.engines.postgresql.engine import Postgres
from docstore.engines.shared import clocks
from docstore.errors import OutcomeUnknown, StorageUnavailable
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import put_data, read_data
from tests.engines.postgresql.servers import disconnect, opened, recovered, run
from tests.postgresql_server import PostgresServer


async def refused_until(engine: Postgres, why: str, mend: Callable[[], object]) -> None:
    """Check that reads and writes are refused and that they work again, without a restart, after `mend`."""
    for call in (lambda: engine.get("key"), lambda: put_data(engine, "key", b"refused")):
        with pytest.raises(StorageUnavailable, match=why) as refused:
            await call()
        assert not isinstance(refused.value, OutcomeUnknown)
    await asyncio.to_thread(mend)
    await recovered(engine, "other")
    assert await read_data(engine, "key") == b"before"


def test_a_password_that_is_changed_is_unavailable_until_it_is_right_again(server: PostgresServer) -> None:
    server.require_passwords("guarded", "right")

    async def test() -> None:
        async with opened(f"postgresql://guarded:right@127.0.0.1:{server.port}/docs") as engine:
            await put_data(engine, "key", b"before")
            server.sql("ALTER ROLE guarded PASSWORD 'changed'")
            disconnect(server)
            await refused_until(engine, "password", lambda: server.sql("ALTER ROLE guarded PASSWORD 'right'"))

    run(test())


def test_a_database_that_is_renamed_is_unavailable_until_it_is_back(server: PostgresServer) -> None:
    server.sql("CREATE DATABASE moving")

    async def test() -> None:
        async with opened(f"postgresql://docs@127.0.0.1:{server.port}/moving") as engine:
            await put_data(engine, "key", b"before")
            disconnect(server)
            server.sql("ALTER DATABASE moving RENAME TO moved")
            await refused_until(engine, "does not exist", lambda: server.sql("ALTER DATABASE moved RENAME TO moving"))

    run(test())


def test_tables_that_become_newer_are_unavailable(server: PostgresServer, url: str) -> None:
    schema = url.partition("prefix=")[2] + "_schema"

    async def test() -> None:
        async with opened(url) as engine:
            await put_data(engine, "key", b"before")
            server.sql(f"UPDATE {schema} SET version = 99")
            disconnect(server)
            await refused_until(engine, "version 99", lambda: server.sql(f"UPDATE {schema} SET version = 1"))

    run(test())


def test_a_clock_that_becomes_wrong_is_unavailable(
    server: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened(url) as engine:
            await put_data(engine, "key", b"before")
            monkeypatch.setattr(clocks, "time", lambda: time.time() + 3600)
            disconnect(server)
            await refused_until(engine, "clock", lambda: monkeypatch.setattr(clocks, "time", time.time))

    run(test())


def test_a_server_whose_clock_is_ahead_removes_nothing_early(server: PostgresServer, url: str) -> None:
    async def test() -> None:
        now_ns = time.time_ns()
        async with opened(url, SetClock(now_ns)) as engine, opened(url, SetClock(now_ns + 3600 * 10**9)) as ahead:
            await put_data(engine, "past", b"", expires_ns=now_ns + 1)
            await put_data(engine, "soon", b"data", expires_ns=now_ns + 600 * 10**9)
            assert await ahead.sweep() == 1
            assert await read_data(engine, "soon") == b"data"

    run(test())
