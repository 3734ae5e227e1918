"""A PostgreSQL cluster of three nodes on this machine: Patroni over etcd, with quorum synchronous commit.

Each node has a network namespace with its own address, its own etcd, and the PostgreSQL of the wheel, so that a node
can be killed or its network cut. This needs root, Debian's etcd-server and the packages of requirements/cluster.txt.
PostgreSQL refuses to run as root, so a node has a user namespace too, in which root has another number.

    python -m tests.cluster.postgresql    start the cluster, print its URL, and stop it at the end of standard input

`isolated.sh` runs the tests; without it the network is that of the machine.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx2

from tests.postgresql_server import BINARIES

NODES: Final = (1, 2, 3)
_STARTS_WITHIN_S: Final = 120
_NAME: Final = "docstore-pg"
"""The bridge, and the first part of the names of the namespaces."""

_CONFIG: Final = """
scope: docstore
name: n{node}
restapi: {{listen: "{address}:8008", connect_address: "{address}:8008"}}
etcd3: {{hosts: [{etcd}]}}
bootstrap:
  dcs:
    ttl: 10
    loop_wait: 2
    retry_timeout: 3
    primary_start_timeout: 0
    synchronous_mode: quorum
    synchronous_mode_strict: true
    synchronous_node_count: 1
    postgresql:
      use_pg_rewind: true
      parameters: {{wal_log_hints: 'on', max_connections: 100, shared_buffers: 64MB, wal_keep_size: 512MB,
                   max_wal_size: 256MB}}
  initdb: [{{encoding: UTF8}}, {{locale: C}}, data-checksums]
postgresql:
  listen: {address}:5432
  connect_address: {address}:5432
  data_dir: {folder}/data
  bin_dir: {binaries}
  pgpass: {folder}/pgpass
  remove_data_directory_on_rewind_failure: true
  remove_data_directory_on_diverged_timelines: true
  basebackup: {{checkpoint: fast}}
  authentication:
    superuser: {{username: docs, password: pg}}
    replication: {{username: replicator, password: pg}}
    rewind: {{username: rewinder, password: pg}}
  pg_hba: ['local all all trust', 'host all all 10.77.0.0/24 scram-sha-256',
           'host replication replicator 10.77.0.0/24 scram-sha-256']
  parameters: {{unix_socket_directories: "{folder}"}}
