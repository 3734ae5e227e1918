"""Each error of the start is one line, and of many processes one makes the tables."""

import asyncio
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from docstore.engines.registry import EngineURL, open_engine
from docstore.engines.shared import clocks
from docstore.errors import OpenError
from tests.engine_urls import with_options
from tests.engines.postgresql.servers import opened, own_server
from tests.postgresql_server import postgres_url, shared_server
from tests.stores import run


def refusal(url: str) -> str:
    with pytest.raises(OpenError) as refused:
        open_engine(EngineURL.parse(url))
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql:", "needs a host and a database"),
        ("postgresql://host", "needs a host and a database"),
        ("postgresql://u:secret@127.0.0.1:1/docs", "Connect"),
        ("postgresql://u:secret@127.0.0.1:1,127.0.0.1:2/docs", "Connect"),
        ("postgresql://u:secret@no-such-host.invalid/docs", "cannot open postgresql://no-such-host.invalid/docs"),
        ("postgresql://u:secret@127.0.0.1:none/docs", "cannot open"),
        ("postgresql://u:secret@{server}/nowhere", 'role "u" does not exist'),
        ("postgresql://docs@{server}/nowhere", 'database "nowhere" does not exist'),
        ("postgresql://docs@{server}/postgres?prefix=Large", "prefix=Large"),
        ("postgresql://docs@{server}/postgres?prefix=a;b", "prefix=a;b"),
        ("postgresql://docs@{server}/postgres?connections=1", "connections=1"),
        ("postgresql://docs@{server}/postgres?sslmode=require", "SSL"),
        ("postgresql://docs@{server}/postgres?sslmode=sometimes", "sslmode"),
    ],
)
def test_a_store_that_cannot_be_opened_is_refused_in_one_line(url: str, why: str) -> None:
    assert why in refusal(url.format(server=f"127.0.0.1:{shared_server().port}"))


def test_a_role_without_free_connections_is_refused_in_one_line() -> None:
    server = shared_server()
    server.sql("DROP ROLE IF EXISTS crowded; CREATE ROLE crowded LOGIN CONNECTION LIMIT 0")
    assert "too many connections" in refusal(f"postgresql://crowded:secret@127.0.0.1:{server.port}/postgres")


@pytest.mark.parametrize("password", ["secret", ""])
def test_a_wrong_password_is_refused_in_one_line(password: str) -> None:
    with own_server() as server:
        server.require_passwords("guarded", "right")
        asyncio.run(open_engine(EngineURL.parse(f"postgresql://guarded:right@127.0.0.1:{server.port}/docs")).close())
        login = f"guarded:{password}" if password else "guarded"
        assert "password" in refusal(f"postgresql://{login}@127.0.0.1:{server.port}/docs")


@pytest.mark.parametrize(("ahead_s", "direction"), [(3600, "ahead of"), (-3600, "behind")])
def test_a_wrong_clock_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead_s: int, direction: str
) -> None:
    monkeypatch.setattr(clocks, "time", lambda: time.time() + ahead_s)
    assert re.search(
        rf"clock of this machine is 36\d\d s {direction} |is 35\d\d s {direction} ", refusal(postgres_url(tmp_path))
    )


def test_another_encoding_is_refused_in_one_line() -> None:
    server = shared_server()
    server.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    assert "UTF8" in refusal(f"postgresql://docs@127.0.0.1:{server.port}/latin")


def test_tables_of_a_newer_version_are_refused_in_one_line(tmp_path: Path) -> None:
    url = postgres_url(tmp_path)

    async def open_and_close() -> None:
        async with opened(url):
            pass

    asyncio.run(open_and_close())
    prefix = url.partition("prefix=")[2]
    shared_server().sql(f"UPDATE {prefix}_schema SET version = 99")
    assert "version 99" in refusal(url)
    assert run("check", url).status == 2


def test_a_check_creates_no_tables(tmp_path: Path) -> None:
    url = postgres_url(tmp_path)
    ended = run("check", url)
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert "there are no tables" in ended.err
    assert shared_server().sql(f"SELECT to_regclass('{url.partition('prefix=')[2]}_schema')") == "\n"


def test_many_processes_make_the_tables_once(tmp_path: Path) -> None:
    url = EngineURL.parse(postgres_url(tmp_path))

    def open_and_close(_: int) -> None:
        asyncio.run(open_engine(url).close())

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(open_and_close, range(24)))
    assert shared_server().sql(f"SELECT version FROM {url.options['prefix']}_schema") == "1\n"


def test_several_hosts_are_tried_at_once(tmp_path: Path) -> None:
    url = postgres_url(tmp_path)
    hosts = f"127.0.0.1:1,127.0.0.1:{shared_server().port},192.0.2.1:5432"
    open_and_closed = open_engine(EngineURL.parse(url.replace(f"127.0.0.1:{shared_server().port}", hosts)))
    asyncio.run(open_and_closed.close())


def test_a_password_is_in_no_message(tmp_path: Path) -> None:
    url = with_options(postgres_url(tmp_path).replace("docs@", "docs:secret@"))
    for command in (["check", url], ["export", url, tmp_path / "out"], ["get", f"{url}#absent"], ["ls", f"{url}#a/"]):
        ended = run(*command)
        assert "secret" not in ended.out + ended.err


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("docstore.engines.postgresql.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    assert "docstore[postgres]" in refusal("postgresql://host/docs")
