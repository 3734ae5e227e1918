"""Compare Docstore with nginx, webdis (Redis) and etcd. `make bench-peers` and `make bench-quick`.

    python -m benchmarks.peers [--rounds 5] [--seconds 2] [--keys 1000000] [--servers docs,nginx] [WORKLOAD ...]

All servers run at the same time on one core, and wrk on another; rounds alternate between the servers, so that what
else the machine does meets all of them. A ratio is the median of the rounds' ratios. `load.py` and `large.py` check
each response that is counted. A server that does not support a workload, or is not installed, has `-`.

Each WORKLOAD selects those whose name contains it. A run of all workloads installs missing peers from Debian (as root)
and writes benchmarks/RESULTS.md. --quick takes a minute, and installs and writes nothing.
"""

import argparse
import resource
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.peers import packages, report
from benchmarks.peers.comparison import Comparison
from benchmarks.peers.large import LARGE_WORKLOADS
from benchmarks.peers.servers import STARTS, installed_servers
from benchmarks.peers.workloads import WORKLOADS

QUICK = ("GET 100 B", "GET 100 B, 304", "GET 10 kB", "PUT 100 B", "file: GET 100 B")
WORKERS = "two workers"


def compare(given: argparse.Namespace, names: list[str]) -> list[str]:
    """Print the tables, write them where all workloads ran, and return what went wrong."""

    def chosen(name: str) -> bool:
        if given.quick and not given.workloads:
            return name in QUICK
        return not given.workloads or any(part in name for part in given.workloads)

    workloads = [workload for workload in WORKLOADS if chosen(workload.name)]
    large = [workload for workload in LARGE_WORKLOADS if chosen(workload.name)]
    with tempfile.TemporaryDirectory(prefix="docstore-peers-", dir=given.data) as folder:
        about = report.machine(Path(folder))
        comparison = Comparison(Path(folder), given, names)
        try:
            comparison.start(any(workload.needs_many for workload in (*workloads, *large)))
            for workload in workloads:
                comparison.measure(workload)
            for each in large:
                comparison.measure_large(each)
            comparison.end_memory()
        finally:
            comparison.stop()
        if chosen(WORKERS):
            comparison.measure_workers()
        # Before the folder is removed, which takes minutes with a million files.
        text = report.render(about, comparison.figures)
        print(text, flush=True)
        if not given.workloads and not given.quick and set(names) == set(STARTS):
            report.write(text)
    return comparison.failures


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="a part of the name of a workload")
    parser.add_argument("--rounds", type=int, help="of each workload (default: 5, quick: 3)")
    parser.add_argument("--seconds", type=int, help="of each run (default: 2, quick: 1)")
    parser.add_argument("--keys", type=int, default=1_000_000, help="of the workloads on many keys")
    parser.add_argument("--servers", default=",".join(STARTS), help="which to compare (default: %(default)s)")
    parser.add_argument("--data", type=Path, help="where a temporary folder is made: a real disk, with 15 GB free")
    parser.add_argument("--quick", action="store_true", help="a few workloads in a minute, with what is installed")
    given = parser.parse_args()
    given.rounds = given.rounds or (3 if given.quick else 5)
    given.seconds = given.seconds or (1 if given.quick else 2)
    names = [name for name in STARTS if name in given.servers.split(",")]
    if not given.quick:
        packages.install_missing()
    elif "wrk" in packages.missing_packages():
        raise SystemExit("wrk is missing; on Debian it is in the package wrk")
    names = [name for name in names if name in installed_servers()]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers stop and the folder is removed
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    if failures := compare(given, names):
        raise SystemExit("\n".join(["failed and left out:", *failures]))


if __name__ == "__main__":
    main()
