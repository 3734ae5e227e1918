"""The command as a process: closed pipes, loaded libraries, memory, odd environments."""

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
from tests.client.faulty_server import FaultyServer, answer, hang_up
from tests.stores import prepare, run

LISTED = int(os.environ.get("DOCSTORE_LISTED", "3000"))
"""Number of listed keys; `make listed` uses a million."""


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which `docstore` is the command; a pipe fails if any part of it does."""
    line = f'set -o pipefail; docstore() {{ {sys.executable} -m docstore "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", line], capture_output=True, env={**os.environ, **environment}, timeout=120)


def test_a_closed_pipe_ends_the_command_silently(url: str) -> None:
    prepare("put", "docs/long", data=b"y\n" * 3_000_000)
    result = shell("docstore get docs/long | head -c 1")
    assert (result.stdout, result.stderr, result.returncode) == (b"y", b"", 141)
    result = shell("docstore get docs/long >&-")
    assert result.returncode == 3
    assert b"Traceback" not in result.stderr


def test_a_full_disk_is_reported(url: str) -> None:
    result = shell("docstore get docs/long > /dev/full") if run("put", "docs/long", data=b"y" * 100_000) else None
    assert result is not None
    assert (result.returncode, result.stderr.count(b"\n")) == (3, 1)
    assert b"No space left" in result.stderr


def test_a_full_server_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with serving(FakeStore(statuses={"PUT": (507, "no-space")})) as store:
        result = run("put", f"{store.url}/docs/key", tmp_path / "file")
        assert (result.status, "no space" in result.err) == (3, True)
        result = run("put", "-r", f"{store.url}/docs/", tmp_path)
        assert (result.status, result.err.count("\n")) == (3, 1)


def test_a_lost_connection_is_not_reported_as_a_server_that_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
def test_a_command_that_cannot_start_prints_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = shell(line)
    assert (result.returncode, result.stderr.count(b"\n"), result.stdout) == (2, 1, b""), result.stderr
    assert said in result.stderr.decode()
    assert list(tmp_path.iterdir()) == []


ROOT = json.dumps({"mounts": [{"mount": "/docs/", "engine": "sqlite"}]}).encode()
MISDIRECTED = json.dumps({"type": "/-/problems#misdirected", "title": "wrong host", "detail": "say which"}).encode()
NOT_READY = json.dumps({"type": "/-/problems#unavailable", "title": "not ready", "detail": "disk"}).encode()


def test_requests_about_a_server_are_retried_and_reported_as_those_about_documents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("docstore.client.retry.FIRST_PAUSE_S", 0.001)
    problem = {"content_type": "application/problem+json"}
    with closing(FaultyServer()) as server:
        root = server.url.removesuffix("docs/")
        server.script = [hang_up, answer(200, ROOT)]
        result = run("ls", root, "--header", "X-Team: red")
        assert (result.status, result.out) == (0, "/docs/\n"), result.err
        assert server.asked[-1].headers["x-team"] == "red"
        server.script = [answer(421, MISDIRECTED, **problem)] * 2
        results = [run(*line) for line in (("ls", root), ("get", f"{server.url}x"))]
        assert [(result.status, "wrong host: say which" in result.err) for result in results] == [(3, True)] * 2
        result = run("ls", root, "--header", "X: é")
        assert (result.status, result.err) == (2, "docstore: invalid header 'X'\n")
        server.script = [answer(404, b"nothing")]
        assert "not a Docstore" in run("ls", root).err
        openapi = answer(200, b'{"info": {"version": "1.2"}}')
        server.script = [answer(200, ROOT), answer(200, b"ok"), answer(503, NOT_READY, **problem), openapi]
        result = run("info", "--json", root)
        assert (result.status, json.loads(result.out)["ready"]) == (3, "not ready: disk")


HEAVY = {
    "asyncio",
    "click.shell_completion",
    "concurrent.futures",
    "docstore.http.entity_tags",
    "email",
    "http.client",
    "logging",
    "random",
    "ssl",
    "urllib.request",
    "docstore.cli.parallel",
    "docstore.content",
    "docstore.media_types",
    "docstore.http.message",
    "docstore.export",
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
    "get": set(),
    "put": {"docstore.content", "docstore.media_types", "docstore.http.message"},
    "get --help": set(),
}


@pytest.mark.parametrize("line", LOADS)
def test_a_command_loads_only_the_libraries_it_needs(line: str) -> None:
    """A small guard of the time in which a command starts, measured by benchmarks/command.py."""
    with serving(FakeStore(documents={"key": b"value"})) as store:
        words = line.split() if " " in line else [line, f"{store.url}/docs/key"]
        code = (
            f"import sys\nfrom docstore.cli.main import main\ntry:\n    main({words!r})\n"
            f"except SystemExit:\n    print(sorted({HEAVY!r} & sys.modules.keys()), file=sys.stderr)"
        )
        result = subprocess.run([sys.executable, "-c", code], input=b"", capture_output=True, check=True)
    assert result.stderr.splitlines()[-1].decode() == str(sorted(LOADS[line])), result.stderr


def peak_of_listing(count: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Peak of allocated bytes while `count` documents are listed, the server's page included."""
    with serving(FakeStore(generated=count)) as store, Path(os.devnull).open("w") as nowhere:
        monkeypatch.setattr(sys, "stdout", nowhere)
        tracemalloc.start()
        try:
            with pytest.raises(SystemExit) as result:
                main(["ls", f"{store.url}/docs/"])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            monkeypatch.undo()
            assert result.value.code == 0


