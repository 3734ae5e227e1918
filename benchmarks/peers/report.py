"""The tables of a comparison in Markdown, and the page that keeps them."""

import os
import platform
import re
import statistics
import subprocess
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.load import Run
from benchmarks.peers.packages import PATH
from benchmarks.peers.workloads import CONNECTIONS

RESULTS = Path(__file__).parent.parent / "RESULTS.md"
PAGE = """# Results

`make bench-peers` writes this page. Rates depend on the machine and on what else runs on it: compare the ratios, which
are medians of rounds side by side. `benchmarks/peers/load.py` says how each answer is checked.

"""
VERSIONS = {
    "nginx": (["nginx", "-v"], r"nginx/(\S+)"),
    "Redis": (["redis-server", "--version"], r"v=(\S+)"),
    "webdis": (["dpkg-query", "-Wf", "${Version}", "webdis"], r"([\d.]+)"),
    "etcd": (["etcd", "--version"], r"etcd Version: (\S+)"),
    "wrk": (["wrk", "-v"], r"wrk (?:debian/)?([\d.]+)"),
}

Rounds = dict[str, list[Run]]
"""The runs of one workload by server."""


@dataclass
class Figures:
    """What was measured of the servers called `names`."""

    names: list[str]
    rates: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """In the unit of each workload, by server and round."""
    runs: dict[str, Rounds] = field(default_factory=dict)
    memory: dict[str, list[float]] = field(default_factory=dict)
    """Resident MB of each server after its start and after the workloads, and its peak."""
    workers: dict[str, Rounds] = field(default_factory=dict)
    """The runs with as many workers as the name of the server says."""


def machine(folder: Path) -> str:
    """Where and of what the figures are."""
    processor = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    file_system = output_of(["stat", "-f", "-c", "%T", str(folder)]).strip()
    commit = output_of(["git", "rev-parse", "--short", "HEAD"]).strip()
    changed = " with changes" if output_of(["git", "status", "--porcelain", "src"]).strip() else ""
    versions = [f"{name} {found}" for name in VERSIONS if (found := version_of_program(name))]
    software = (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit}{changed}, Docstore {version('docstore')}, "
        f"Python {platform.python_version()}, {', '.join(versions)}."
    )
    hardware = (
        f"Machine: {processor[1] if processor else platform.machine()}, {len(os.sched_getaffinity(0))} cores, "
        f"{memory_gb:.0f} GB, Linux {platform.release()}, {file_system}; load {os.getloadavg()[0]:.1f} before the run."
    )
    return f"{textwrap.fill(software, 120)}\n\n{textwrap.fill(hardware, 120)}\n"


def output_of(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": PATH}, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout + done.stderr


def version_of_program(name: str) -> str:
    command, pattern = VERSIONS[name]
    found = re.search(pattern, output_of(command))
    return found[1] if found else ""


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def ratios(rates: dict[str, list[float]], peer: str) -> str:
    """The median of the rounds' ratios of Docstore to a peer, and the lowest and the highest."""
    if peer not in rates or "docs" not in rates:
        return "-"
    found = [ours / theirs for ours, theirs in zip(rates["docs"], rates[peer], strict=True)]
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def rate_table(rates: dict[str, dict[str, list[float]]], names: list[str]) -> str:
    peers = [name for name in names if name != "docs"]
    rows = [
        [workload, *(f"{statistics.median(found[name]):,.0f}" if name in found else "-" for name in names)]
        + [ratios(found, peer) for peer in peers]
        for workload, found in rates.items()
    ]
    return table(["workload", *names, *(f"docs / {peer}" for peer in peers)], rows)


def run_table(runs: dict[str, Rounds], names: list[str], cell: Callable[[list[Run]], str]) -> str:
    rows = [
        [workload, *(cell(found[name]) if name in found else "-" for name in names)] for workload, found in runs.items()
    ]
    return table(["workload", *names], rows)


def latency_cell(runs: list[Run]) -> str:
    medians = (statistics.median(found) for found in zip(*(run.latencies_ms for run in runs), strict=True))
    return " / ".join(f"{found:.2g}" if found < 10 else f"{found:.0f}" for found in medians)


def cpu_cell(runs: list[Run]) -> str:
    return f"{statistics.median(run.server_us for run in runs):,.1f}"


def client_cell(runs: list[Run]) -> str:
    return f"{statistics.median(run.client_share for run in runs):.0%}"


def section(title: str, text: str, content: str) -> str:
    return f"## {title}\n\n{textwrap.fill(text, 120)}\n\n{content}\n"


def render(about: str, figures: Figures) -> str:
    """All tables that have rows."""
    several = f"{CONNECTIONS} connections unless the workload names another number."
    parts = [about]
    if figures.rates:
        text = (
            f"Responses a second unless the workload has another unit: medians of the rounds. {several} A ratio is the "
            "median of the rounds' ratios (lowest to highest); above 1, Docstore is faster. nginx does not sync what "
            "it stores; the others do."
        )
        parts.append(section("Rates", text, rate_table(figures.rates, figures.names)))
    if runs := figures.runs:
        names = figures.names
        text = "Milliseconds: p50 / p99 / p99.9, with all connections busy, so that they follow from the rate."
        parts.append(section("Latencies", text, run_table(runs, names, latency_cell)))
        text = "Microseconds of the server's CPU a response: of all its processes, in user code and in the kernel."
        parts.append(section("CPU of the server", text, run_table(runs, names, cpu_cell)))
        text = "CPU of wrk, which has a core of its own: near 100 %, a server may be faster than is shown."
        parts.append(section("CPU of the client", text, run_table(runs, names, client_cell)))
    if figures.memory:
        text = (
            "Resident memory in MB: after the start, after the workloads, and the peak. webdis is counted with Redis."
        )
        rows = [[name, *(f"{found:,.0f}" for found in sizes)] for name, sizes in figures.memory.items()]
        parts.append(section("Memory", text, table(["server", "at first", "at last", "peak"], rows)))
    if figures.workers:
        parts.append(section("Two workers", *workers_text(figures.workers)))
    return "\n".join(parts)


def workers_text(workers: dict[str, Rounds]) -> tuple[str, str]:
    rows = []
    for workload, found in workers.items():
        one, two = ([run.rate for run in found[name]] for name in ("1", "2"))
        ratio = ratios({"docs": two, "one": one}, "one")
        shares = " / ".join(client_cell(found[name]) for name in ("1", "2"))
        rows.append([workload, f"{statistics.median(one):,.0f}", f"{statistics.median(two):,.0f}", ratio, shares])
    text = (
        "Docstore with one worker and with two, on two cores that wrk shares. The client's share is wrk's CPU in "
        "percent of a core, with one and with two workers."
    )
    return text, table(["workload", "1 worker", "2 workers", "ratio", "client's share"], rows)


def write(text: str) -> None:
    RESULTS.write_text(PAGE + text)
