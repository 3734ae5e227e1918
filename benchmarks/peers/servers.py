"""Start Docstore and its peers on one core, and stop them.

A server writes only into the folder it is given and listens on free ports of 127.0.0.1. The kernel ends its processes
with this program, however that ends (`setpriv --pdeathsig`).
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.packages import find_program

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = CORES[0], CORES[-1]
BOTH_CORES = f"{SERVER_CORE},{CLIENT_CORE}"
START_S = 60
IDLE_S = 10
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
LARGEST = "2GiB"

NGINX = """
daemon off; master_process off; worker_processes 1; error_log {folder}/error.log; pid {folder}/nginx.pid;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; client_body_temp_path {folder}/body;
    client_body_buffer_size 64k; client_max_body_size 0; open_file_cache max=1000; types {{}} default_type text/plain;
    server {{
        listen 127.0.0.1:{port} backlog=4096; root {folder}/www;
        location / {{ dav_methods PUT; autoindex on; autoindex_format json; }}
    }}
}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Server:
    name: str
    folder: Path
    cores: str = str(SERVER_CORE)
    port: int = field(default_factory=free_port)
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def run(self, *command: str) -> None:
        bound = ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", self.cores, *command]
        with (self.folder / "output.log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(bound, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            )

    def wait_until_ready(self, port: int) -> None:
        for _ in range(START_S * 20):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except ConnectionRefusedError:
                assert all(process.poll() is None for process in self.processes), self.log()
                time.sleep(0.05)
        raise SystemExit(f"{self.name} does not listen after {START_S} s:\n{self.log()}")

    def wait_until_idle(self) -> None:
        """Wait for the end of requests whose client has left: webdis would send their responses to its next client."""
        idle_count = 0
        for _ in range(IDLE_S * 10):
            before_s = self.cpu_s()
            time.sleep(0.1)
            idle_count = 0 if self.is_running() or self.cpu_s() - before_s > 0.01 else idle_count + 1
            if idle_count == 2:
                return

    def is_running(self) -> bool:
        """Whether a thread wants the processor or waits for a disk."""
        for path in (path for pid in self.pids() for path in Path(f"/proc/{pid}/task").glob("*/stat")):
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
                if path.read_text().rpartition(")")[2].split()[0] in "RD":
                    return True
        return False

    def log(self) -> str:
        return (self.folder / "output.log").read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def pids(self) -> list[int]:
        """Its processes and their children."""
        found = [process.pid for process in self.processes if process.poll() is None]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        return found

    def cpu_s(self) -> float:
        """Seconds of CPU that all its processes took, in user code and in the kernel."""
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / CLOCK_TICKS

    def memory_mb(self, figure: str) -> float:
        """Resident memory: `VmRSS` now, `VmHWM` at its peak."""
        statuses = [Path(f"/proc/{pid}/status").read_text() for pid in self.pids()]
        return sum(int(found[1]) for text in statuses if (found := re.search(rf"{figure}:\s+(\d+) kB", text))) / 1000


def start_docs(server: Server, *options: str) -> None:
    folder = server.folder
    mounts = {
        "docs": f"sqlite:{folder}/docs.db?max_document={LARGEST}",
        "file": f"file:{folder}/file?max_document={LARGEST}",
        "many": f"sqlite:{folder}/many.db",
    }
    command = [sys.executable, "-m", "docstore", "serve", "--port", str(server.port), "--log-level", "warning"]
    command += ["--data", str(folder / "data"), *options]
    for name, url in mounts.items():
        command += ["--mount", f"{name}={url}"]
    server.run(*command)


def start_nginx(server: Server) -> None:
    for name in ("docs", "many"):
        (server.folder / "www" / name).mkdir(parents=True, exist_ok=True)
    configuration = server.folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=server.folder, port=server.port))
    server.run(find_program("nginx") or "nginx", "-c", str(configuration))


def start_webdis(server: Server) -> None:
    """Redis syncs its file before it answers a write; it never rewrites the file or writes a snapshot."""
    redis_port = free_port()
    server.run(
        "redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--dir", str(server.folder), "--save", "",
        "--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0",
        "--unixsocket", str(redis_socket(server)),
    )  # fmt: skip
    server.wait_until_ready(redis_port)
    configuration = {
        "redis_host": str(redis_socket(server)), "redis_port": 0, "redis_auth": None, "database": 0,
        "http_host": "127.0.0.1", "http_port": server.port, "threads": 1, "pool_size": 20, "daemonize": False,
        "acl": [], "verbosity": 0, "logfile": str(server.folder / "webdis.log"),
    }  # fmt: skip
    path = server.folder / "webdis.json"
    path.write_text(json.dumps(configuration))
    server.run("webdis", str(path))


def redis_socket(server: Server) -> Path:
    return server.folder / "redis.sock"


def start_etcd(server: Server) -> None:
    url, peer_url = f"http://127.0.0.1:{server.port}", f"http://127.0.0.1:{free_port()}"
    server.run(
        "etcd", "--data-dir", str(server.folder / "data"), "--log-level", "error",
        "--quota-backend-bytes", str(8 << 30), "--max-txn-ops", "1000",
        "--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", peer_url,
        "--initial-advertise-peer-urls", peer_url, "--initial-cluster", f"default={peer_url}",
    )  # fmt: skip


STARTS: dict[str, Callable[[Server], None]] = {
    "docs": start_docs,
    "nginx": start_nginx,
    "webdis": start_webdis,
    "etcd": start_etcd,
}
PROGRAMS = {"docs": [], "nginx": ["nginx"], "webdis": ["redis-server", "webdis"], "etcd": ["etcd"]}


def installed_servers() -> list[str]:
    return [name for name, programs in PROGRAMS.items() if all(find_program(program) for program in programs)]
