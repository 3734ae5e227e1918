"""Clients of an engine in this process release threads, descriptors and locks."""

import asyncio
import gc
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import docstore
from docstore import AsyncClient, Client, OpenError, RequestError
from docstore.client.transport import IN_FLIGHT
from docstore.engines.memory import Memory
from tests.engine_urls import ENGINES, url_in
from tests.leaks import no_leaks


@pytest.mark.parametrize("mount", ENGINES)
def test_closing_a_client_releases_its_engine(mount: str, tmp_path: Path) -> None:
    url = url_in(tmp_path, mount)
    with docstore.open(url, create=True) as docs:
        docs["first"] = b""  # loads what is loaded once
    with no_leaks():
        for _ in range(5):
            with docstore.open(url, create=True) as docs:
                docs["a"] = b"1"
                docs.put("b", iter([b"1"] * 10))
                next(docs.iter_content("b"))


@pytest.mark.parametrize("mount", ["file", "shelve", "docs"])
def test_an_unreferenced_client_releases_its_engine(mount: str, tmp_path: Path) -> None:
    """Only one process can open a shelve, so a second open would fail."""
    url = url_in(tmp_path, mount)
    docstore.open(url, create=True)["a"] = b"1"
    gc.collect()
    assert docstore.open(url)["a"] == b"1"
    gc.collect()
    assert [thread for thread in threading.enumerate() if thread.name == "docstore-client"] == []


def test_an_unreferenced_client_does_not_block_the_event_loop_that_collects_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_close = threading.Event()
    close = Memory.close

    async def close_later(engine: Memory) -> None:
        assert may_close.wait(20)
        await close(engine)

    async def collect() -> threading.Thread:
        before = threading.enumerate()
        docs: list[object] = [docstore.open("memory:")]
        docs.append(docs)  # a cycle, which only the garbage collector ends
        [thread] = [each for each in threading.enumerate() if each not in before and each.name == "docstore-client"]
        del docs
        gc.collect()
        return thread

    monkeypatch.setattr(Memory, "close", close_later)
    thread = asyncio.run(collect())
    may_close.set()
    thread.join(20)
    assert not thread.is_alive()


PLAIN = "docs = docstore.open({url!r}, create=True)\ndocs['a'] = b'1'\ndocs['b'] = LARGE"


ASYNC = """
async def main():
    {keep}docs = docstore.AsyncClient({url!r}, create=True)
    await docs.put('a', b'1')
    await docs.put('b', LARGE)
asyncio.run(main())
"""


THREAD = """
docs = docstore.open({url!r}, create=True)
def later():
    threading.main_thread().join()
    docs['a'] = b'1'
threading.Thread(target=later).start()
"""


def ended(code: str) -> str:
    """The output of the interpreter at its exit."""
    begin = "import asyncio, docstore, threading\nLARGE = bytes(1_000_000)\n"
    return subprocess.run([sys.executable, "-c", begin + code], capture_output=True, text=True, check=True).stderr


@pytest.mark.parametrize("mount", ENGINES)
@pytest.mark.parametrize(
    "code",
    [PLAIN, ASYNC.replace("{keep}", ""), ASYNC.replace("{keep}", "global docs; ")],
    ids=["plain", "asynchronous, forgotten", "asynchronous"],
)
def test_an_open_engine_is_closed_when_the_interpreter_exits(mount: str, code: str, tmp_path: Path) -> None:
    url = url_in(tmp_path, mount)
    assert ended(code.format(url=url)) == ""
    assert [*tmp_path.glob("*-wal"), *tmp_path.glob("*-shm")] == []
    if mount != "memory":
        with docstore.open(url, create=True) as docs:
            assert (docs["a"], len(docs["b"])) == (b"1", 1_000_000)


@pytest.mark.parametrize("url", ["memory:", "sqlite:{}/docs.db"])
def test_a_thread_that_outlives_the_main_thread_can_use_its_client(url: str, tmp_path: Path) -> None:
    assert ended(THREAD.format(url=url.format(tmp_path))) == ""
    assert [*tmp_path.glob("*-wal"), *tmp_path.glob("*-shm")] == []


def test_a_forked_child_does_not_close_its_parents_engine(tmp_path: Path) -> None:
    """It shares the lock."""
    code = """
import multiprocessing
async def main():
    docs = docstore.AsyncClient({url!r}, create=True)
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()
    try:
        docstore.AsyncClient({url!r}, create=True)
    except docstore.OpenError:
        await docs.close()
asyncio.run(main())
"""
    assert ended(code.format(url=f"shelve:{tmp_path}/store")) == ""


def test_an_open_shelve_cannot_be_opened_again(tmp_path: Path) -> None:
    url = url_in(tmp_path, "shelve")
    with docstore.open(url, create=True):
        threads = set(threading.enumerate())
        for kind in (Client, AsyncClient):
            with pytest.raises(OpenError):
                kind(url)
        assert set(threading.enumerate()) == threads


@pytest.mark.parametrize("mount", ["file", "shelve", "docs"])
@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_only_create_creates_a_store(mount: str, client: type[Client | AsyncClient], tmp_path: Path) -> None:
    url = url_in(tmp_path, mount)
    for options in ({}, {"create": False}):
        with pytest.raises(OpenError, match="no such store; create=True creates it"):
            client(url, **options)
    assert list(tmp_path.iterdir()) == []
    with Client(url, create=True) as docs:
        docs["a"] = b"1"
    with Client(url) as docs:
        assert docs["a"] == b"1"
    with Client(url, create=True) as docs:
        assert docs["a"] == b"1"


def test_a_small_request_changes_threads_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    run = asyncio.run_coroutine_threadsafe

    def counting(coroutine: Any, loop: asyncio.AbstractEventLoop) -> Any:
        calls.append(coroutine)
        return run(coroutine, loop)

    with docstore.open(f"sqlite:{tmp_path}/docs.db", create=True) as docs:
        docs.put("large", bytes(1_000_000))
        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", counting)
        docs["a"] = b"1"
        assert (len(calls), docs["a"], len(calls), "b" in docs, len(calls)) == (1, b"1", 2, False, 3)
        docs.put_many({f"k{number}": b"" for number in range(IN_FLIGHT)})
        assert len(calls) == 4
        assert docs["large"] == bytes(1_000_000)
        monkeypatch.undo()


def test_reading_a_folder_of_files_creates_nothing_in_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    with docstore.open(f"file:{tmp_path}") as docs:
        assert (docs["a"], [*docs], docs.info("a").size) == (b"content", ["a"], 7)
        with pytest.raises(RequestError, match="read-only"):
            docs["b"] = b""
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with docstore.open(f"file:{tmp_path}", create=True) as docs:
        docs["b"] = b"new"
    with docstore.open(f"file:{tmp_path}") as docs:
        docs["b"] = b"newer"
