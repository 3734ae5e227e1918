"""Start the servers, run the workloads in rounds that alternate between them, and collect the figures."""

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.peers import fill, report
from benchmarks.peers.large import LargeWorkload
from benchmarks.peers.load import Load
from benchmarks.peers.servers import BOTH_CORES, STARTS, Server, start_docs
from benchmarks.peers.workloads import WORKLOADS, Workload

WORKERS_WORKLOADS = ("GET 100 B", "PUT 100 B")
LARGE_ROUNDS = 3
T = TypeVar("T")


class Comparison:
    """The servers that run, and what was measured of them."""

    def __init__(self, folder: Path, given: argparse.Namespace, names: list[str]) -> None:
        self.folder, self.given, self.names = folder, given, names
        self.figures = report.Figures(names)
        self.servers: dict[str, Server] = {}
        self.failures: list[str] = []

    def start(self, needs_many: bool) -> None:
        for name in self.names:
            server = Server(name, self._folder(name))
            self.servers[name] = server
            if needs_many and name in fill.BEFORE_START:
                say(f"storing {self.given.keys:,} documents for {name}")
                fill.BEFORE_START[name](server, self.given.keys)
            STARTS[name](server)
            server.wait_until_ready(server.port)
            self.figures.memory[name] = [server.memory_mb("VmRSS")]
            if needs_many and name in fill.AFTER_START:
                say(f"storing {self.given.keys:,} documents in {name}")
                fill.AFTER_START[name](server, self.given.keys)

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def measure(self, workload: Workload) -> None:
        loads = [
            Load(workload, self.servers[name], self.folder, self.given.keys) for name in self._taking_part(workload)
        ]
        runs = self._measure_loads(workload.name, {load.server.name: load for load in loads})
        self.figures.runs[workload.name] = runs
        self.figures.rates[workload.name] = {name: [run.rate for run in found] for name, found in runs.items()}

    def measure_large(self, workload: LargeWorkload) -> None:
        runs = {
            name: partial(workload.run, self.servers[name], self.given.keys) for name in self._taking_part(workload)
        }
        self.figures.rates[workload.name] = self._alternate(workload.name, runs, min(LARGE_ROUNDS, self.given.rounds))
        say_rates(workload.name, self.figures.rates[workload.name])

    def measure_workers(self) -> None:
        """Run one worker and two beside each other, on both cores together with wrk."""
        servers = {str(count): Server("docs", self._folder(f"workers-{count}"), BOTH_CORES) for count in (1, 2)}
        try:
            for count, server in servers.items():
                start_docs(server, "--workers", count)
                server.wait_until_ready(server.port)
            for workload in (workload for workload in WORKLOADS if workload.name in WORKERS_WORKLOADS):
                loads = {
                    count: Load(workload, server, self.folder, self.given.keys, BOTH_CORES)
                    for count, server in servers.items()
                }
                self.figures.workers[workload.name] = self._measure_loads(f"{workload.name}, 1 and 2 workers", loads)
        finally:
            for server in servers.values():
                server.stop()

    def _taking_part(self, workload: Workload | LargeWorkload) -> list[str]:
        return [name for name in self.names if name in workload.servers]

    def _measure_loads(self, name: str, loads: dict[str, Load]) -> report.Rounds:
        runs = {each: partial(load.run, self.given.seconds) for each, load in loads.items()}
        found = self._alternate(name, runs, self.given.rounds, lambda: all(load.has_keys() for load in loads.values()))
        say_rates(name, {each: [run.rate for run in done] for each, done in found.items()})
        return found

    def _alternate(
        self,
        name: str,
        runs: Mapping[str, Callable[[], T]],
        rounds: int,
        can_continue: Callable[[], bool] = lambda: True,
    ) -> dict[str, list[T]]:
        """Run all once a round. One that fails is noted, and left out."""
        found: dict[str, list[T]] = {each: [] for each in runs}
        for number in range(rounds):
            if not can_continue():
                say(f"{name}: no keys are left after {number} rounds")
                break
            for each in list(found):
                try:
                    found[each].append(runs[each]())
                except Exception as error:  # the figures of the others must not be lost
                    self.failures.append(f"{name}, {each}: {str(error) or repr(error):.300}")
                    say(self.failures[-1])
                    del found[each]
        return found

    def stop(self) -> None:
        for server in self.servers.values():
            server.stop()

    def end_memory(self) -> None:
        for name, server in self.servers.items():
            self.figures.memory[name] += [server.memory_mb("VmRSS"), server.memory_mb("VmHWM")]


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def say_rates(workload: str, rates: dict[str, list[float]]) -> None:
    say(f"{workload}: " + ", ".join(f"{name} {statistics.median(found):,.0f}" for name, found in rates.items()))
