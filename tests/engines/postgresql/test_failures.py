"""A database that stops, hangs, refuses writes or ends sessions: no wrong success, and recovery without a restart."""

import asyncio
import gc
import time

import pytest

from docstore.engines.postgresql import connections, writer
from docstore.engines.postgresql.engine import Postgres
from docstore.errors import NoSpace, OpenError, OutcomeUnknown, StorageUnavailable
from docstore.testing.contract.documents import make_data, put_data, read_data
from tests.engines.postgresql.servers import Network, disconnect, opened, recovered, run, until
from tests.postgresql_server import PostgresServer

WITHOUT_STANDBY = "ALTER SYSTEM SET synchronous_standby_names = 'none'"
WITH_ALL = "ALTER SYSTEM RESET synchronous_standby_names"
WRITABLE = (
    "SET default_transaction_read_only = off",
    "ALTER SYSTEM RESET default_transaction_read_only",
    "SELECT pg_reload_conf()",
)


def through(network: Network, url: str) -> str:
    """The URL of the same store behind the proxy."""
    before, _, after = url.partition("127.0.0.1:")
    return f"{before}127.0.0.1:{network.port}/{after.partition('/')[2]}"


def configure(server: PostgresServer, statement: str) -> None:
    server.sql(statement)
    server.sql("SELECT pg_reload_conf()")
    time.sleep(0.2)


def waiting_for_standby(server: PostgresServer) -> str:
    """The process that waits for a standby; empty if none does."""
    return server.sql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'").strip()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_an_engine_recovers_when_its_database_was_restarted(server: PostgresServer, url: str, mode: str) -> None:
    async def test() -> None:
        async with opened(url) as engine:
            await put_data(engine, "small", b"small")
            await put_data(engine, "large", make_data(600_000))
            await asyncio.to_thread(server.stop, mode)
            for call in (engine.get("small"), engine.list(), engine.probe(), put_data(engine, "new", b"")):
                with pytest.raises(StorageUnavailable):
                    await call
            with pytest.raises(StorageUnavailable):
                await put_data(engine, "new", make_data(600_000))
            await asyncio.to_thread(server.start)
            assert await read_data(engine, "small") == b"small"
            assert await read_data(engine, "large") == make_data(600_000)
            assert await engine.head("new") is None
            await put_data(engine, "new", make_data(600_000))

    run(test())


def test_every_acknowledged_write_survives_crashes_of_the_database(server: PostgresServer, url: str) -> None:
    async def test() -> None:
        acknowledged: dict[str, int] = {}
        refused = 0
        ended = False

        async def write(name: str) -> None:
            nonlocal refused
            number = 0
            while not ended:
                number += 1
                try:
                    await put_data(engine, name, b"%d" % number + bytes(100_000 if number % 5 == 0 else 10))
                    acknowledged[name] = number
                except StorageUnavailable:
                    refused += 1
                    await asyncio.sleep(0.01)

        async with opened(url) as engine:
            writers = [asyncio.create_task(write(f"key-{n}")) for n in range(8)]
            for _ in range(3):
                await asyncio.sleep(0.5)
                await asyncio.to_thread(server.stop, "immediate")
                await asyncio.to_thread(server.start)
            await asyncio.sleep(0.5)
            ended = True
            await asyncio.gather(*writers)
            assert refused
            for name, number in acknowledged.items():
                data = await read_data(engine, name)
                assert data is not None
                assert int(data.rstrip(b"\0")) >= number

    run(test())


def test_a_network_that_hangs_is_unavailable_and_a_write_in_it_unknown(
    server: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "READ_TIMEOUT_S", 0.5)
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(writer, "COMMIT_TIMEOUT_S", 0.7)

    async def test() -> None:
        async with Network(server.port) as network, opened(through(network, url)) as engine:
            await put_data(engine, "key", b"before")
            network.stop()
            write = asyncio.create_task(put_data(engine, "key", b"unknown"))
            await asyncio.sleep(0.05)
            with pytest.raises(StorageUnavailable):
                await engine.get("key")
            with pytest.raises(OutcomeUnknown):
                await write
            with pytest.raises(StorageUnavailable) as refused:
                await put_data(engine, "key", b"refused")
            assert not isinstance(refused.value, OutcomeUnknown)
            network.resume()
            await recovered(engine, "other")
            assert await read_data(engine, "key") in (b"before", b"unknown")

    run(test())


def test_a_network_that_hangs_at_the_start_is_refused(server: PostgresServer, url: str) -> None:
    async def test() -> None:
        async with Network(server.port) as network:
            network.stop()
            with pytest.raises(OpenError, match="no answer in time"):
                async with opened(through(network, url)):
                    pass

    run(test())


def test_a_replica_that_becomes_the_primary_is_used_while_the_former_one_hangs(
    server: PostgresServer, url: str
) -> None:
    async def test() -> None:
        async with Network(server.port) as network:
            hosts = url.replace(f"127.0.0.1:{server.port}", f"127.0.0.1:{network.port},127.0.0.1:{server.port}")
            async with opened(hosts) as engine:
                configure(server, "ALTER SYSTEM SET default_transaction_read_only = on")
                network.stop()
                write = asyncio.create_task(put_data(engine, "key", b"data"))
                await asyncio.sleep(0.5)
                assert not write.done()
                server.sql(*WRITABLE)
                await write
                assert await read_data(engine, "key") == b"data"

    run(test())


def test_a_read_whose_connection_is_cut_is_sent_again(server: PostgresServer, url: str) -> None:
    async def test() -> None:
        async with Network(server.port) as network, opened(through(network, url)) as engine:
            await put_data(engine, "key", b"data")
            network.stop()
            read = asyncio.create_task(engine.get("key"))
            await asyncio.sleep(0.1)
            network.cut()
            network.resume()
            document = await read
            assert document is not None

    run(test())


