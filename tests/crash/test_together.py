"""Several processes on one store, two servers or the workers of one, have the guarantees of a single process."""

import asyncio
import hashlib
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import pytest

from docstore.engines.registry import EngineURL, open_engine
from docstore.engines.shared.verify import check_store
from docstore.model import Meta
from tests.crash.clients import Client, History
from tests.crash.history import Action
from tests.crash.leftovers import CHECKS, check_exclusively
from tests.crash.linear import contradiction
from tests.crash.restarts import CYCLES, LATE_S, options, run_clients, seeded_random, store_url
from tests.crash.test_kill import listing
from tests.engine_urls import REMOTE_URLS
from tests.http_client import Client as Asking
from tests.http_client import ask
from tests.server_process import RunningServer
from tests.stores import run, store

LINKED = ("file", "sqlite")
SHARED = (*LINKED, *REMOTE_URLS)
"""The multi-process engines, those on a disk first."""
KEYS = ("name", "name/below", "another")
MIX = (8, 4, 2, 4, 2)
LIFE_S = 3.0 if "DOCSTORE_POSTGRESQL" in os.environ else 0.5
"""A cluster, which other programs may slow down, commits more slowly than a disk."""
LIVES = max(1, CYCLES // 100)
LARGE = bytes(range(256)) * 20_000


@pytest.fixture(scope="module", params=SHARED)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Pair"]:
    """Two servers on one store, for tests that use different keys."""
    data = tmp_path_factory.mktemp("pair")
    with serving(request.param, data, "--sweep-interval", "1") as (one, other):
        yield Pair(request.param, data, one, other)


@dataclass(frozen=True)
class Pair:
    engine: str
    data: Path
    one: RunningServer
    other: RunningServer

    def wrong(self) -> list[str]:
        """What is wrong with the disk; no process may write meanwhile."""
        return list(CHECKS[self.engine](self.data, listing(self.one)))


@contextmanager
def serving(engine: str, data: Path, *more: str, count: int = 2) -> Iterator[list[RunningServer]]:
    with ExitStack() as stack:
        yield [stack.enter_context(RunningServer(data, *options(engine, data), *more)) for _ in range(count)]


def clients_of(server: RunningServer, name: str, chance: Random) -> list[Client]:
    return [Client(server, f"{name} {n}", Random(chance.getrandbits(64)), KEYS, MIX) for n in range(3)]


def test_two_servers_on_one_store_are_linearizable(pair: Pair) -> None:
    chance = seeded_random(f"two {pair.engine}")
    history: History = defaultdict(list)
    with ThreadPoolExecutor(2) as threads:
        told = [
            threads.submit(run_clients, server, clients_of(server, name, chance), LIFE_S * LIVES, kill=False)
            for server, name in ((pair.one, "one"), (pair.other, "other"))
        ]
        checked = run("check", store_url(pair.engine, pair.data))
        assert (checked.status, checked.out) == (0, ""), checked.err
        for operations_of in told:
            for key, operations in operations_of.result().items():
                history[key] += operations
    assert pair.wrong() == []
    in_one_order(history)


def in_one_order(history: History) -> None:
    assert history.keys() <= set(KEYS)
    assert any(operation.answered for operations in history.values() for operation in operations)
    for key, operations in history.items():
        assert contradiction(operations) == [], key


@pytest.mark.parametrize("engine", SHARED)
def test_a_server_continues_when_the_other_is_killed(tmp_path: Path, engine: str) -> None:
    chance = seeded_random(f"killed {engine}")
    history: History = defaultdict(list)
    with serving(engine, tmp_path) as (one, other), ThreadPoolExecutor(2) as threads:
        for life in range(LIVES):
            if life:
                other.start()
            survivors = clients_of(one, f"{life} one", chance)
            killed = threads.submit(
                run_clients,
                other,
                clients_of(other, f"{life} other", chance),
                LIFE_S / 2,
                kill=True,
                late_s=LATE_S[engine],
            )
            survived = run_clients(one, survivors, 0, kill=False, then=partial(write_after, killed, survivors))
            for operations_of in (survived, killed.result()):
                for key, operations in operations_of.items():
                    history[key] += operations
        one.stop()
        assert check_exclusively(store_url(engine, tmp_path)) == []
    in_one_order(history)


def write_after(kill: Future[History], clients: Sequence[Client]) -> None:
    """Wait until a write of these clients succeeds that began after the other server was killed."""
    kill.result()
    killed, deadline_s = time.monotonic_ns(), time.monotonic() + 60
    while not any(
        each.called > killed and each.answered and each.act is not Action.READ
        for client in clients
        for operations in list(client.history.values())
        for each in list(operations)
    ):
        assert time.monotonic() < deadline_s, "no write succeeds after the other server was killed"
        time.sleep(0.01)


@pytest.mark.parametrize("engine", SHARED)
def test_the_workers_of_a_server_are_linearizable(tmp_path: Path, engine: str) -> None:
    chance = seeded_random(f"workers {engine}")
    with serving(engine, tmp_path, "--workers", "2", count=1) as (server,):
        # The address is known before the workers are ready.
        assert ask(server, "GET", "/-/health").status == 200
        clients = clients_of(server, "one", chance) + clients_of(server, "other", chance)
        history = run_clients(server, clients, LIFE_S, kill=False)
        assert list(CHECKS[engine](tmp_path, listing(server))) == []
    in_one_order(history)


@pytest.mark.parametrize("end", ["replaced", "deleted"])
def test_a_download_continues_when_another_server_removes_its_file(pair: Pair, end: str) -> None:
    path = f"/docs/large-{end}"
    with Asking(pair.other) as client, socket.create_connection((pair.one.host, pair.one.port)) as connection:
        assert client.ask("PUT", path, LARGE).status in (200, 201)
        # A response that fits into the socket's buffers would be complete however late it is read.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        received = connection.recv(1000)
        removed = client.ask("DELETE", path) if end == "deleted" else client.ask("PUT", path, b"new")
        assert removed.status == 200
        assert client.ask("GET", path).content == (b"not found\n" if end == "deleted" else b"new")
        while some := connection.recv(1_000_000):
            received += some
    head, _, content = received.partition(b"\r\n\r\n")
    assert b" 200 " in head.partition(b"\r\n")[0]
    assert hashlib.sha256(content).digest() == hashlib.sha256(LARGE).digest()
    assert pair.wrong() == []


def test_the_sweepers_of_two_servers_remove_only_expired_documents(pair: Pair) -> None:
    lasting = {f"swept/{number}" for number in range(0, 60, 3)}
    with Asking(pair.one) as client:
        for number in range(60):
            content = LARGE[: (10, 100_000)[number % 2]]
            fields = {"TTL": "1"} if number % 3 else {}
            assert client.ask("PUT", f"/docs/swept/{number}", content, fields).status == 201
    while {key for key in listing(pair.one) if key.startswith("swept/")} != lasting or _left(pair) > len(
        listing(pair.one)
    ):
        time.sleep(0.1)
    assert {key for key in listing(pair.other) if key.startswith("swept/")} == lasting
    assert pair.wrong() == []


def _left(pair: Pair) -> int:
    """Documents that are on the disk, expired or not."""
    found = [each for each in check_store(EngineURL.parse(store_url(pair.engine, pair.data))) if isinstance(each, Meta)]
    return len(found)


def test_two_mounts_of_one_store_are_one_store_unless_it_is_memory(tmp_path: Path) -> None:
    """Two mounts of one server may share a store like processes, also through a link, with different key rules."""
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    mounts: list[str] = []
    for engine in (*LINKED, "memory"):
        url, linked = (store_url(engine, path) for path in (tmp_path, tmp_path / "link"))
        mounts += ["--mount", f"{engine}/0={url}", "--mount", f"{engine}/1={linked}?keys=path"]
    with RunningServer(tmp_path, *mounts) as server, ThreadPoolExecutor(8) as threads:

        def create(path: str) -> int:
            with Asking(server) as client:
                return client.ask("PUT", path, path.encode(), {"If-None-Match": "*"}).status

        for engine, stores in (("sqlite", 1), ("file", 1), ("memory", 2)):
            statuses = list(threads.map(create, [f"/{engine}/{number % 2}/key" for number in range(8)]))
            assert (statuses.count(201), statuses.count(412)) == (stores, 8 - stores)
            with Asking(server) as client:
                assert len({client.ask("GET", f"/{engine}/{mount}/key").content for mount in "01"}) == stores
                client.prepare("DELETE", f"/{engine}/0/key")
                assert client.ask("GET", f"/{engine}/1/key").status == (404 if stores == 1 else 200)


def test_a_shelve_that_another_process_has_open_is_refused_in_one_line(tmp_path: Path) -> None:
    url = EngineURL.parse(store_url("shelve", tmp_path))
    engine = open_engine(url)
    try:
        command = [sys.executable, "-m", "docstore", "serve", "--port", "0", "--mount", f"docs={url}"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    finally:
        asyncio.run(engine.close())
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "open already" in ended.stderr


SIZES = {"small": 20, "large": 100_000}


def test_an_export_during_writes_of_two_servers_is_one_state_of_the_store(tmp_path: Path) -> None:
    """An export never contains the later of two documents without the earlier; others are deleted meanwhile."""
    stop = threading.Event()

    def write(server: RunningServer, name: str) -> None:
        number = 0
        with Asking(server) as client:
            while not stop.is_set():
                number += 1
                for key in (f"z-first-{name}", f"a-later-{name}"):
                    content = b"%08d" % number + bytes(SIZES[name])
                    assert client.ask("PUT", f"/docs/{key}", content).status in (200, 201)
                if number % 3 == 0:
                    client.prepare("DELETE", f"/docs/m-passing-{name}")
                else:
                    client.prepare("PUT", f"/docs/m-passing-{name}", LARGE[:200_000])

    with serving("sqlite", tmp_path) as servers, ThreadPoolExecutor(2) as threads:
        with Asking(servers[0]) as client:
            for name in SIZES:
                for key in (f"z-first-{name}", f"a-later-{name}"):
                    client.prepare("PUT", f"/docs/{key}", b"%08d" % 0)
        writers = [threads.submit(write, server, name) for server, name in zip(servers, SIZES, strict=True)]
        try:
            for format in ("tar", "ndjson", "tar"):
                file = tmp_path / "export"
                ended = run("export", store_url("sqlite", tmp_path), file, "--format", format)
                assert ended.status == 0, ended.err
                numbers = _numbers(file, format)
                for name in SIZES:
                    assert 0 <= numbers[f"z-first-{name}"] - numbers[f"a-later-{name}"] <= 1
                file.unlink()
        finally:
            stop.set()
        for writer in writers:
            writer.result()
        assert list(CHECKS["sqlite"](tmp_path, listing(servers[0]))) == []


def _numbers(file: Path, format: str) -> dict[str, int]:
    """What each document of an export begins with."""
    if format == "ndjson":
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        return {line["key"]: int(line["text"][:8]) for line in lines if "text" in line}
    with tarfile.open(file) as tar:
        found = {member.name: tar.extractfile(member) for member in tar if member.isreg()}
        return {name: int(member.read(8)) for name, member in found.items() if member and name[:2] in ("a-", "z-")}


def test_a_killed_export_leaves_an_orphan_that_the_next_start_removes(tmp_path: Path) -> None:
    url = store_url("sqlite", tmp_path)
    store(url, {"large": LARGE})
    command = [sys.executable, "-m", "docstore", "export", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1000)
        process.kill()
    [left] = (tmp_path / "docs.db.sealed").glob("snapshot-*")
    store(url, {"large": b"replaced"})
    assert not left.exists(), "the next process that opens the store alone collects it"
    assert (run("check", url).status, run("check", url).out) == (0, "")
