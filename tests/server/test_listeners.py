"""Where the server listens: TCP, a Unix socket, and the sockets that systemd hands over."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.server.test_run import refused

MOUNT = "--mount=docs=memory:"
REQUEST = b"GET /docs/%s HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n"
WAITS_S = 30


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short path: that of a Unix socket has at most 107 bytes."""
    return tmp_path_factory.mktemp("s")


class Serving:
    """`docstore serve`, until the line that it prints when it serves."""

    def __init__(self, *arguments: str, sockets: Sequence[socket.socket] = (), folder: Path | None = None) -> None:
        command = [sys.executable, "-m", "docstore", "serve", *arguments]
        if sockets:  # as systemd does it: descriptors from 3 on, and the process's own number
            passed = " ".join(f"{number}<&{listener.fileno()}" for number, listener in enumerate(sockets, 3))
            script = f'LISTEN_PID=$$ LISTEN_FDS={len(sockets)} exec "$@" {passed}'
            command = ["bash", "-c", script, "bash", *command]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, cwd=folder,
            pass_fds=[listener.fileno() for listener in sockets],
        )  # fmt: skip
        self.first = self.process.stdout.readline()

    def stop(self) -> int:
        self.process.terminate()
        _, self.errors = self.process.communicate(timeout=WAITS_S)
        return self.process.returncode

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:  # closes its streams
            self.process.terminate()


def answer_of(family: int, address: object, key: bytes = b"") -> bytes:
    with socket.socket(family) as client:
        client.settimeout(WAITS_S)
        client.connect(address)
        client.sendall(REQUEST % key)
        parts = []
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_unix_socket_serves_any_host_and_is_removed_at_the_end(tmp_path: Path, workers: str) -> None:
    path = tmp_path / "socket"
    engine = f"--mount=docs=sqlite:{tmp_path}/docs.db"
    with Serving("--uds", str(path), "--uds-mode", "660", "--workers", workers, engine) as serving:
        assert f"serving on unix:{path} " in serving.first
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert answer_of(socket.AF_UNIX, str(path)).startswith(b"HTTP/1.1 200 ")
        assert serving.stop() == 0
    assert not path.exists()


def test_a_unix_socket_is_for_its_user_alone_by_default(tmp_path: Path) -> None:
    with Serving("--uds", "socket", MOUNT, folder=tmp_path):
        assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o600


def test_the_socket_of_a_killed_server_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Serving("--uds", str(path), MOUNT) as serving:
        serving.process.kill()
        serving.process.communicate()
    assert path.is_socket()
    with Serving("--uds", str(path), MOUNT):
        assert answer_of(socket.AF_UNIX, str(path)).startswith(b"HTTP/1.1 200 ")


def test_a_socket_in_use_and_other_files_are_kept(tmp_path: Path) -> None:
    path, other = tmp_path / "socket", tmp_path / "notes.txt"
    other.write_text("mine")
    with Serving("--uds", str(path), MOUNT):
        assert f"can't listen on {path}: " in refused("--uds", str(path), MOUNT)
        assert answer_of(socket.AF_UNIX, str(path)).startswith(b"HTTP/1.1 200 ")
    assert f"can't listen on {other}: " in refused("--uds", str(other), MOUNT)
    assert other.read_text() == "mine"
    assert "No such file or directory" in refused("--uds", str(tmp_path / "none" / "socket"), MOUNT)
    assert "path too long" in refused("--uds", str(tmp_path / ("x" * 200)), MOUNT)


@pytest.mark.parametrize("mode", ["rw", "1777", "9", ""])
def test_a_mode_that_is_none_is_refused(tmp_path: Path, mode: str) -> None:
    assert "uds_mode" in refused("--uds", str(tmp_path / "socket"), "--uds-mode", mode, MOUNT)


def test_the_sockets_of_systemd_are_served_together(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        port = tcp.getsockname()[1]
        with Serving(MOUNT, sockets=[tcp, unix]) as serving:
            assert f"serving on http://127.0.0.1:{port}/ and unix:{path} " in serving.first
            assert answer_of(socket.AF_UNIX, str(path)).startswith(b"HTTP/1.1 421 ")  # the rule of the TCP socket
            assert b"421" in answer_of(socket.AF_INET, ("127.0.0.1", port)).splitlines()[0]
            assert serving.stop() == 0
        assert path.exists()  # it belongs to systemd


def test_a_unix_socket_of_systemd_stays_when_the_server_stops(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        with Serving(MOUNT, sockets=[unix]) as serving:
            assert answer_of(socket.AF_UNIX, str(path)).startswith(b"HTTP/1.1 200 ")
            assert serving.stop() == 0
        assert path.exists()


def test_a_start_that_fails_leaves_no_socket(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "socket"
    refused("--uds", str(path), f"--mount=docs=file:{tmp_path}/file")
    assert not path.exists()


def test_a_socket_of_systemd_beyond_this_machine_needs_tokens(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as everywhere:
        address = ("127.0.0.1", everywhere.getsockname()[1])
        with Serving(MOUNT, "--data", str(tmp_path), sockets=[everywhere]):
            assert answer_of(socket.AF_INET, address).startswith(b"HTTP/1.1 401 ")
        with Serving(MOUNT, "--data", str(tmp_path), "--anonymous", "read", sockets=[everywhere]):
            assert answer_of(socket.AF_INET, address).startswith(b"HTTP/1.1 200 ")


def test_a_descriptor_that_is_no_listening_socket_is_refused() -> None:
    with socket.socket() as unbound, Serving(MOUNT, sockets=[unbound]) as serving:
        assert serving.first == ""
        assert serving.process.wait(WAITS_S) == 2
        line = "docstore: descriptor 3, from LISTEN_FDS, is no listening stream socket\n"
        assert serving.process.stderr.read() == line


def test_variables_for_another_process_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    with Serving("--port", "0", MOUNT) as serving:
        assert "serving on http://127.0.0.1:" in serving.first
