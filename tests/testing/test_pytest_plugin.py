"""The pytest plugin: tests of other packages get a real server, empty for each test, and no process remains."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TESTS = """
import subprocess, sys

def test_a_collection_is_a_mapping(docstore_server):
    docs = docstore_server.collection("docs")
    docs["a/path é"] = b"content"
    assert list(docs) == ["a/path é"]
    assert docstore_server.url.startswith("http://127.0.0.1:")

def test_it_is_empty_again(docstore_server):
    assert not docstore_server.collection()
    docstore_server.kill()

def test_it_is_there_again(docstore_server):
    for name in ("memory", "file", "shelve", "docs"):
        docstore_server.collection(name)["a"] = b"1"
"""

HANGING = """
import time

def test_it_hangs(docstore_server):
    print(docstore_server.process_id, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """An environment with Docstore's entry point, whether or not Docstore is installed in this one."""
    information = tmp_path / "site" / "docstore_plugin-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: docstore-plugin\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[pytest11]\ndocstore = docstore.testing.pytest_plugin\n")
    source = Path(__file__).parent.parent.parent / "src"
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(information.parent), str(source)]), "PYTEST_PLUGINS": ""}


def command(tmp_path: Path, tests: str, *more: str) -> list[str]:
    (tmp_path / "test_them.py").write_text(tests)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", "-s", *more]


def test_the_fixture_needs_no_configuration(tmp_path: Path, installed: dict[str, str]) -> None:
    ended = subprocess.run(
        command(tmp_path, TESTS), cwd=tmp_path, env=installed, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "3 passed" in ended.stdout


def gone(number: int) -> bool:
    """Whether the process has ended."""
    try:
        return "Z" in Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_server_ends_with_the_tests_even_if_they_are_killed(
    tmp_path: Path, installed: dict[str, str], number: int
) -> None:
    with subprocess.Popen(
        command(tmp_path, HANGING, "-p", "docstore.testing.pytest_plugin"),
        cwd=tmp_path,
        env={**installed, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as tests:
        assert tests.stdout is not None
        server = int(tests.stdout.readline())
        assert not gone(server)
        tests.send_signal(number)
        tests.wait(60)
    until = time.monotonic() + 60
    while not gone(server):
        assert time.monotonic() < until
        time.sleep(0.05)


FAILING = """
import time
from pathlib import Path

import pytest

from tests.http_client import Client, ask
from tests.server.http1.server import HTTP1Server
from tests.server_process import RunningServer


def get(server, path):
    ask(server, "GET", path)
    until = time.monotonic() + 30
    while not any(path in line for line in server.errors):
        assert time.monotonic() < until, "the server logged nothing"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with RunningServer(tmp_path_factory.mktemp("data")) as running:
        get(running, "/docs/in-the-fixture")
        yield running


@pytest.fixture
def broken(server):
    get(server, "/docs/in-a-broken-fixture")
    raise RuntimeError


def test_passes(server):
    get(server, "/docs/in-a-test-that-passes")


def test_fails(server):
    get(server, "/docs/in-a-test-that-fails")
    assert False


def test_is_not_run(broken):
    pass


def test_fails_with_a_server_of_its_own(tmp_path):
    with RunningServer(tmp_path) as own:
        get(own, "/docs/on-a-server-of-its-own")
        assert False


def test_fails_with_a_server_of_http1(tmp_path):
    with HTTP1Server(tmp_path) as own:
        own.process.send_signal(9)
        own.errors.append("from-http1")
        assert False


def test_fails_with_the_fixture_of_the_plugin(docstore_server):
    docstore_server._process.errors.append("from-the-plugin")
    assert False
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_test_that_fails_prints_the_log_of_its_servers(tmp_path: Path, workers: str) -> None:
    root = Path(__file__).parent.parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTEST_PLUGINS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    line = command(tmp_path, FAILING, "-p", "xdist", "-p", "docstore.testing.pytest_plugin", "-n", workers)
    line.remove("-s")
    ended = subprocess.run(
        line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert "1 passed" in ended.stdout, ended.stdout + ended.stderr
    assert "4 failed, 1 passed, 1 error" in ended.stdout, ended.stdout
    reports = ended.stdout.split("\n____")
    for name, logged in {
        " test_fails _": "in-a-test-that-fails",
        " test_is_not_run _": "in-a-broken-fixture",
        " test_fails_with_a_server_of_its_own _": "on-a-server-of-its-own",
        " test_fails_with_a_server_of_http1 _": "from-http1",
        " test_fails_with_the_fixture_of_the_plugin _": "from-the-plugin",
    }.items():
        [report] = [report for report in reports if name in report.partition("\n")[0]]
        assert logged in report.partition("log of server")[2], report
    assert "GET /docs/in-a-test-that-passes 404" not in ended.stdout
    assert ended.stdout.count("GET /docs/in-a-test-that-fails 404") == 1, "the log of one test is not that of the next"
