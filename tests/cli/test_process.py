"""The command as a process: pipes that close, what it loads, and a listing of many in little memory."""

import json
import os
import subprocess
import sys
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest

from docstore.cli.main import main
from tests.cli.fake_store import FakeStore, serving
from tests.client.faulty import FaultyServer, answer, hang_up
from tests.stores import run

LISTED = int(os.environ.get("DOCSTORE_LISTED", "3000"))
"""How many keys are listed; `make listed` takes a million."""


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """`docstore` in a line for bash; a pipe fails when any part of it does."""
    line = f'set -o pipefail; docstore() {{ {sys.executable} -m docstore "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", line], capture_output=True, env={**os.environ, **environment}, timeout=120)


def test_a_reader_that_goes_is_no_failure_to_talk_about(url: str) -> None:
    run("put", "docs/long", data=b"y\n" * 3_000_000)
    ended = shell("docstore get docs/long | head -c 1")
    assert (ended.stdout, ended.stderr, ended.returncode) == (b"y", b"", 141)
    ended = shell("docstore get docs/long >&-")
    assert ended.returncode == 3
    assert b"Traceback" not in ended.stderr


def test_a_full_disk_is_told(url: str) -> None:
    ended = shell("docstore get docs/long > /dev/full") if run("put", "docs/long", data=b"y" * 100_000) else None
    assert ended is not None
    assert (ended.returncode, ended.stderr.count(b"\n")) == (3, 1)
    assert b"No space left" in ended.stderr


def test_a_server_without_room_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with serving(FakeStore(statuses={"PUT": (507, "no-space")})) as store:
        ended = run("put", f"{store.url}/docs/key", tmp_path / "file")
        assert (ended.status, "no space" in ended.err) == (3, True)
        ended = run("put", "-r", f"{store.url}/docs/", tmp_path)
        assert (ended.status, ended.err.count("\n")) == (3, 1)


def test_a_server_that_hangs_up_is_not_said_to_be_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docstore.client.retry.FIRST_PAUSE_S", 0.001)
    with closing(FaultyServer()) as server:
        read = run("get", f"{server.url}key")
        written = run("put", f"{server.url}key", data=b"content")
    assert (read.status, "docstore serve" in read.err) == (3, False)
    assert (written.status, "docstore serve" in written.err, "docstore info" in written.err) == (3, False, True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("docstore import sqlite:x.db <&-", "standard input is closed"),
        ("docstore export file:. >&-", "standard output is closed"),
        ("ALL_PROXY=socks5://localhost:1 docstore get http://example.com/docs/x", "SOCKS"),
        ("ALL_PROXY=socks5://localhost:1 docstore ls http://example.com/", "SOCKS"),
        ("docstore get http://a..b/docs/x", "invalid host name"),
        ("docstore ls http://a..b/", "invalid host name"),
    ],
)
def test_what_can_not_be_begun_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = shell(line)
    assert (ended.returncode, ended.stderr.count(b"\n"), ended.stdout) == (2, 1, b""), ended.stderr
    assert said in ended.stderr.decode()
    assert list(tmp_path.iterdir()) == []


ROOT = json.dumps({"mounts": [{"mount": "/docs/", "engine": "sqlite"}]}).encode()
MISDIRECTED = json.dumps({"type": "/-/problems#misdirected", "title": "wrong host", "detail": "say which"}).encode()
NOT_READY = json.dumps({"type": "/-/problems#unavailable", "title": "not ready", "detail": "disk"}).encode()


def test_a_servers_root_is_asked_for_as_documents_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docstore.client.retry.FIRST_PAUSE_S", 0.001)
    problem = {"content_type": "application/problem+json"}
    with closing(FaultyServer()) as server:
        root = server.url.removesuffix("docs/")
        server.script = [hang_up, answer(200, ROOT)]
        ended = run("ls", root, "--header", "X-Team: red")
        assert (ended.status, ended.out) == (0, "/docs/\n"), ended.err
        assert server.asked[-1].headers["x-team"] == "red"
        server.script = [answer(421, MISDIRECTED, **problem)] * 2
        told = [run(*line) for line in (("ls", root), ("get", f"{server.url}x"))]
        assert [(ended.status, "wrong host: say which" in ended.err) for ended in told] == [(3, True)] * 2
        ended = run("ls", root, "--header", "X: é")
        assert (ended.status, ended.err) == (2, "docstore: invalid header 'X'\n")
        server.script = [answer(404, b"nothing")]
        assert "not a Docstore" in run("ls", root).err
        openapi = answer(200, b'{"info": {"version": "1.2"}}')
        server.script = [answer(200, ROOT), answer(200, b"ok"), answer(503, NOT_READY, **problem), openapi]
        ended = run("info", "--json", root)
        assert (ended.status, json.loads(ended.out)["ready"]) == (3, "not ready: disk")


