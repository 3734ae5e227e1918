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
