"""Nodes of a PostgreSQL cluster and servers in front of it die or are cut off: no acknowledged write is lost.

Each event has keys of its own. The time without service is the longest time between two acknowledged writes of all
clients; it is printed and not asserted. DOCSTORE_CLUSTER_ROUNDS repeats all events.
"""

import itertools
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
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
BEFORE_S = 3
DURING_S = 30
"""Longer than Patroni needs to replace a leader: its leases last 20 s."""
AFTER_S = 5
ROUNDS = int(os.environ.get("DOCSTORE_CLUSTER_ROUNDS") or 1)


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


EVENTS = (
    postgres_of_the_leader_dies,
    leader_dies,
    server_dies,
    leader_is_cut_off,
    replica_dies,
    replica_is_cut_off,
)


@pytest.mark.parametrize("turn", range(ROUNDS))
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_no_acknowledged_write_is_lost_when(
    cluster: Cluster, servers: Servers, event: Callable[[Cluster, Servers], Callable[[], None]], turn: int
) -> None:
    cluster.wait_until_complete()
    name = f"{event.__name__}-{turn}"
    chance = seeded_random(name)
    keys = [f"{name}/{key}" for key in "abc"]
    clients = [
        Client(servers.addresses, f"{name} {number}", Random(chance.getrandbits(64)), keys) for number in range(CLIENTS)
    ]
    stop = Event()
    with ThreadPoolExecutor(CLIENTS) as threads:
        running = [threads.submit(client.run, stop) for client in clients]
        try:
            time.sleep(BEFORE_S)
            began = time.monotonic_ns()
            heal = event(cluster, servers)
            time.sleep(DURING_S)
            heal()
            time.sleep(AFTER_S)
        finally:
            stop.set()
        for each in running:
            each.result()
    for key in keys:
        clients[0].read(key)
    clients[0].close()
    history: History = defaultdict(list)
    for client in clients:
        for key, operations in client.history.items():
            history[key] += operations
    times = sorted([began, *(at for client in clients for at in client.acknowledged if at > began)])
    gap_s = max(later - earlier for earlier, later in itertools.pairwise(times)) / 1e9
    unknown, unavailable = sum(c.unknown for c in clients), sum(c.unavailable for c in clients)
    print(
        f"{name}: {gap_s:.1f} s without an acknowledged write; {len(times)} acknowledged, {unknown} unknown, "
        f"{unavailable} unavailable, {sum(map(len, history.values()))} operations; {cluster.members()}"
    )
    for key, operations in history.items():
        assert contradiction(operations) == [], key
    for client in clients:
        for key, version in client.created.items():
            assert etag_of(servers.running[1], key) == f'"{version}"', key


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
