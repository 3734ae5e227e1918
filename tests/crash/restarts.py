"""Run a server on the store of the previous run, let clients use it, and stop or kill it.

The environment variables DOCSTORE_CRASH_CYCLES and DOCSTORE_CRASH_SEED set the number of runs and the random numbers. A
seed repeats the requests and the lengths of the runs, not the timing: a failure may take several runs of its seed.
"""

import os
import secrets
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random
from threading import Event
from typing import Final

from tests.crash.clients import Client, History
from tests.crash.history import Operation
from tests.engine_urls import REMOTE_URLS, url_in
from tests.server_process import RunningServer

CYCLES: Final = int(os.environ.get("DOCSTORE_CRASH_CYCLES") or 12)
"""The number of kills, of all engines together."""

URLS: Final = {
    "memory": "memory:",
    "file": "file:{}/files",
    "shelve": "shelve:{}/shelf?dbm=dumb",
    "sqlite": "sqlite:{}/docs.db",
}
"""shelve uses dbm.dumb: every Python has it, and a kill can do most harm to it."""

ENGINES: Final = (*URLS, *REMOTE_URLS)
"""The servers behind an engine are not killed here, only those of Docstore."""
LATE_S: Final = {engine: 5.0 if engine == "s3" else 0.0 for engine in ENGINES}


def store_url(engine: str, data: Path) -> str:
    """The URL of the store in `data`."""
    return URLS[engine].format(data) if engine in URLS else url_in(data, engine)


def seeded_random(what: str) -> Random:
    """Make a Random from the given seed or a new one, and print the seed; pytest shows it with a failure."""
    seed = os.environ.get("DOCSTORE_CRASH_SEED") or secrets.token_hex(4)
    print(f"{what}: DOCSTORE_CRASH_SEED={seed}")
    return Random(f"{seed} {what}")


def options(engine: str, data: Path) -> list[str]:
    url = store_url(engine, data)
    return ["--mount", f"docs={url}{'&' if '?' in url else '?'}keys=path", "--log-level", "warning"]


def run_clients(
    server: RunningServer,
    clients: Sequence[Client],
    seconds: float,
    *,
    kill: bool,
    late_s: float = 0,
    then: Callable[[], object] = lambda: None,
) -> History:
    """Run the clients for some time and `then`, then kill the server or stop the clients. Return their history by key.

    A request that a killed server has sent to a remote store may take effect up to `late_s` later.
    """
    stop, killed = Event(), Event()
    with ThreadPoolExecutor(len(clients)) as threads:
        running = [threads.submit(client.run, stop, killed) for client in clients]
        time.sleep(seconds)
        try:
            then()
        finally:
            stop_all = killed if kill else stop
            stop_all.set()
        if kill:
            server.kill()
            ended = time.monotonic_ns() + int(late_s * 10**9)
        else:
            ended = None
    for run in running:
        run.result()
    if kill:
        assert not [line for line in server.errors if "Traceback" in line or "Error" in line], "".join(server.errors)
    merged: History = defaultdict(list)
    for client in clients:
        for key, operations in client.history.items():
            merged[key] += [_ended(operation, ended) for operation in operations]
    return merged


def _ended(operation: Operation, ended: int | None) -> Operation:
    """An operation without a response can't take effect after the end of its server."""
    return operation if operation.answered or ended is None else replace(operation, returned=ended)


def kill_at_start(engine: str, data: Path, seconds: float) -> None:
    """Start a server and kill it while it opens the store, or soon after."""
    command = [sys.executable, "-m", "docstore", "serve", "--port", "0", "--data", str(data), *options(engine, data)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(seconds)
        process.kill()
