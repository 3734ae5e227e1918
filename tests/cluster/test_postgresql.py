"""Nodes of a PostgreSQL cluster and servers in front of it die or are cut off: no acknowledged write is lost.

Nine clients use three servers, while one thing after another fails: each at least once, and for DOCSTORE_CLUSTER_S
seconds in all. The history of each key must be linearizable. The time without service is the longest time between two
acknowledged writes of all clients; it is printed and not asserted.
"""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from random import Random
from threading import Event

import pytest

from docstore.testing.server import ServerProcess
from tests.cluster.clients import Client
from tests.cluster.postgresql import Cluster, running_cluster
from tests.crash.clients import History, path_of
from tests.crash.linear import contradiction
from tests.crash.restarts import seeded_random
from tests.http_client import ask
from tests.stores import run

CLIENTS = 9
SECONDS = float(os.environ.get("DOCSTORE_CLUSTER_S") or 60)
KEYS = [f"key-{number}" for number in range(max(6, int(SECONDS / 10)))]
"""More for a longer run, because the check of a history takes longer than its length."""
TROUBLE_S = 6.0
REST_S = 4.0
SERVICE_WITHIN_S = 120.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


class Servers:
    """Three servers in front of the cluster."""

    def __init__(self, cluster: Cluster, folder: Path, stack: ExitStack) -> None:
        mount = f"--mount=docs={cluster.url}?keys=path&prefix=died"
        self.running = [
            stack.enter_context(ServerProcess(folder, mount, "--log-level", "warning", "--sweep-interval", "5"))
            for _ in range(3)
        ]

    def addresses(self) -> list[tuple[str, int]]:
        return [(server.host, server.port) for server in self.running if server.process.poll() is None]


@pytest.fixture(scope="module")
def servers(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with ExitStack() as stack:
        servers = Servers(cluster, tmp_path_factory.mktemp("servers"), stack)
        yield servers
        errors = [line for server in servers.running for line in server.errors]
        assert not [line for line in errors if "Traceback" in line], "".join(errors)


def postgres_of_the_leader_dies(cluster: Cluster, servers: Servers) -> Callable[[], None]:
    cluster.kill_postgres(cluster.node("leader"))
    return lambda: None


def leader_dies(cluster: Cluster, servers: Servers) -> Callable[[], None]:
    node = cluster.node("leader")
    cluster.kill(node)
    return lambda: cluster.start(node)


def replica_dies(cluster: Cluster, servers: Servers) -> Callable[[], None]:
    node = cluster.node("quorum_standby")
    cluster.kill(node)
    return lambda: cluster.start(node)


def server_dies(cluster: Cluster, servers: Servers) -> Callable[[], None]:
    servers.running[0].kill()
    return servers.running[0].start


def leader_is_cut_off(cluster: Cluster, servers: Servers) -> Callable[[], None]:
    node = cluster.node("leader")
    cluster.cut(node)
    return lambda: cluster.join(node)


def replica_is_cut_off(cluster: Cluster, servers: Servers) -> Callable[[], None]:
    node = cluster.node("quorum_standby")
    cluster.cut(node)
    return lambda: cluster.join(node)


FAILURES = (
    postgres_of_the_leader_dies,
    leader_dies,
    server_dies,
    leader_is_cut_off,
    replica_dies,
    replica_is_cut_off,
)


def test_no_acknowledged_write_is_lost_while_nodes_die(cluster: Cluster, servers: Servers) -> None:
    chance = seeded_random("postgresql")
    clients = [Client(servers.addresses, f"{n}", Random(chance.getrandbits(64)), KEYS) for n in range(CLIENTS)]
    spans: list[tuple[str, int, int]] = []
    stop = Event()
    with ThreadPoolExecutor(CLIENTS) as threads:
        running = [threads.submit(client.run, stop) for client in clients]
        try:
            ends = time.monotonic() + SECONDS
            coming: list[Callable[[Cluster, Servers], Callable[[], None]]] = []
            while len(spans) < len(FAILURES) or time.monotonic() < ends:
                coming = coming or chance.sample(FAILURES, len(FAILURES))
                failure = coming.pop()
                time.sleep(REST_S)
                began = time.monotonic_ns()
                heal = failure(cluster, servers)
                time.sleep(TROUBLE_S)
                wait_for_service(clients, running)
                heal()
                cluster.wait_until_complete()
                spans.append((failure.__name__, began, time.monotonic_ns()))
            time.sleep(REST_S)
        finally:
            stop.set()
    for each in running:
        each.result()
    for key in KEYS:
        clients[0].read(key)
    clients[0].close()
    history: History = defaultdict(list)
    for client in clients:
        for key, operations in client.history.items():
            history[key] += operations
    describe(clients, history, spans)
    for key, operations in history.items():
        assert contradiction(operations) == [], key
    for client in clients:
        for key, version in client.created.items():
            assert etag_of(servers.running[1], key) == f'"{version}"', key


def wait_for_service(clients: Sequence[Client], running: Sequence[Future[None]]) -> None:
    """Wait until a write has been acknowledged within the last second. Raise the error of a client that ended."""
    end = time.monotonic() + SERVICE_WITHIN_S
    while max(client.acknowledged[-1] for client in clients) < time.monotonic_ns() - 10**9:
        assert time.monotonic() < end, "no write is acknowledged any more"
        for each in running:
            if each.done():
                each.result()
        time.sleep(0.1)


def describe(clients: Sequence[Client], history: History, spans: Sequence[tuple[str, int, int]]) -> None:
    """Print the longest time between two acknowledged writes during each kind of failure."""
    times = sorted(at for client in clients for at in client.acknowledged)
    for failure in FAILURES:
        ours = [(began, ended) for name, began, ended in spans if name == failure.__name__]
        gaps = [
            max(later - earlier for earlier, later in pairwise(times) if began <= later and earlier <= ended) / 1e9
            for began, ended in ours
        ]
        print(f"{failure.__name__}: no acknowledged write for {', '.join(f'{gap:.1f}' for gap in gaps)} s")
    unknown, unavailable = sum(c.unknown for c in clients), sum(c.unavailable for c in clients)
    print(
        f"{len(spans)} failures, {sum(map(len, history.values()))} operations, {len(times)} writes acknowledged, "
        f"{unknown} of unknown outcome, {unavailable} unavailable"
    )


def etag_of(server: ServerProcess, key: str) -> str | None:
    """The ETag of a document, asked for until the server answers: the leader may change at any time."""
    end = time.monotonic() + 60
    while (answer := ask(server, "GET", path_of(key))).status == 503:
        assert time.monotonic() < end
        time.sleep(0.2)
    return answer.headers["etag"]


def test_the_check_finds_nothing(cluster: Cluster) -> None:
    cluster.wait_until_complete()
    ended = run("check", f"{cluster.url}?prefix=died")
    assert (ended.status, ended.out) == (0, ""), ended.err
