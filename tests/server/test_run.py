"""`docstore serve` as a process: its output, its stop, and its one-line errors."""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import docstore
from tests.http_client import ask, prepare
from tests.server_process import RunningServer
from tests.stores import run


def refused(*arguments: str, cwd: Path | None = None) -> str:
    """The one line that `docstore serve` ends with."""
    command = [sys.executable, "-m", "docstore", "serve", "--port", "0", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd)
    assert ended.returncode == 2, ended
    assert "http://" not in ended.stdout
    lines = ended.stderr.splitlines()
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("docstore: ")
    return lines[0]


def refused_here(*arguments: str) -> str:
    """The same, in this process."""
    result = run("serve", "--port", "0", *arguments)
    assert (result.status, result.out) == (2, "")
    [line] = result.err.splitlines()
    assert line.startswith("docstore: ")
    return line


def test_it_prints_the_address_and_the_mounts_and_logs_requests_readably(data: Path) -> None:
    with RunningServer(data) as server:
        prepare(server, "PUT", "/docs/a", b"hello")
        assert ask(server, "GET", "/docs/b%0Ac").status == 400
        server.process.send_signal(signal.SIGTERM)
        printed = server.process.stdout.read()
        assert server.wait() == 0
    for mount, engine in [("memory", "memory:"), ("file", "file:"), ("shelve", "shelve:"), ("docs", "sqlite:")]:
        assert any(f"/{mount}/" in line and engine in line for line in printed.splitlines())
    requests = [line for line in server.errors if "/docs/" in line]
    assert [line.split()[2:5] for line in requests] == [["PUT", "/docs/a", "201"], ["GET", "/docs/b%0Ac", "400"]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly(data: Path, number: int) -> None:
    with RunningServer(data) as server:
        prepare(server, "PUT", "/docs/a", b"hello")
        assert server.stop(number) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0


@pytest.mark.parametrize("mount", ["memory", "file", "shelve", "docs"])
def test_a_request_in_flight_is_finished_before_the_stop(data: Path, mount: str) -> None:
    with RunningServer(data) as server:
        with socket.create_connection((server.host, server.port)) as connection:
            connection.sendall(
                b"PUT /%s/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345" % mount.encode()
            )
            assert ask(server, "GET", "/-/health").status == 200
            server.process.send_signal(signal.SIGTERM)
            while server_accepts(server):
                time.sleep(0.02)
            connection.sendall(b"67890")
            answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert server.wait() == 0
        if mount != "memory":
            server.start()
            assert ask(server, "GET", f"/{mount}/slow").content == b"1234567890"


def server_accepts(server: RunningServer) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((server.host, server.port)) == 0


def test_a_port_in_use_is_reported_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused("--port", str(port), "--data", str(tmp_path))
    assert str(port) in line
    assert "in use" in line


BAD_STARTS = {
    "an unknown engine": (["--mount", "a=nosuch:x"], "nosuch"),
    "no engine URL": (["--mount", "a=b"], "engine URL"),
    "no mount": (["--mount", "a"], "mount"),
    "a mount named twice": (["--mount", "a=memory:", "--mount", "a=memory:"], "twice"),
    "a mount named like the service": (["--mount", "-=memory:"], "mount"),
    "a mount name that is none": (["--mount", "a/../b=memory:"], "mount name"),
    "an option nobody knows": (["--mount", "a=memory:?colour=red"], "colour"),
    "a key rule nobody knows": (["--mount", "a=memory:?keys=any"], "keys"),
    "a size that is none": (["--mount", "a=memory:?max_document=big"], "size"),
    "workers sharing a dict": (["--workers", "2", "--mount", "a=memory:"], "single-process"),
    "workers sharing a shelve": (["--workers", "2", "--mount", "a=shelve:s"], "single-process"),
    "a shelve mounted twice": (
        ["--mount", "a=shelve:s", "--mount", "b=shelve:./s?keys=path"],
        "can be opened only once",
    ),
    "documents around the tokens": (["--auth", "tokens", "--mount", "a=file:.", "--data", "d"], "where the tokens are"),
    "a host that is none": (
        ["--host", "no.such.host.invalid", "--anonymous", "read", "--mount", "a=memory:"],
        "listen",
    ),
    "a host that is no name": (["--host", "a..b", "--anonymous", "read", "--mount", "a=memory:"], "listen"),
    "a missing config": (["--config", "nowhere.toml"], "nowhere.toml"),
    "a mount name with a database": (["--mount", "bad name=sqlite:b.db"], "mount name"),
    "a key rule nobody knows, with a database": (["--mount", "a=sqlite:b.db?keys=any"], "keys"),
    "an origin that is none": (["--mount", "a=memory:?cors=app.example"], "origin"),
    "cache directives that are none": (["--mount", "a=memory:?cache_control=max age"], "cache directives"),
    "no cache directives": (["--mount", "a=memory:?cache_control="], "cache directives"),
    "a limit nobody knows": (["--limit", "patience=3", "--mount", "a=memory:"], "patience"),
    "a limit of nothing": (["--limit", "head_s=0", "--mount", "a=memory:"], "head_s"),
    "a limit that is no number": (["--limit", "head_s=long", "--mount", "a=memory:"], "head_s"),
    "no time to stop": (["--stop-timeout", "-5", "--mount", "a=memory:"], "stop_timeout_s"),
    "a path for a dict": (["--mount", "a=memory:here"], "memory:"),
}


@pytest.mark.parametrize("name", BAD_STARTS)
def test_a_bad_start_is_one_line_and_leaves_nothing_behind(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, said = BAD_STARTS[name]
    monkeypatch.chdir(tmp_path)
    assert said in refused_here(*arguments)
    assert not any(tmp_path.iterdir())


def test_a_bad_start_of_a_process_is_one_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    assert "nosuch" in refused("--mount", "a=nosuch:x", cwd=tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("engine", ["file:{}", "shelve:{}", "sqlite:{}"])
def test_a_read_only_folder_is_reported_in_one_line(tmp_path: Path, engine: str) -> None:
    in_the_way = tmp_path / "plain-file"
    in_the_way.write_text("a file where a folder should be")
    line = refused("--mount", f"a={engine.format(in_the_way / 'store')}")
    assert "plain-file" in line
    assert in_the_way.read_text() == "a file where a folder should be"


def test_a_shelve_locked_by_another_process_is_reported_in_one_line(data: Path) -> None:
    with RunningServer(data) as server:
        prepare(server, "PUT", "/shelve/a", b"1")
        line = refused("--data", str(data))
        assert "shelve" in line
        assert ask(server, "GET", "/shelve/a").content == b"1"


def test_a_config_file_has_the_settings_of_the_command_line(tmp_path: Path) -> None:
    config = tmp_path / "docstore.toml"
    config.write_text(
        f'log_level = "warning"\n[mounts.notes]\nengine = "sqlite:{tmp_path}/notes.db"\nkeys = "path"\n'
        'max_document = "1KiB"\n[mounts."cache/ac"]\nengine = "memory:"\ncollection_put = false\n',
        encoding="utf-8-sig",  # as some editors write it
    )
    with RunningServer(tmp_path / "data", "--config", str(config)) as server:
        assert ask(server, "PUT", "/notes/a/b.txt", b"1" * 1024).status == 201
        assert ask(server, "PUT", "/notes/a/b.txt", b"1" * 1025).status == 413
        assert ask(server, "PUT", "/cache/ac/k", b"1").status == 201
        assert ask(server, "PUT", "/cache/ac/", b"1").status == 405
        assert ask(server, "GET", "/docs/").status == 404
        assert server.stop() == 0
    assert server.errors == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port = 'x'", "port"),
        ("colour = 'red'", "colour"),
        ("mounts = 1", "mounts"),
        ("log_level = 'loud'", "log_level"),
        ("anonymous = 'none'", "anonymous"),
        ("auth = 'none'", "auth"),
        ("[limits]\nline_size = 1.5", "line_size"),
        ("[mounts.a]\nkeys = 'path'", "engine"),
        ("[mounts.a]\nengine = 'memory:'\nkeys = [1]", "keys"),
        ("not toml", "TOML"),
    ],
)
def test_an_invalid_config_file_is_reported_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    config = tmp_path / "docstore.toml"
    config.write_text(text)
    assert said in refused_here("--config", str(config))


def test_several_workers_serve_one_store(data: Path) -> None:
    mounts = ["--mount", f"docs=sqlite:{data}/docs.db", "--mount", f"file=file:{data}/file"]
    with RunningServer(data, "--workers", "2", *mounts) as server:
        for n in range(40):
            mount = ("docs", "file")[n % 2]
            assert ask(server, "PUT", f"/{mount}/k{n}", b"%d" % n).status == 201
            assert ask(server, "GET", f"/{mount}/k{n}").content == b"%d" % n
        assert server.stop() == 0


def test_a_worker_that_is_killed_is_logged_and_replaced(data: Path) -> None:
    with RunningServer(data, "--workers", "2", "--mount", f"docs=sqlite:{data}/docs.db") as server:
        assert ask(server, "PUT", "/docs/a", b"1").status == 201
        killed, other = workers_of(server)
        os.kill(killed, signal.SIGKILL)
        deadline_s = time.monotonic() + 60
        while not (lines := [line for line in server.errors if "replaces it" in line]):
            assert time.monotonic() < deadline_s, server.errors
            time.sleep(0.05)
        [new] = set(workers_of(server)) - {killed, other}
        assert f"worker process {killed} was killed by SIGKILL; {new} replaces it" in lines[0]
        assert ask(server, "GET", "/docs/a").content == b"1"
        assert server.stop() == 0


def workers_of(server: RunningServer) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.parametrize("mount", ["memory", "file", "docs"])
def test_a_client_that_abandons_a_download_causes_no_server_error(data: Path, mount: str) -> None:
    with RunningServer(data) as server:
        prepare(server, "PUT", f"/{mount}/large", b"x" * 16_000_000)
        for _ in range(20):
            with socket.create_connection((server.host, server.port)) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(f"GET /{mount}/large HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                connection.recv(1000)
        assert server.stop() == 0
    assert [line for line in server.errors if " E " in line] == []


def test_workers_end_when_their_parent_process_is_killed(data: Path) -> None:
    mounts = ["--mount", f"docs=sqlite:{data}/docs.db"]
    with RunningServer(data, "--workers", "2", *mounts) as server:
        assert ask(server, "PUT", "/docs/a", b"1").status == 201
        server.process.kill()
        server.process.wait()
        while server_accepts(server):
            time.sleep(0.05)
        server.wait()


def test_clients_write_until_the_stop_and_every_acknowledged_write_is_stored(data: Path) -> None:
    stored: list[int] = []

    def write(server: RunningServer) -> None:
        for n in range(100_000):
            try:
                status = ask(server, "PUT", f"/docs/k{n}", b"%d" % n).status
            except OSError:
                return
            assert status == 201
            stored.append(n)

    with RunningServer(data) as server:
        writer = threading.Thread(target=write, args=(server,))
        writer.start()
        while len(stored) < 50:
            time.sleep(0.01)
        assert server.stop() == 0
        writer.join()
        server.start()
        for n in stored:
            assert ask(server, "GET", f"/docs/k{n}").content == b"%d" % n


def test_the_command_has_the_version_and_help_with_an_example() -> None:
    for arguments, expected in ((["--version"], "docstore 0."), (["serve", "--help"], "Example:")):
        ended = subprocess.run(
            [sys.executable, "-m", "docstore", *arguments], capture_output=True, text=True, timeout=60
        )
        assert (ended.returncode, expected in ended.stdout) == (0, True)


STOP_SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(params=["one process", "two workers", "uvicorn"])
def stoppable(request: pytest.FixtureRequest, data: Path) -> Iterator[RunningServer]:
    """A server that waits for requests as long as it takes, on a store that several processes can open."""
    more = {"two workers": ["--workers", "2"], "uvicorn": ["--http", "uvicorn"]}.get(request.param, [])
    with RunningServer(data, "--mount", f"docs=sqlite:{data}/docs.db", "--stop-timeout", "600", *more) as server:
        yield server


def begin_upload(server: RunningServer) -> socket.socket:
    """A request whose content never comes."""
    connection = socket.create_connection((server.host, server.port))
    connection.sendall(
        b"PUT /docs/half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + bytes(100_000)
    )
    return connection


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_every_signal_stops_it_after_the_requests_in_flight(stoppable: RunningServer, number: int) -> None:
    with socket.create_connection((stoppable.host, stoppable.port)) as connection:
        connection.sendall(b"PUT /docs/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345")
        assert ask(stoppable, "PUT", "/docs/a", b"1").status == 201
        stoppable.process.send_signal(number)
        while server_accepts(stoppable):
            time.sleep(0.02)
        connection.sendall(b"67890")
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")
    assert stoppable.wait() == 0
    assert not (Path(f"{stoppable.data}/docs.db-wal")).exists()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGINT, signal.SIGTERM),
        (signal.SIGTERM, signal.SIGHUP),
        (signal.SIGHUP, signal.SIGINT),
    ],
)
def test_a_second_signal_stops_it_at_once_and_loses_nothing(stoppable: RunningServer, first: int, second: int) -> None:
    with begin_upload(stoppable) as connection:
        for number in range(20):
            assert ask(stoppable, "PUT", f"/docs/{number}", b"stored").status == 201
        stoppable.process.send_signal(first)
        while server_accepts(stoppable):
            time.sleep(0.02)
        stoppable.process.send_signal(second)
        assert stoppable.wait() == 0
        with suppress(ConnectionResetError):
            assert connection.recv(100) == b""
    # Closed as after any stop: the log is in the database, and the rest of the upload is removed.
    assert {path.name for path in stoppable.data.iterdir()} == {"docs.db", "docs.db-reserve", "docs.db.sealed"}
    assert [path.name for path in (stoppable.data / "docs.db.sealed").iterdir()] == ["lock"]
    with docstore.open(f"sqlite:{stoppable.data}/docs.db") as documents:
        assert dict(documents) == {f"{number}": b"stored" for number in range(20)}