watchdog: {{mode: 'off'}}
"""


def _address(node: int) -> str:
    return f"10.77.0.1{node}"


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, stderr=None if check else subprocess.DEVNULL)


class Cluster:
    """The nodes and their processes. `folder` holds their data and logs."""

    url: Final = f"postgresql://docs:pg@{','.join(f'{_address(node)}:5432' for node in NODES)}/postgres"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        self._complete: dict[int, str] = {}
        """The roles when the cluster was complete last."""

    def up(self) -> None:
        """Start all nodes."""
        self._remove_network()
        _ip("link", "add", _NAME, "type", "bridge")
        _ip("addr", "add", "10.77.0.1/24", "dev", _NAME)
        _ip("link", "set", _NAME, "up")
        for node in NODES:
            self._make_node(node)
        for node in NODES:
            self._start("etcd", node)
        for node in NODES:
            self._start("patroni", node)
        self.wait_until_complete()

    def _make_node(self, node: int) -> None:
        space = f"{_NAME}{node}"
        _ip("netns", "add", space)
        _ip("link", "add", f"{space}h", "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("link", "set", f"{space}h", "master", _NAME, "up")
        for command in (("addr", "add", f"{_address(node)}/24", "dev", "eth0"), ("link", "set", "eth0", "up"),
                        ("link", "set", "lo", "up")):  # fmt: skip
            _ip("-n", space, *command)
        folder = self._folder / f"n{node}"
        folder.mkdir()
        etcd = ", ".join(f'"{_address(other)}:2379"' for other in NODES)
        config = _CONFIG.format(node=node, address=_address(node), folder=folder, binaries=BINARIES, etcd=etcd)
        (self._folder / f"n{node}.yml").write_text(config)

    def _start(self, program: str, node: int) -> None:
        folder = self._folder / f"n{node}"
        if program == "etcd":
            peers = ",".join(f"e{other}=http://{_address(other)}:2380" for other in NODES)
            here = f"http://{_address(node)}"
            command = ["etcd", "--name", f"e{node}", "--data-dir", f"{folder}/etcd", "--log-level", "error",
                       "--listen-client-urls", f"{here}:2379", "--advertise-client-urls", f"{here}:2379",
                       "--listen-peer-urls", f"{here}:2380", "--initial-advertise-peer-urls", f"{here}:2380",
                       "--initial-cluster", peers, "--initial-cluster-state", "new"]  # fmt: skip
        else:
            command = [sys.executable, f"{Path(__file__).with_name('patroni_node.py')}", f"{self._folder}/n{node}.yml"]
        user = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
        with (self._folder / f"{program}{node}.log").open("ab") as log:
            self._processes[program, node] = subprocess.Popen(
                ["ip", "netns", "exec", f"{_NAME}{node}", *user, *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, start_new_session=True,
            )  # fmt: skip

    def members(self) -> dict[int, str]:
        """The role of each node that runs: `leader`, `quorum_standby`, `replica` or another word of Patroni."""
        for node in NODES:
            with suppress(httpx2.HTTPError, KeyError):
                members = httpx2.get(f"http://{_address(node)}:8008/cluster", timeout=2).json()["members"]
                return {int(m["name"][1:]): m["role"] for m in members if m["state"] in ("running", "streaming")}
        return {}

    def wait_until_complete(self) -> None:
        """Wait until there is a leader and two quorum standbys."""
        end = time.monotonic() + _STARTS_WITHIN_S
        while sorted((members := self.members()).values()) != ["leader", "quorum_standby", "quorum_standby"]:
            assert time.monotonic() < end, f"no complete cluster: {members}; see {self._folder}"
            time.sleep(0.5)
        self._complete = members

    def node(self, role: str) -> int:
        """The number of a node with this role, in a complete cluster: a busy machine may just replace the leader."""
        self.wait_until_complete()
        return next(number for number, has in self._complete.items() if has == role)

    def kill(self, node: int) -> None:
        """SIGKILL for Patroni and every process of PostgreSQL."""
        etcd = self._processes["etcd", node].pid
        for process in self._processes_in(node):
            if process != etcd:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        self._processes.pop(("patroni", node)).wait()

    def kill_postgres(self, node: int) -> None:
        """SIGKILL for PostgreSQL; Patroni stays."""
        lines = (self._folder / f"n{node}" / "data" / "postmaster.pid").read_text().splitlines()
        os.kill(int(lines[0]), signal.SIGKILL)

    def start(self, node: int) -> None:
        self._start("patroni", node)

    def cut(self, node: int) -> None:
        """Cut the network of a node: neither clients, nor other nodes, nor their etcd reach it."""
        _ip("link", "set", f"{_NAME}{node}h", "down")

    def join(self, node: int) -> None:
        _ip("link", "set", f"{_NAME}{node}h", "up")

    def _processes_in(self, node: int) -> list[int]:
        pids = subprocess.run(["ip", "netns", "pids", f"{_NAME}{node}"], capture_output=True, text=True, check=False)
        return [int(pid) for pid in pids.stdout.split()]

    def close(self) -> None:
        for node in NODES:
            for process in self._processes_in(node):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        for running in self._processes.values():
            running.wait()
        self._remove_network()

    @staticmethod
    def _remove_network() -> None:
        for node in NODES:
            # The system removes a namespace only after its last process, and its link not at once.
            _ip("link", "del", f"{_NAME}{node}h", check=False)
            _ip("netns", "del", f"{_NAME}{node}", check=False)
        _ip("link", "del", _NAME, check=False)


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="docstore-cluster-"))
    cluster = Cluster(folder)
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(folder)


if __name__ == "__main__":
    with running_cluster() as running:
        print(running.url, flush=True)
        sys.stdin.read()
