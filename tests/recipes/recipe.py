"""The recipes of docs/recipes.md: their servers and their commands, with the ports of a test."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.server_process import RunningServer

DOCS = Path(__file__).parent.parent.parent / "docs"
GUIDE = (DOCS / "recipes.md").read_text()
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])
STARTS_WITHIN_S = 60


def blocks(title: str, guide: str = GUIDE) -> list[str]:
    """The code blocks of the section with this title, up to the next title."""
    [section] = re.findall(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", guide, re.MULTILINE | re.DOTALL)
    return re.findall(r"^```\w+\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def program(name: str) -> str:
    """The path of a program. Without it the test is skipped, and fails in CI, where `.ci/run` installs it."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def at(text: str, server: RunningServer) -> str:
    """`text` with the port of the server."""
    return text.replace(":8080", f":{server.port}")


@contextmanager
def served(title: str, folder: Path) -> Iterator[RunningServer]:
    """The server of a recipe, with its mounts in `folder`."""
    _, _, *arguments = shlex.split(blocks(title)[0])
    (folder / "stores").mkdir()
    placed = [re.sub(r"=(sqlite|file):", rf"=\1:{folder}/stores/", argument) for argument in arguments]
    with RunningServer(folder / "data", *placed) as server:
        yield server


def shell(lines: str, server: RunningServer, folder: Path, **environment: str) -> str:
    """Run lines of a shell in `folder`, with `docstore` on the path, and return what they print."""
    fixed = {"PATH": PATH, "HOME": str(folder), "DOCSTORE_URL": server.url, **environment}
    ended = subprocess.run(
        ["bash", "-euc", at(lines, server)],
        cwd=folder,
        env={**os.environ, **fixed},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, f"{lines}\n{ended.stdout}"
    return ended.stdout


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    """Run a program until the end of the block, which begins when the program listens on `port`."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "HOME": str(folder)},
        )
    try:
        until = time.monotonic() + STARTS_WITHIN_S
        while not _listens(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
