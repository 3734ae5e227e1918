"""Clients after a fork, in another process and in another event loop: new connections, or one clear error."""

import asyncio
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import docstore
from tests.server_process import MOUNTS, RunningServer


def run_in_a_process(code: str, *arguments: str) -> str:
    """Run `code` in a process without pytest's threads and return what it prints. It must end within a minute."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


SHARED_BY_FORK = """
import os, sys, threading
import docstore

url, kind = sys.argv[1:]
docs = docstore.open(url, create=True)
docs["parent"] = b"of the parent" * 2000
docs["child"] = b"of the child" * 3000
if kind == "threads":  # a fork in the middle of the calls of other threads
    stop = threading.Event()
    def read():
        while not stop.is_set():
            assert docs["parent"] == b"of the parent" * 2000
    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()

children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        try:
            for _ in range(100):
                assert docs["child"] == b"of the child" * 3000
            docs.close()
            os._exit(0)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
    children.append(child)
for _ in range(100):
    assert docs["parent"] == b"of the parent" * 2000
statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
if kind == "threads":
    stop.set()
    for reader in readers:
        reader.join()
assert docs["parent"] == b"of the parent" * 2000
print(statuses)
"""


@pytest.mark.parametrize("kind", ["alone", "threads"])
def test_children_use_new_connections(kind: str, server: RunningServer) -> None:
    assert run_in_a_process(SHARED_BY_FORK, f"{server.url}/docs/", kind) == "[0, 0, 0]\n"


COUNTED_BY_FORK = """
import os, sys
import docstore

docs = docstore.open(sys.argv[1], create=True)
docs["counter"] = b"0"
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        for _ in range(25):
            docs.update("counter", lambda content: b"%d" % (int(content) + 1))
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
print(docs["counter"].decode())
"""


def test_no_update_is_lost_among_forked_processes(server: RunningServer) -> None:
    assert run_in_a_process(COUNTED_BY_FORK, f"{server.url}/memory/") == "100\n"


OPENED_BEFORE_FORK = """
import os, sys, signal
import docstore

docs = docstore.open(sys.argv[1], create=True)
docs["key"] = b"value"
reading, writing = os.pipe()
if os.fork() == 0:
    signal.alarm(20)
    try:
        docs["key"]
    except docstore.SetupError as error:
        os.write(writing, str(error).encode())
    docs.close()
    os._exit(0)
os.close(writing)
print(os.fdopen(reading).read())
_, status = os.wait()
assert status == 0, status
assert docs["key"] == b"value"
docs["key"] = b"later"
docs.close()
"""


@pytest.mark.parametrize("engine", MOUNTS)
def test_an_engine_opened_before_a_fork_is_an_error_in_the_child(engine: str, tmp_path: Path) -> None:
    url = {"memory": "memory:", "docs": f"sqlite:{tmp_path}/docs.db"}.get(engine, f"{engine}:{tmp_path}/store")
    said = run_in_a_process(OPENED_BEFORE_FORK, url)
    assert "fork" in said
    assert "open it again" in said
    if engine != "memory":
        with docstore.open(url, create=True) as docs:
            assert docs["key"] == b"later"


ASYNC_BEFORE_FORK = """
import asyncio, os, sys
import docstore

async def main():
    docs = docstore.AsyncClient(sys.argv[1], create=True)
    await docs.put("parent", b"p" * 9000)
    await docs.put("child", b"c" * 8000)
    return docs

async def read(docs, key):
    return [await docs.get(key) for _ in range(50)]

loop = asyncio.new_event_loop()
docs = loop.run_until_complete(main())
child = os.fork()
if child == 0:
    own = asyncio.new_event_loop()
    contents = own.run_until_complete(read(docs, "child"))
    os._exit(0 if set(contents) == {b"c" * 8000} else 1)
assert set(loop.run_until_complete(read(docs, "parent"))) == {b"p" * 9000}
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
loop.run_until_complete(docs.close())
"""


def test_an_asynchronous_client_uses_new_connections_in_the_child(server: RunningServer) -> None:
    assert run_in_a_process(ASYNC_BEFORE_FORK, f"{server.url}/docs/") == "0\n"


@pytest.mark.parametrize("kind", [docstore.Client, docstore.AsyncClient])
def test_a_client_pickles_to_its_address_and_options(kind: type, server: RunningServer) -> None:
    docs = kind(f"{server.url}/docs/", timeout_s=7.0, tries=3)
    copy = pickle.loads(pickle.dumps(docs))
    assert type(copy) is kind
    if isinstance(copy, docstore.Client):
        docs["pickled"] = b"1"
        assert copy["pickled"] == b"1"
        copy.close()
        docs.close()
    else:
        asyncio.run(copy.close())
        asyncio.run(docs.close())


@pytest.mark.parametrize("remote", [True, False])
def test_an_asynchronous_client_raises_in_another_loop(remote: bool, server: RunningServer, tmp_path: Path) -> None:
    docs = docstore.AsyncClient(f"{server.url}/docs/" if remote else f"sqlite:{tmp_path}/docs.db", create=True)

    async def use() -> None:
        await docs.put("key", b"value")

    with asyncio.Runner() as first:
        first.run(use())
        with pytest.raises(docstore.SetupError, match="another event loop"), asyncio.Runner() as second:
            second.run(use())
        first.run(docs.close())
