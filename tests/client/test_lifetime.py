"""What a client holds, it lets go of: threads, descriptors, locks; and what is imported, and what is not."""

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import docstore
from docstore import AsyncClient, Client, OpenError
from tests.client.conftest import ENGINES
from tests.server_process import RunningServer


def held() -> tuple[int, set[threading.Thread]]:
    gc.collect()
    return len([*Path("/proc/self/fd").iterdir()]), set(threading.enumerate())


@pytest.mark.parametrize("mount", ENGINES)
def test_an_engine_that_was_opened_is_let_go_of(mount: str, tmp_path: Path) -> None:
    url = ENGINES[mount].format(tmp_path)
    with docstore.open(url) as docs:
        docs["first"] = b""  # loads what is loaded once
    before = held()
    for _ in range(5):
        with docstore.open(url) as docs:
            docs["a"] = b"1"
            docs.put("b", iter([b"1"] * 10))
            next(docs.iter_content("b"))
    assert held() == before


@pytest.mark.parametrize("mount", ["file", "shelve", "docs"])
def test_an_engine_that_nobody_closed_is_let_go_of_when_it_is_forgotten(mount: str, tmp_path: Path) -> None:
    """A shelve has one opener, so the second of these would fail."""
    url = ENGINES[mount].format(tmp_path)
    docstore.open(url)["a"] = b"1"
    gc.collect()
    assert docstore.open(url)["a"] == b"1"
    gc.collect()
    assert [thread for thread in threading.enumerate() if thread.name == "docstore-client"] == []


PLAIN = "docs = docstore.open({url!r})\ndocs['a'] = b'1'\ndocs['b'] = LARGE"
ASYNC = """
async def main():
    {keep}docs = docstore.AsyncClient({url!r})
    await docs.put('a', b'1')
    await docs.put('b', LARGE)
asyncio.run(main())
"""
THREAD = """
docs = docstore.open({url!r})
def later():
    threading.main_thread().join()
    docs['a'] = b'1'
threading.Thread(target=later).start()
"""


def ended(code: str) -> str:
    """What the interpreter says of its end."""
    begin = "import asyncio, docstore, threading\nLARGE = bytes(1_000_000)\n"
    return subprocess.run([sys.executable, "-c", begin + code], capture_output=True, text=True, check=True).stderr


@pytest.mark.parametrize("mount", ENGINES)
@pytest.mark.parametrize(
    "code",
    [PLAIN, ASYNC.replace("{keep}", ""), ASYNC.replace("{keep}", "global docs; ")],
    ids=["plain", "asynchronous, forgotten", "asynchronous"],
)
def test_an_engine_that_nobody_closed_is_closed_when_the_interpreter_ends(
    mount: str, code: str, tmp_path: Path
) -> None:
    url = ENGINES[mount].format(tmp_path)
    assert ended(code.format(url=url)) == ""
    assert [*tmp_path.glob("*-wal"), *tmp_path.glob("*-shm")] == []
    if mount != "memory":
        with docstore.open(url) as docs:
            assert (docs["a"], len(docs["b"])) == (b"1", 1_000_000)


@pytest.mark.parametrize("url", ["memory:", "sqlite:{}/docs.db"])
def test_a_thread_that_goes_on_after_the_main_one_may_use_its_client(url: str, tmp_path: Path) -> None:
    assert ended(THREAD.format(url=url.format(tmp_path))) == ""
    assert [*tmp_path.glob("*-wal"), *tmp_path.glob("*-shm")] == []


def test_a_child_leaves_open_what_its_parent_has_open(tmp_path: Path) -> None:
    """It shares the lock."""
    code = """
import multiprocessing
async def main():
    docs = docstore.AsyncClient({url!r})
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()
    try:
        docstore.AsyncClient({url!r})
    except docstore.OpenError:
        await docs.close()
asyncio.run(main())
"""
    assert ended(code.format(url=f"shelve:{tmp_path}/store")) == ""


def test_a_shelve_that_is_held_can_not_be_opened_again(tmp_path: Path) -> None:
    url = ENGINES["shelve"].format(tmp_path)
    with docstore.open(url):
        threads = set(threading.enumerate())
        for kind in (Client, AsyncClient):
            with pytest.raises(OpenError):
                kind(url)
        assert set(threading.enumerate()) == threads


def test_clients_over_http_leak_nothing(server: RunningServer) -> None:
    with Client(f"{server.url}/memory/") as docs:
        docs["a"] = b"1"
    before = held()
    for _ in range(20):
        with Client(f"{server.url}/memory/") as docs:
            assert docs["a"] == b"1"
            next(docs.iter_content("a"))
    assert held() == before


def imported(code: str) -> set[str]:
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(told.stdout.split())


@pytest.mark.parametrize(
    ("code", "left_out"),
    [
        ("import docstore", {"docstore.client", "docstore.server", "docstore.errors", "httpx2"}),
        ("import docstore.server.run", {"docstore.client", "httpx2"}),
        ("import docstore.testing.pytest_plugin", {"docstore.client", "docstore.server", "hypothesis", "httpx2"}),
        (
            "import docstore; docstore.open('http://127.0.0.1:1/docs/')",
            {"docstore.server", "uvicorn", "apsw", "jinja2"},
        ),
        ("import docstore; docstore.open('memory:').close()", {"httpx2", "uvicorn"}),
    ],
)
def test_nothing_is_imported_that_is_not_needed(code: str, left_out: set[str]) -> None:
    assert imported(code) & left_out == set()


def test_clients_over_http_that_nobody_closed_leave_no_connection(server: RunningServer) -> None:
    before = held()
    for _ in range(5):
        docstore.open(f"{server.url}/memory/")["a"] = b"1"
    assert held() == before


@pytest.fixture
def mortal(data: Path) -> Iterator[RunningServer]:
    with RunningServer(data) as running:
        yield running


def test_a_server_that_is_killed_and_comes_back_is_found_again(
    mortal: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a stream too, which goes on where it was."""
    content = bytes(range(256)) * 16384
    with Client(f"{mortal.url}/docs/") as docs:
        docs.put("a", content)
        stream = docs.iter_content("a")
        read = [next(stream)]
        mortal.kill()

        def back(seconds: float) -> None:
            monkeypatch.undo()
            mortal.start(mortal.port)

        monkeypatch.setattr(time, "sleep", back)
        docs["b"] = b"after"
        read += stream
        assert b"".join(read) == content
        assert docs["b"] == b"after"