HEAVY = {
    "docstore.server",
    "docstore.engines",
    "uvicorn",
    "apsw",
    "rich",
    "jinja2",
    "httpx2",
    "docstore.client.local_transport",
}
LOADS = {
    "get": {"httpx2"},
    "put": {"httpx2"},
    "engines --json": {"docstore.engines", "apsw"},
    "get --help": set(),
}


@pytest.mark.parametrize("line", LOADS)
def test_a_command_loads_nothing_that_it_does_not_need(line: str) -> None:
    words = line.split() if " " in line else [line, "http://127.0.0.1:1/docs/key"]
    code = (
        "import sys\nfrom docstore.client import retry\nfrom docstore.cli.main import main\n"
        f"retry.FIRST_PAUSE_S = 0\ntry:\n    main({words!r})\n"
        f"except SystemExit:\n    print(sorted({HEAVY!r} & sys.modules.keys()), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], input=b"", capture_output=True, check=True)
    assert ended.stderr.splitlines()[-1].decode() == str(sorted(LOADS[line])), ended.stderr


def peak_of_listing(count: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes that listing `count` documents allocates at most, the server's page included."""
    with serving(FakeStore(generated=count)) as store, Path(os.devnull).open("w") as nowhere:
        monkeypatch.setattr(sys, "stdout", nowhere)
        tracemalloc.start()
        try:
            with pytest.raises(SystemExit) as ended:
                main(["ls", f"{store.url}/docs/"])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            monkeypatch.undo()
            assert ended.value.code == 0


def test_a_listing_of_many_takes_the_memory_of_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    peak_of_listing(1000, monkeypatch)
    one_page = peak_of_listing(1000, monkeypatch)
    assert peak_of_listing(LISTED, monkeypatch) < 2 * one_page


def test_what_is_no_plain_file_is_left_as_it_is(url: str, tmp_path: Path) -> None:
    run("put", "docs/greeting", data=b"hello")
    pipe, linked, link = tmp_path / "pipe", tmp_path / "linked", tmp_path / "link"
    os.mkfifo(pipe)
    ended = run("get", "docs/greeting", "-o", pipe)
    assert (ended.status, "not a regular file" in ended.err, pipe.is_fifo()) == (2, True, True)
    linked.write_bytes(b"before")
    link.symlink_to(linked)
    assert run("get", "docs/greeting", "-o", link).status == 0
    assert (link.is_symlink(), linked.read_bytes()) == (True, b"hello")


@pytest.mark.parametrize("asked", ["docs/q?x", "docs/../x", "http://ana:SECRET@127.0.0.1:99999/docs/x"])
def test_no_message_shows_a_password(asked: str) -> None:
    ended = shell(f"docstore get '{asked}'", DOCSTORE_URL="http://ana:SECRET@127.0.0.1:1/")
    assert ended.returncode == 2
    assert b"SECRET" not in ended.stderr + ended.stdout


def test_an_odd_environment_is_no_traceback(url: str) -> None:
    run("put", "docs/x", data=b"x")
    run("put", "docs/empty", data=b"x")
    with serving(FakeStore(documents={"é": b"x"})) as store:
        ended = shell(f"docstore ls {store.url}/docs/", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (ended.returncode, ended.stdout) == (0, b"\\xe9\n")
    assert shell("docstore put docs/empty <&-").returncode == 0
    assert run("get", "docs/empty").data == b""
    ended = shell("docstore get docs/x --timeout inf")
    assert (ended.returncode, b"Traceback" in ended.stderr) == (2, False)