def test_a_long_listing_needs_the_memory_of_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    peak_of_listing(1000, monkeypatch)
    one_page = peak_of_listing(1000, monkeypatch)
    assert peak_of_listing(LISTED, monkeypatch) < 2 * one_page


def test_get_does_not_replace_a_pipe_or_a_link(url: str, tmp_path: Path) -> None:
    prepare("put", "docs/greeting", data=b"hello")
    pipe, linked, link = tmp_path / "pipe", tmp_path / "linked", tmp_path / "link"
    os.mkfifo(pipe)
    result = run("get", "docs/greeting", "-o", pipe)
    assert (result.status, "not a regular file" in result.err, pipe.is_fifo()) == (2, True, True)
    linked.write_bytes(b"before")
    link.symlink_to(linked)
    assert run("get", "docs/greeting", "-o", link).status == 0
    assert (link.is_symlink(), linked.read_bytes()) == (True, b"hello")


@pytest.mark.parametrize("asked", ["docs/q?x", "docs/../x", "http://ana:SECRET@127.0.0.1:99999/docs/x"])
def test_a_usage_error_shows_no_password(asked: str) -> None:
    result = shell(f"docstore get '{asked}'", DOCSTORE_URL="http://ana:SECRET@127.0.0.1:1/")
    assert result.returncode == 2
    assert b"SECRET" not in result.stderr + result.stdout


def test_an_unusual_environment_causes_no_traceback(url: str) -> None:
    prepare("put", "docs/x", data=b"x")
    prepare("put", "docs/empty", data=b"x")
    with serving(FakeStore(documents={"é": b"x"})) as store:
        result = shell(f"docstore ls {store.url}/docs/", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (result.returncode, result.stdout) == (0, b"\\xe9\n")
    assert shell("docstore put docs/empty <&-").returncode == 0
    assert run("get", "docs/empty").data == b""
    result = shell("docstore get docs/x --timeout inf")
    assert (result.returncode, b"Traceback" in result.stderr) == (2, False)


REMOVED = "the working folder was removed; change to another folder"


def in_removed_folder(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = 'cd "$1"; rmdir "$1"; shift; exec "$@"'
    command = ["bash", "-c", line, "bash", str(gone), sys.executable, "-m", "docstore", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)


@pytest.mark.parametrize(
    "line",
    [
        "serve --port 0",
        "serve --port 0 --workers 2 --mount a=sqlite:x.db",
        "serve --port 0 --workers 2 --mount a=STORE",
        "serve --port 0 --mount a=file:x",
        "serve --port 0 --mount a=shelve:x",
        "serve --port 0 --config docstore.toml",
        "put sqlite:x.db#key",
        "put file:x#key",
        "put shelve:x#key",
        "get STORE#key -o out",
        "get sqlite:x.db#key",
        "ls file:x",
        "rm sqlite:x.db#key",
        "check sqlite:x.db",
        "check file:x",
        "check shelve:x",
        "cp -r STORE sqlite:x.db",
        "cp -r STORE file:x",
        "cp -r STORE shelve:x",
        "import sqlite:x.db archive.tar",
    ],
)
def test_a_command_in_a_removed_folder_says_so(tmp_path: Path, line: str) -> None:
    store = f"sqlite:{tmp_path}/docs.db"
    prepare("put", f"{store}#key", data=b"content")
    ended = in_removed_folder(tmp_path, *line.replace("STORE", store).split())
    *others, last = ended.stderr.splitlines()
    assert (ended.returncode, last) == (2, f"docstore: {REMOVED}")
    assert len(others) <= 1
    assert "Traceback" not in ended.stderr


def test_a_command_with_absolute_paths_works_in_a_removed_folder(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path}/docs.db"
    prepare("put", f"{store}#key", data=b"content")
    for line in ("get STORE#key", "ls STORE", "check STORE", "cp -r STORE file:FOLDER/x", "export STORE", "engines"):
        arguments = line.replace("STORE", store).replace("FOLDER", str(tmp_path)).split()
        ended = in_removed_folder(tmp_path, *arguments)
        assert (ended.returncode, "removed" in ended.stderr) == (0, False), ended


@pytest.mark.parametrize("command", ["check", "ls"])
def test_a_shelve_without_a_temporary_folder_is_one_line(tmp_path: Path, command: str) -> None:
    """Only reading needs one: a check, or a store that is open for reading only."""
    prepare("put", f"shelve:{tmp_path}/store#key", data=b"content")
    program = (
        "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/nowhere'];"
        "from docstore.cli.main import main; main()"
    )
    url = f"shelve:{tmp_path}/store?readonly=yes"
    ended = subprocess.run(
        [sys.executable, "-c", program, command, url], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert [f"cannot copy {tmp_path}/store to a temporary folder, set TMPDIR" in line for line in
            ended.stderr.splitlines() if "0 sound" not in line] == [True]  # fmt: skip