@pytest.mark.parametrize("workers", [1, 2])
def test_the_signals_of_a_terminal_reach_all_its_processes(data: Path, workers: int) -> None:
    """A terminal sends Ctrl-C to the whole process group, a second one while the server stops."""
    mount = ["--mount", f"docs=sqlite:{data}/docs.db"]
    with RunningServer(data, *mount, "--workers", f"{workers}", "--stop-timeout", "600", group=True) as server:
        with begin_upload(server):
            assert ask(server, "PUT", "/docs/a", b"stored").status == 201
            os.killpg(server.process.pid, signal.SIGINT)
            while server_accepts(server):
                time.sleep(0.02)
            time.sleep(0.3)
            assert server.process.poll() is None
            os.killpg(server.process.pid, signal.SIGINT)
            assert server.wait() == 0
        assert "Traceback" not in "".join(server.errors)
        server.start()
        assert ask(server, "GET", "/docs/a").content == b"stored"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hangup_that_is_ignored_stays_ignored(data: Path, workers: int) -> None:
    nohup = "import signal; from docstore.cli.main import main; signal.signal(signal.SIGHUP, signal.SIG_IGN); main()"
    with RunningServer(data, "--workers", f"{workers}", program=("-c", nohup)) as server:
        assert ask(server, "GET", "/docs/").status == 200  # it is past its start
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0 if workers == 1 else 2)  # the parent of several workers looks for signals twice a second
        assert ask(server, "PUT", "/docs/a", b"stored").status == 201
        assert ask(server, "GET", "/docs/a").content == b"stored"
        assert server.process.poll() is None


