"""Small durable writes of an engine in this process, compared with diskcache (`pip install diskcache`).

    python benchmarks/local.py [--folder .] [--writes 1000] [--rounds 5]

Both stores are SQLite databases with synchronous=FULL, so a write that has returned survives power loss. The figures
are medians of rounds that alternate between the stores, in seconds: `put` waits for each write, `put_many` for all of
them. On a disk the flushes take most of the time; `--folder /dev/shm` has none and shows the cost of the library alone.
A request changes threads, which takes long on a machine whose cores are busy, so measure on a quiet one.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import docstore

CONTENT = b"x" * 100


def set_each(store: Any, keys: list[str]) -> None:
    for key in keys:
        store[key] = CONTENT


def get_each(store: Any, keys: list[str]) -> None:
    for key in keys:
        store[key]


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the stores are created")
    parser.add_argument("--writes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    keys = [f"key-{number}" for number in range(options.writes)]
    times: dict[str, list[float]] = {}
    with ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory(dir=options.folder))
        docs = opened.enter_context(docstore.open(f"sqlite:{folder}/docs.db", create=True))
        calls: dict[str, Callable[[], object]] = {
            "docstore put": lambda: set_each(docs, keys),
            "docstore put_many": lambda: docs.put_many((key, CONTENT) for key in keys),
            "docstore get": lambda: get_each(docs, keys),
        }
        try:
            cache = import_module("diskcache").Cache(f"{folder}/diskcache", sqlite_synchronous=2)
        except ModuleNotFoundError:
            print("without a comparison: diskcache is not installed")
        else:
            opened.callback(cache.close)
            calls |= {
                "diskcache set": lambda: set_each(cache, keys),
                "diskcache get": lambda: get_each(cache, keys),
            }
        for _ in range(options.rounds):
            for name, call in calls.items():
                times.setdefault(name, []).append(timed(call))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:18} {median:8.3f} s for {options.writes:,}")
    if "diskcache set" in medians:
        for ours, theirs in (("put", "set"), ("put_many", "set"), ("get", "get")):
            print(f"{ours} / {theirs}: {medians[f'docstore {ours}'] / medians[f'diskcache {theirs}']:.2f}")


if __name__ == "__main__":
    main()