def test_a_connection_that_is_cut_during_a_write_is_unknown(server: PostgresServer, url: str) -> None:
    async def test() -> None:
        async with Network(server.port) as network, opened(through(network, url)) as engine:
            await put_data(engine, "key", b"before")
            configure(server, WITHOUT_STANDBY)
            write = asyncio.create_task(put_data(engine, "key", b"unknown"))
            await until(lambda: bool(waiting_for_standby(server)))
            network.cut()
            with pytest.raises(OutcomeUnknown):
                await write
            configure(server, WITH_ALL)
            assert await read_data(engine, "key") in (b"before", b"unknown")
            await put_data(engine, "key", b"after")

    run(test())


@pytest.mark.parametrize("end", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_commit_that_stops_waiting_for_its_standby_is_unknown(server: PostgresServer, url: str, end: str) -> None:
    async def test() -> None:
        async with opened(url) as engine:
            await put_data(engine, "key", b"before")
            configure(server, WITHOUT_STANDBY)
            try:
                write = asyncio.create_task(put_data(engine, "key", b"unknown"))
                await until(lambda: bool(waiting_for_standby(server)))
                server.sql(f"SELECT {end}({waiting_for_standby(server)})")
                with pytest.raises(OutcomeUnknown):
                    await write
            finally:
                configure(server, WITH_ALL)
            assert await read_data(engine, "key") == b"unknown"
            await put_data(engine, "key", b"after")

    run(test())


def test_a_cancelled_caller_cancels_no_commit(server: PostgresServer, url: str) -> None:
    async def test() -> None:
        async with opened(url) as engine:
            await put_data(engine, "key", b"before")
            configure(server, WITHOUT_STANDBY)
            try:
                write = asyncio.create_task(put_data(engine, "key", b"committed"))
                await until(lambda: bool(waiting_for_standby(server)))
                write.cancel()
                await asyncio.wait([write])
                await asyncio.sleep(0.3)
                assert waiting_for_standby(server)
            finally:
                configure(server, WITH_ALL)
            await put_data(engine, "next", b"")
            assert await read_data(engine, "key") == b"committed"

    run(test())


def test_a_database_that_accepts_no_writes_is_left(server: PostgresServer, url: str) -> None:
    async def test() -> None:
        async with opened(url) as engine:
            await put_data(engine, "key", b"before")
            configure(server, "ALTER SYSTEM SET default_transaction_read_only = on")
            try:
                with pytest.raises(StorageUnavailable) as refused:
                    await put_data(engine, "key", b"refused")
                assert not isinstance(refused.value, OutcomeUnknown)
            finally:
                server.sql(*WRITABLE)
            await recovered(engine, "other")
            assert await read_data(engine, "key") == b"before"

    run(test())


def test_sessions_that_are_terminated_are_replaced(server: PostgresServer, url: str) -> None:
    async def test() -> None:
        async with opened(url) as engine:
            for number in range(3):
                await asyncio.gather(*(put_data(engine, f"{n}", b"%d" % number) for n in range(20)))
                disconnect(server)
                await asyncio.sleep(0.1)
                assert await read_data(engine, "7") == b"%d" % number

    run(test())


def test_a_session_that_is_terminated_while_it_is_idle_leaves_nothing(server: PostgresServer, url: str) -> None:
    async def test() -> None:
        async with opened(url) as engine:
            pool = engine._pool
            await pool.fetch("DO $$ BEGIN RAISE WARNING 'late'; END $$")
            assert len(pool.warnings) == 1
            disconnect(server)
            await until(lambda: all(idle.is_closed() for idle in pool._idle))
            await engine.probe()
            gc.collect()
            assert not pool.warnings

    run(test())


def test_asyncio_may_raise_a_type_error_for_a_lost_connection(server: PostgresServer, url: str) -> None:
    """Python 3.12 does for a write to a transport whose connection was lost meanwhile."""

    async def fail(engine: Postgres, *, lost: bool) -> None:
        async with engine._pool.connection() as connection:
            if lost:
                connection.terminate()
            raise TypeError("'NoneType' object is not callable")

    async def test() -> None:
        async with opened(url) as engine:
            with pytest.raises(ConnectionResetError):
                await fail(engine, lost=True)
            with pytest.raises(TypeError):
                await fail(engine, lost=False)
            await put_data(engine, "after", b"1")

    run(test())


def test_a_full_disk_is_no_space(server: PostgresServer, url: str) -> None:
    """PostgreSQL reports a full disk by a state of its own, which a trigger raises here."""

    async def test() -> None:
        async with opened(url) as engine:
            await put_data(engine, "key", b"before")
            table = url.partition("prefix=")[2] + "_documents"
            server.sql(
                "CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN IF NEW.key = 'full' THEN RAISE 'full' USING ERRCODE = '53100'; END IF; RETURN NEW; END $$"
            )
            server.sql(f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION full_disk()")
            keys = ["full", *(f"key-{n}" for n in range(20))]
            outcomes = await asyncio.gather(*(put_data(engine, key, b"1") for key in keys), return_exceptions=True)
            assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == [NoSpace]
            assert len(await engine.list()) == 21

    run(test())


def test_writes_of_the_same_documents_by_many_engines_do_not_fail(server: PostgresServer, url: str) -> None:
    async def test() -> None:
        async with opened(url) as one, opened(url) as two, opened(url) as three:
            for number in range(15):
                await asyncio.gather(
                    *(put_data(e, f"{n}", b"%d" % number) for n in range(12) for e in (one, two, three)),
                    *(e.delete(f"{n}") for n in range(6, 18) for e in (three, two, one)),
                )

    run(test())
