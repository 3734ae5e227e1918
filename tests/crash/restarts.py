"""Lives of a server: it starts on what the one before left, clients use it, and it is stopped or killed.

How many, and with which random numbers, is told by two variables of the environment: DOCSTORE_CRASH_CYCLES and
DOCSTORE_CRASH_SEED. A seed repeats what the clients ask and how long a life is, not what the machine makes of it: a
failure that hangs on an instant may take several runs of its seed.
"""

import os
import secrets
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random
from threading import Event
from typing import Final

from tests.crash.clients import Client, History
from tests.crash.history import Operation
from tests.server_process import RunningServer

CYCLES: Final = int(os.environ.get("DOCSTORE_CRASH_CYCLES") or 12)
"""How often the servers are killed, all engines together."""

URLS: Final = {
    "memory": "memory:?keys=path",
    "file": "file:{}/files?keys=path",
    "shelve": "shelve:{}/shelf?dbm=dumb&keys=path",
    "sqlite": "sqlite:{}/docs.db?keys=path",
}
"""shelve on dbm.dumb, because every Python has it and a kill can do the most to it."""


def random_numbers(what: str) -> Random:
    """Of the seed that was given, or of a new one; the seed is printed, and pytest shows it with a failure."""
    seed = os.environ.get("DOCSTORE_CRASH_SEED") or secrets.token_hex(4)
    print(f"{what}: DOCSTORE_CRASH_SEED={seed}")
    return Random(f"{seed} {what}")


def options(engine: str, data: Path) -> list[str]:
    return ["--mount", f"docs={URLS[engine].format(data)}", "--log-level", "warning"]


def live(server: RunningServer, clients: Sequence[Client], seconds: float, *, kill: bool) -> History:
    """Lets the clients run that long, then ends the server or only the clients; what they remember, by key."""
    stop, killed = Event(), Event()
    with ThreadPoolExecutor(len(clients)) as threads:
        running = [threads.submit(client.run, stop, killed) for client in clients]
        time.sleep(seconds)
        if kill:
            killed.set()
            server.kill()
            ended = time.monotonic_ns()
        else:
            stop.set()
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
    """What was not answered can't happen any more once its server is dead."""
    return operation if operation.answered or ended is None else replace(operation, returned=ended)


def killed_at_start(engine: str, data: Path, seconds: float) -> None:
    """A life that ends while the store is being opened, or soon after; nobody asks it anything."""
    command = [sys.executable, "-m", "docstore", "serve", "--port", "0", "--data", str(data), *options(engine, data)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(seconds)
        process.kill()
