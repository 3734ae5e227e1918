"""Histories of concurrent HTTP clients are linearizable on every engine, across kills and restarts."""

from collections import defaultdict
from pathlib import Path
from random import Random

import pytest

from tests.crash.clients import Client, History
from tests.crash.linear import contradiction
from tests.crash.restarts import CYCLES, ENGINES, LATE_S, options, run_clients, seeded_random
from tests.server_process import RunningServer

KEYS = ("name", "name/below", "another")
CLIENTS = 6
LIFE_S = 0.4
KILLS = max(2, CYCLES // 100)
MIX = (8, 4, 2, 4, 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_concurrent_clients_see_a_linearizable_history(tmp_path: Path, engine: str) -> None:
    chance = seeded_random(engine)
    # Documents in memory are lost with the process.
    lives = 1 if engine == "memory" else KILLS + 1
    history: History = defaultdict(list)
    with RunningServer(tmp_path, *options(engine, tmp_path)) as server:
        for life in range(lives):
            if life:
                server.start()
            clients = [
                Client(server, f"{life} {number}", Random(chance.getrandbits(64)), KEYS, MIX)
                for number in range(CLIENTS)
            ]
            for key, operations in run_clients(
                server, clients, LIFE_S, kill=life < lives - 1, late_s=LATE_S[engine]
            ).items():
                history[key] += operations
    print(f"{engine}: {lives - 1} kills, {sum(map(len, history.values()))} operations")
    assert set(history) == set(KEYS)
    for key, operations in history.items():
        assert contradiction(operations) == [], key
