"""Three Docstore servers on a Ceph cluster, while its daemons and the servers are killed and started again.

`make test-cluster` runs this. Clients read, write, create, replace and delete a few keys; each history must be
linearizable, so no answered write is lost. The times without service are printed. DOCSTORE_CLUSTER_FOLDER is the folder
of `ceph.sh`, DOCSTORE_CLUSTER_S how long daemons are killed.
"""

import os
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from threading import Event

from tests.crash.clients import Client, History
from tests.crash.history import Action, Operation
from tests.crash.linear import contradiction
from tests.crash.restarts import options, seeded_random
from tests.server_process import RunningServer

FOLDER = Path(os.environ["DOCSTORE_CLUSTER_FOLDER"])
SECONDS = float(os.environ.get("DOCSTORE_CLUSTER_S") or 60)
SERVERS = 3
KEYS = [f"key-{number}" for number in range(max(6, int(SECONDS / 10)))]
"""More for a longer run, because the check of a history takes longer than its length."""
MIX = (6, 4, 2, 4, 2)
LATE_S = 20.0
"""After so long no request of a client that got no answer is on its way any more."""
TROUBLE_S = 6.0
HANG_S = 15.0
"""Longer than the other OSDs wait for one that does not answer."""
REST_S = 4.0


def ceph(*arguments: str) -> None:
    script = Path(__file__).parent / "ceph.sh"
    subprocess.run([script, arguments[0], FOLDER, *arguments[1:]], check=True, timeout=180, stdout=subprocess.DEVNULL)


@contextmanager
def killed(daemon: str) -> Iterator[None]:
    ceph("kill", daemon)
    yield
    ceph("start", daemon)
    ceph("settle")


@contextmanager
def hanging(daemon: str) -> Iterator[None]:
    pid = int((FOLDER / f"{daemon.replace('rgw', 'client.rgw')}.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)
    ceph("settle")


class Load:
    """A server with two clients, in a thread; it may be killed and started again."""

    def __init__(self, server: RunningServer, name: str, chance: Random, history: History) -> None:
        self._server, self._name, self._chance, self._history = server, name, chance, history
        self._stop, self._killed = Event(), Event()
        self._lives = 0

    def start(self, threads: ThreadPoolExecutor) -> None:
        self._lives += 1
        self._killed.clear()
        seeds = [Random(self._chance.getrandbits(64)) for _ in range(2)]
        names = [f"{self._name} {self._lives} {number}" for number in range(2)]
        self._clients = [
            Client(self._server, name, seed, KEYS, MIX, late_s=LATE_S) for name, seed in zip(names, seeds, strict=True)
        ]
        self._running = [threads.submit(client.run, self._stop, self._killed) for client in self._clients]

    def end(self) -> None:
        self._stop.set()
        self._collect()

    @contextmanager
    def killed(self, threads: ThreadPoolExecutor) -> Iterator[None]:
        self._killed.set()
        self._server.kill()
        self._collect()
        yield
        self._server.start()
        self.start(threads)

    def _collect(self) -> None:
        for running in self._running:
            running.result()
        now = time.monotonic_ns() + int(LATE_S * 10**9)
        for client in self._clients:
            for key, operations in client.history.items():
                self._history[key] += [
                    each if each.answered or each.returned < now else _until(each, now) for each in operations
                ]


def _until(operation: Operation, ended: int) -> Operation:
    return Operation(operation.act, operation.called, ended, operation.answer, operation.version, operation.expect)


def test_histories_are_linearizable_while_nodes_die(tmp_path: Path) -> None:
    chance = seeded_random("ceph")
    history: History = defaultdict(list)
    troubles: list[tuple[str, int, int]] = []
    with ThreadPoolExecutor(2 * SERVERS) as threads, ExitStack() as stack:
        servers = [stack.enter_context(RunningServer(tmp_path, *options("s3", tmp_path))) for _ in range(SERVERS)]
        loads = [Load(server, str(number), chance, history) for number, server in enumerate(servers)]
        for load in loads:
            load.start(threads)
        kinds: dict[str, Callable[[], object]] = {
            "osd killed": lambda: killed(f"osd.{chance.randrange(3)}"),
            "osd hangs": lambda: hanging(f"osd.{chance.randrange(3)}"),
            "gateway killed": lambda: killed(f"rgw.{chance.choice((1, 2))}"),
            "gateway hangs": lambda: hanging(f"rgw.{chance.choice((1, 2))}"),
            "server killed": lambda: chance.choice(loads).killed(threads),
        }
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            for kind, trouble in kinds.items():
                time.sleep(REST_S)
                began = time.monotonic_ns()
                with trouble():  # type: ignore[attr-defined]
                    time.sleep(HANG_S if kind == "osd hangs" else TROUBLE_S)
                    troubles.append((kind, began, time.monotonic_ns()))
        time.sleep(REST_S)
        for load in loads:
            load.end()
    operations = [each for operations in history.values() for each in operations]
    answered = [each for each in operations if each.answered]
    print(
        f"{len(troubles)} troubles, {len(operations)} operations, {len(operations) - len(answered)} without an answer"
    )
    for kind in kinds:
        print(f"{kind}: {describe(answered, [(began, ended) for name, began, ended in troubles if name == kind])}")
    assert set(history) == set(KEYS)
    for key in KEYS:
        assert contradiction(history[key]) == [], key


def describe(answered: list[Operation], spans: list[tuple[int, int]]) -> str:
    """Return the longest time without an answer to a write of any client in each span, and the longest request."""
    writes = sorted(each.returned for each in answered if each.act is not Action.READ)
    gaps = [
        max((later - earlier for earlier, later in pairwise(writes) if earlier <= ended and began <= later), default=0)
        for began, ended in spans
    ]
    longest = max(
        each.returned - each.called
        for each in answered
        if any(each.called <= ended and began <= each.returned for began, ended in spans)
    )
    times = ", ".join(f"{gap / 10**9:.1f}" for gap in gaps)
    return f"no write for {times} s, longest request {longest / 10**9:.1f} s"
