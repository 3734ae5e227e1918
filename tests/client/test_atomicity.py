"""What is one operation is one for all: threads and processes that share a collection lose nothing."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from docstore import (
    Client,
)


@pytest.mark.parametrize("url", ["http-docs", "inside-memory", "inside-docs"], indirect=True)
def test_eight_threads_count_and_lose_nothing(docs: Client) -> None:
    def count(_: int) -> None:
        for _ in range(5):
            docs.update("counter", lambda content: b"%d" % (int(content or 0) + 1))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(8)))
        assert docs.pop("counter") == b"40"
        winners = list(threads.map(lambda number: docs.setdefault("lock", b"%d" % number), range(8)))
        assert set(winners) == {docs["lock"]}
        popped = list(threads.map(lambda _: docs.pop("lock", None), range(8)))
        assert sorted(content is not None for content in popped) == [False] * 7 + [True]
        for number in range(8):
            docs[f"item{number}"] = b""
        taken = [key for key, _ in threads.map(lambda _: docs.popitem(), range(8))]
        assert sorted(taken) == [f"item{number}" for number in range(8)]


COUNTING = """
import sys
from docstore import Client
with Client(sys.argv[1]) as docs:
    for _ in range(10):
        docs.update("counter", lambda content: b"%d" % (int(content or 0) + 1))
"""


def test_processes_count_and_lose_nothing(docs: Client, url: str) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", COUNTING, url]) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert docs["counter"] == b"20"
