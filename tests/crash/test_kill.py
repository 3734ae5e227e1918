"""Kill a server at random times under load, repeatedly, and start it again on the same store.

Each key has one client here, so its state is known without a search: that of the last acknowledged write, or that of
the one write that was in progress. In `test_linear.py` clients share their keys.
"""

import hashlib
import json
from math import ceil
from pathlib import Path
from random import Random

import pytest

from tests.crash.clients import MOUNT, Client, History, path_of, version_of_content
from tests.crash.history import State, allowed, result
from tests.crash.leftovers import CHECKS, Listed, check_exclusively
from tests.crash.restarts import CYCLES, kill_at_start, options, run_clients, seeded_random, store_url
from tests.http_client import Client as Asking
from tests.server_process import RunningServer

CLIENTS = 5
KEYS = [
    [f"name-{number}", f"name-{number}/below", f"folder/{number}", f"folder/shared/{number}", f"\u00e9 {number}/%41"]
    for number in range(CLIENTS)
]
"""For each client; documents whose name is another's folder, and folders that several share, among them."""

MIX = (2, 6, 2, 3, 3)
STORE_CYCLES = 25
"""After this many kills a new store is created, because a kill can interrupt that too."""

_EACH = ceil(CYCLES / len(CHECKS))
STORES = [(engine, store) for engine in CHECKS for store in range(ceil(_EACH / STORE_CYCLES))]


@pytest.mark.parametrize(("engine", "store"), STORES)
def test_no_acknowledged_write_is_lost_by_a_kill(tmp_path: Path, engine: str, store: int) -> None:
    chance = seeded_random(f"{engine} {store}")
    states: dict[str, State] = {key: None for keys in KEYS for key in keys}
    answered = unanswered = 0
    cycles = min(STORE_CYCLES, _EACH - store * STORE_CYCLES)
    kill_at_start(engine, tmp_path, chance.uniform(0.2, 0.8))
    with RunningServer(tmp_path, *options(engine, tmp_path)) as server:
        for cycle in range(cycles):
            history = run_clients(server, clients_of(server, cycle, chance), seconds_of_run(chance, cycle), kill=True)
            done = [operation.answered for operations in history.values() for operation in operations]
            answered, unanswered = answered + sum(done), unanswered + done.count(False)
            if chance.random() < 0.2:
                kill_at_start(engine, tmp_path, chance.uniform(0.2, 0.8))
            # Only every other time, because the next start must also clean up without it.
            if cycle % 2:
                assert check_exclusively(store_url(engine, tmp_path)) == [], f"after kill {cycle}"
            server.start()
            states = {
                key: one_of(found, possible(history, key, states[key])) for key, found in read_documents(server).items()
            }
            assert list(CHECKS[engine](tmp_path, listing(server))) == [], f"after kill {cycle}"
            if engine != "shelve":  # which no other process can open
                assert check_exclusively(store_url(engine, tmp_path)) == [], f"beside the server after kill {cycle}"
    print(f"{engine} {store}: {cycles} kills, {answered} answered, {unanswered} unanswered")
    assert answered > 0


def seconds_of_run(chance: Random, cycle: int) -> float:
    """Short lives more often than long ones: the first writes of a life are as likely to be hit as the later.

    The first is long, so that there is something to lose.
    """
    return 0.01 + 0.5 * chance.random() ** 2 if cycle else 0.5


def clients_of(server: RunningServer, cycle: int, chance: Random) -> list[Client]:
    return [
        Client(server, f"{cycle} {number}", Random(chance.getrandbits(64)), keys, MIX)
        for number, keys in enumerate(KEYS)
    ]


def possible(history: History, key: str, state: State) -> set[State]:
    """The states that the key may be in, starting from `state`. The responses to its one client must fit in order."""
    for operation in history.get(key, []):
        if not operation.answered:
            # The connection was lost with this operation, so it is the last.
            return {state, result(operation, state)} if allowed(operation, state) else {state}
        assert allowed(operation, state), f"{key} was {state} when it was told {operation}"
        state = result(operation, state)
    return {state}


def one_of(found: State, states: set[State]) -> State:
    assert found in states, f"{found} stands, it should be one of {states}"
    return found


def listing(server: RunningServer) -> Listed:
    with Asking(server) as client:
        page = json.loads(client.ask("GET", f"{MOUNT}?format=json").content)
    assert page["next"] is None
    assert [entry["key"] for entry in page["documents"]] == sorted(entry["key"] for entry in page["documents"])
    return {entry["key"]: entry for entry in page["documents"]}


def read_documents(server: RunningServer) -> dict[str, State]:
    """The version of every key that clients use. Each document is complete, and the listing agrees with GET."""
    listed = listing(server)
    states: dict[str, State] = {}
    with Asking(server) as client:
        for key in (key for keys in KEYS for key in keys):
            answer = client.ask("GET", path_of(key))
            entry = listed.pop(key, None)
            assert answer.status == (404 if entry is None else 200), key
            states[key] = None
            if entry is not None:
                states[key] = version_of_content(answer.content)
                assert answer["ETag"] == f'"{states[key]}"', key
                digest = hashlib.sha256(answer.content).hexdigest()
                assert (entry["version"], entry["sha256"]) == (states[key], digest)
                assert entry["size"] == len(answer.content)
    assert not listed, "nobody wrote these"
    return states