def test_a_removed_working_folder_does_not_matter_to_absolute_paths(data: Path) -> None:
    removed = "import os, tempfile; folder = tempfile.mkdtemp(); os.chdir(folder); os.rmdir(folder)"
    program = f"{removed}; from docstore.cli.main import main; main()"
    mount = ["--mount", f"docs=sqlite:{data}/docs.db"]
    with RunningServer(data, *mount, program=("-P", "-c", program)) as server:
        assert ask(server, "PUT", "/docs/a", b"stored").status == 201
        assert server.stop() == 0


def test_several_workers_serve_the_default_mounts_that_they_can_share(data: Path) -> None:
    with RunningServer(data, "--workers", "2") as server:
        assert ask(server, "GET", "/", headers={"Accept": "text/plain"}).content == b"/file/\n/docs/\n"
        assert ask(server, "PUT", "/docs/a", b"stored").status == 201
        assert server.stop() == 0
        assert "/memory/ and /shelve/ are left out: --workers 2 can't share them" in server.errors[0]


MISTAKES = {
    "an option of an engine": ('[mounts.docs]\nengine = "sqlite:a.db"\nmax_byte = "1GiB"', "'max_byte'", "'max_bytes'"),
    "an option of a mount": (
        '[mounts.docs]\nengine = "sqlite:a.db"\nmax_documents = "1GiB"',
        "'docs'",
        "'max_document'",
    ),
    "an option in a URL": ('[mounts.docs]\nengine = "sqlite:a.db?evit=lru"', "'docs'", "'evict'"),
    "the value of an option": ('[mounts.docs]\nengine = "sqlite:a.db"\nkeys = "paths"', "'docs'", "keys=paths"),
    "an engine": ('[mounts.docs]\nengine = "sqlit:a.db"', "'docs'", "'sqlite'"),
    "a setting": ("prot = 8080", "'prot'", "'port'"),
    "a limit": ("[limits]\nhead = 3", "'head'", "'head_s'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_configuration_names_file_and_mount_and_what_was_meant(
    tmp_path: Path, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, place, meant = MISTAKES[mistake]
    (tmp_path / "store.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    line = refused_here("--config", "store.toml")
    assert line.startswith("docstore: store.toml: ")
    assert place in line
    assert meant in line
    assert [path.name for path in tmp_path.iterdir()] == ["store.toml"]
