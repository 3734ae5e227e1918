"""The read-only switch: writes are 503 while it is on, in all workers, and reading works."""

import time
from pathlib import Path

from docstore.server.security.state_files import CHECK_INTERVAL_S
from tests.http_client import ask
from tests.server_process import RunningServer
from tests.stores import run

WRITES = (("PUT", "a"), ("POST", "a"), ("POST", ""), ("PATCH", "a"), ("DELETE", "a"))


def check_writes(server: RunningServer, mount: str, *statuses: int) -> None:
    """Require that writes have one of the statuses, whatever worker gets them, once each has looked at the file."""
    time.sleep(CHECK_INTERVAL_S)
    for _ in range(10):
        assert ask(server, "PUT", f"/{mount}/a", b"1").status in statuses


def test_a_mount_or_the_server_is_read_only_until_it_is_turned_off(tmp_path: Path) -> None:
    data = tmp_path / "data"
    mounts = [f"--mount={name}=sqlite:{tmp_path}/{name}.db" for name in ("docs", "notes")]
    with RunningServer(data, "--workers", "2", *mounts) as server:
        check_writes(server, "docs", 200, 201)
        assert run("read-only", "on", "--mount", "docs", "--data", data).out == "/docs/ is read-only\n"
        check_writes(server, "docs", 503)
        for method, key in WRITES:
            answer = ask(server, method, f"/docs/{key}", b"2", {"Content-Type": "application/merge-patch+json"})
            assert (answer.status, answer["Retry-After"], answer.content) == (503, "10", b"read-only for now\n")
        assert ask(server, "GET", "/docs/a").content == b"1"
        assert ask(server, "GET", "/docs/?format=text").content == b"a\n"
        check_writes(server, "notes", 200, 201)
        assert run("read-only", "on", "--data", data).out == "everything is read-only\n/docs/ is read-only\n"
        check_writes(server, "notes", 503)
        server.restart()
        check_writes(server, "notes", 503)
        assert run("read-only", "off", "--data", data).out == "nothing is read-only\n"
        check_writes(server, "notes", 200, 201)
        check_writes(server, "docs", 200, 201)


def test_a_damaged_switch_stops_writes_until_it_is_removed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    switch = data / "read-only.json"
    with RunningServer(data, "--mount=docs=memory:") as server:
        assert ask(server, "PUT", "/docs/a", b"1").status == 201
        data.mkdir(exist_ok=True)
        for damaged in (b"", b"[", b"{}", b"[1]", b"\xff", b"[" * 100_000):
            switch.write_bytes(damaged)
            check_writes(server, "docs", 503)
            assert ask(server, "GET", "/docs/a").content == b"1"
            result = run("read-only", "off", "--data", data)
            assert (result.status, "read-only.json is damaged" in result.err) == (2, True)
            switch.unlink()
            check_writes(server, "docs", 200)
            assert run("read-only", "--data", data).out == "nothing is read-only\n"
        assert server.stop() == 0  # then all of its log is read
        server.errors[:] = [line for line in server.errors if "read-only.json can't be read" not in line]
